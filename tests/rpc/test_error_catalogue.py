"""The catalogue of errors is the enum of reasons, and every reason survives the wire."""

from __future__ import annotations

import grpc
import pytest

from gateway.errors import CATALOGUE, Reason, TiergateError
from gateway.transport.errors import DETAILS_KEY, error_from_rpc, status_of
from tests.unit.transport.test_errors import rpc_error


def test_the_catalogue_and_the_enum_are_the_same_set() -> None:
    assert set(CATALOGUE) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_every_status_is_one_of_grpc_s_and_none_says_ok(reason: Reason) -> None:
    assert grpc.StatusCode[CATALOGUE[reason].status] is not grpc.StatusCode.OK
    assert CATALOGUE[reason].text.endswith(".")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_arrives_as_it_was_sent(reason: Reason) -> None:
    sent = status_of(TiergateError(reason, "detail", retry_after_s=1.5))
    found = error_from_rpc(rpc_error(sent.code, sent.text, [(DETAILS_KEY, sent.details)]))
    assert (found.reason, found.retry_after_s) == (reason, 1.5)
