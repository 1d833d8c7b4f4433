from __future__ import annotations

import grpc
import pytest

from gateway.errors import CATALOGUE, Problem, ProblemsError, Reason, TiergateError


def test_the_catalogue_and_the_enum_are_the_same_set() -> None:
    assert set(CATALOGUE) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_its_own_name_has_a_grpc_status_and_one_sentence(reason: Reason) -> None:
    entry = CATALOGUE[reason]
    assert reason.value == reason.name
    assert grpc.StatusCode[entry.status] is not grpc.StatusCode.OK
    assert entry.text.endswith(".")
    assert entry.text.isascii()
    assert "\n" not in entry.text


def test_an_error_prints_its_public_sentence_alone() -> None:
    error = TiergateError(Reason.TOKEN_EXPIRED, "internal detail", retry_after_s=2.5)
    assert str(error) == "TOKEN_EXPIRED: The token has expired; ask for a new consent."
    assert (error.status, error.detail, error.retry_after_s) == ("FAILED_PRECONDITION", "internal detail", 2.5)


def test_problems_are_printed_all_at_once() -> None:
    problems = [Problem("a.toml", "cuts.1", "overlaps", "lower it"), Problem("b.toml", "", "is empty")]
    error = ProblemsError(Reason.POLICY_INVALID, problems)
    assert str(error).splitlines() == [
        "POLICY_INVALID: The policy files are not valid.",
        "  a.toml: cuts.1: overlaps (lower it)",
        "  b.toml: is empty",
    ]
    assert error.problems == problems
    assert isinstance(error, TiergateError)
