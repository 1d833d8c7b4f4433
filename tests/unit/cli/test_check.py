"""``tiergate check``: whatever becomes of an answer, a use that it took can be recovered."""

from __future__ import annotations

import asyncio
import io
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.api.operator.v1 import operator_pb2 as pb
from gateway.cli.localnet.provision import Network
from gateway.errors import Reason, TiergateError
from tests.unit.cli.conftest import Ran, Run

ID = "request-of-the-test"
DECISION = {
    "outcome": "ordinary",
    "terms": {"text_zh": "z", "text_en": "e"},
    "illustrative": False,
    **dict.fromkeys(("scenario", "decided_at", "valid_until", "log_index", "decision_id", "bundle_digest"), "x"),
    "request_id": ID,
}


class _Full(io.StringIO):
    """A file on a full disk."""

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


@pytest.fixture
def asked() -> list[str]:
    """The request ids that reached the gateway."""
    return []


@pytest.fixture
def check(run: Run, network: Network, monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> Callable[..., Ran]:
    """Runs a check; the gateway is a function, which does ``instead`` or answers."""
    monkeypatch.setattr("gateway.cli.presented.presentation", lambda *_taken, **_options: pb.Presentation())
    profile = network.layout.operator("xiamen-library") / "client.toml"

    def checked(*more: object, instead: Any = None) -> Ran:
        async def ask(_client: object, _scenario: str, _shown: object, request: str, **_wanted: bool) -> dict[str, Any]:
            asked.append(request)
            if isinstance(instead, BaseException):
                raise instead
            if instead is not None:
                await instead()
            return DECISION | {"receipt": {"entry": "the entry", "proof": "the proof"}}

        monkeypatch.setattr("gateway.cli.check._ask", ask)
        return run("check", "--scenario", "xiamen-library", "--code", "x", "--profile", profile, *more)

    return checked


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (TiergateError(Reason.INTERNAL), 1),
        (TiergateError(Reason.STORE_FAILED), 1),
        (TiergateError(Reason.RECEIPT_INVALID), 4),
        (OSError(28, "No space left on device"), 1),
        (BrokenPipeError(32, "Broken pipe"), 1),
        (ValueError("odd"), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda item: getattr(item, "reason", type(item).__name__),
)
def test_a_check_without_an_answer_tells_its_request_id(
    check: Callable[..., Ran], asked: list[str], failure: BaseException, code: int
) -> None:
    told = check(instead=failure)
    assert told.code == code
    assert f"--request-id {asked[-1]}" in told.err
    as_json = check("--json", "--request-id", ID, instead=failure)
    assert as_json.document["request_id"] == ID
    assert as_json.document["error"]["exit_code"] == code


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A process that was started in the background ignores the interrupt."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_check_tells_its_request_id(check: Callable[..., Ran], asked: list[str]) -> None:
    async def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)
        await asyncio.Event().wait()

    told = check(instead=interrupted)
    assert told.code == 130
    assert "interrupted" in told.err
    assert f"--request-id {asked[-1]}" in told.err


def test_a_refusal_is_an_answer_which_there_is_no_use_in_repeating(check: Callable[..., Ran]) -> None:
    told = check(instead=TiergateError(Reason.USES_EXHAUSTED))
    assert told.code == 1
    assert "--request-id" not in told.err


@pytest.mark.parametrize("base", ["", ".", "/", "absent/receipt", "taken", "half"])
def test_where_a_receipt_goes_is_settled_before_anybody_is_asked(
    check: Callable[..., Ran], asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    folder = tmp_path / "receipts"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("taken.entry", "taken.proof", "half.proof"):
        Path(name).write_text("earlier")
    refused = check("--receipt-out", base, "--json")
    assert refused.code == (1 if base.startswith("absent") else 2)
    assert asked == []
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(
        ("taken.entry", "taken.proof", "half.proof"), "earlier"
    )


def test_a_receipt_goes_into_two_new_files_of_which_nothing_is_left_by_a_check_that_fails(
    check: Callable[..., Ran], tmp_path: Path
) -> None:
    base = tmp_path / "receipt"
    assert check("--receipt-out", base, instead=TiergateError(Reason.INTERNAL)).code == 1
    assert check("--receipt-out", base, instead=TiergateError(Reason.HOME_CITY_UNAVAILABLE)).code == 3
    done = check("--receipt-out", base, "--json")
    assert done.document["receipt_files"] == [f"{base}.entry", f"{base}.proof"]
    assert (tmp_path / "receipt.entry").read_text() == "the entry"
    assert (tmp_path / "receipt.proof").read_text() == "the proof"


def test_with_standard_output_closed_nobody_is_asked(
    check: Callable[..., Ran], asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setattr(sys, "stdout", None)
        refused = check()
    assert refused.code == 1
    assert refused.err == "tiergate: standard output: is closed\n"
    assert asked == []


@pytest.mark.parametrize("more", [(), ("--json",)])
@pytest.mark.parametrize("failure", [None, TiergateError(Reason.HOME_CITY_UNAVAILABLE)], ids=["answered", "away"])
def test_an_answer_that_cannot_be_printed_can_be_had_again(
    check: Callable[..., Ran],
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...],
    failure: BaseException | None,
) -> None:
    discarded: list[int] = []
    with monkeypatch.context() as printed:
        printed.setattr(sys, "stdout", _Full())
        printed.setattr("gateway.cli.output._discard", discarded.append)
        told = check(*more, instead=failure)
    assert told.code == 1
    assert set(discarded) == {1}
    assert "standard output: No space left on device" in told.err
    assert f"--request-id {asked[-1]}" in told.err
