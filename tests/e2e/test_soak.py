"""A few thousand bad messages against live processes; ``./dev soak`` sends as many as one likes."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.requests import METHODS
from tests.soak.messages import MARK, Messages, encodings_of
from tests.soak.run import network, soak

MESSAGES = 10_000


async def test_bad_messages_change_nothing_and_leave_no_trace(tmp_path: Path) -> None:
    async with network(tmp_path / "network") as started:
        report = await soak(started, MESSAGES)
    assert report.faults == []
    assert report.messages >= MESSAGES
    # the messages went as deep as they should: past the contract, to tokens, the log, reports and consents
    met = {
        "CALLER_UNKNOWN",
        "CALLER_NOT_PERMITTED",
        "MALFORMED_REQUEST",
        "TOKEN_KEY_UNKNOWN",
        "TOKEN_SIGNATURE_INVALID",
    }
    assert met | {"SCENARIO_UNKNOWN", "REPORT_INVALID", "CONSENT_UNKNOWN", "RANGE_INVALID"} <= set(report.reasons)
    assert report.raw_statuses


def test_the_same_seed_sends_the_same_messages() -> None:
    one, two, other = (Messages(seed, ["a.b.c"]) for seed in (1, 1, 2))
    first = [one.call() for _ in range(300)]
    assert first == [two.call() for _ in range(300)]
    assert first != [other.call() for _ in range(300)]
    assert {sent.method for sent in first} >= {f"/{m.containing_service.full_name}/{m.name}" for m in METHODS}


def test_the_mark_is_found_however_it_is_encoded() -> None:
    assert all(len(item) >= 20 for item in encodings_of())
    assert MARK.encode() in encodings_of()
