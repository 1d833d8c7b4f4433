"""Use reports: proved to be in the gateway's log, kept for the resident, odd ones alarmed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.reports import MAX_REPORTS, Report
from adapters.store.outbox import Settled, SettleEvents
from gateway.consentlog.note import SignerKey
from gateway.domain.consent import Act
from gateway.domain.decision import Outcome
from gateway.errors import Reason
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.log import FakeLog
from tests.fakes.network import ORIGIN, Network
from tests.unit.adapters.conftest import refuses

Attest = Callable[[], Awaitable[str]]


@pytest.fixture
def log(network: Network) -> FakeLog:
    return FakeLog(network.log)


async def _attested(city: FakeCity, points: int = 900) -> str:
    """Id of an attestation that the city has just given."""
    city.source.know(RESIDENT, points)
    granted = await city.grant()
    return (await city.answer(granted.token)).id


def _decide(at: FakeCity, log: FakeLog, rung: int = 1, **changes: Any) -> int:
    return log.decide(rung, **{"bundle": at.reference.bundle.digest, **changes})


def _report(log: FakeLog, index: int, attestation_id: str = "A" * 22, outcome: Outcome = Outcome.ENTITLED) -> Report:
    return Report(attestation_id, outcome, index, log.entries[index], log.inclusion(index))


def _alarms(city: FakeCity) -> dict[str, int]:
    return {kind: count for kind, count in city.alarms.raised.items() if count}


async def test_reports_are_kept_counted_and_acknowledged(city: FakeCity, log: FakeLog) -> None:
    attestation_id = await _attested(city)
    indices = [_decide(city, log), _decide(city, log)]
    reports = [_report(log, index, attestation_id) for index in indices]
    assert await city.reports.take(reports, log.checkpoint()) == indices[1]
    (view,) = city.authority.list(RESIDENT, 0)
    assert view.listed.reported == 2
    assert city.authority.reported_index() == indices[1]
    assert _alarms(city) == {}


async def test_taking_reports_again_changes_nothing(city: FakeCity, log: FakeLog) -> None:
    attestation_id = await _attested(city)
    reports = [_report(log, _decide(city, log), attestation_id)]
    first = await city.reports.take(reports, log.checkpoint())
    _decide(city, log)
    again = [_report(log, first, attestation_id)]  # the same entry under a newer checkpoint
    assert await city.reports.take(again, log.checkpoint()) == first
    (view,) = city.authority.list(RESIDENT, 0)
    assert view.listed.reported == 1
    assert _alarms(city) == {}


async def test_reports_outlive_the_process(network: Network, tmp_path: Path, log: FakeLog) -> None:
    async with FakeCity(network, tmp_path) as before:
        attestation_id = await _attested(before)
        index = await before.reports.take([_report(log, _decide(before, log), attestation_id)], log.checkpoint())
    async with FakeCity(network, tmp_path) as after:
        assert after.authority.reported_index() == index


async def test_a_report_of_an_unknown_attestation_is_taken_and_alarmed(city: FakeCity, log: FakeLog) -> None:
    index = _decide(city, log)
    assert await city.reports.take([_report(log, index)], log.checkpoint()) == index
    assert _alarms(city) == {"report_unattributed": 1}
    await city.reports.take([_report(log, index)], log.checkpoint())
    assert _alarms(city) == {"report_unattributed": 1}


async def test_a_decision_better_than_attested_is_alarmed(city: FakeCity, log: FakeLog) -> None:
    attestation_id = await _attested(city, points=100)
    await city.reports.take([_report(log, _decide(city, log, 1), attestation_id)], log.checkpoint())
    assert _alarms(city) == {"report_better_than_attested": 1}


async def _lowered(city: FakeCity, log: FakeLog, attestation_id: str) -> None:
    await city.reports.take([_report(log, _decide(city, log, 0), attestation_id, Outcome.ORDINARY)], log.checkpoint())


async def test_a_decision_lower_than_attested_without_a_reason_is_alarmed(city: FakeCity, log: FakeLog) -> None:
    await _lowered(city, log, await _attested(city))
    assert _alarms(city) == {"report_lower_than_attested": 1}


def _settle(city: FakeCity, log_index: int | None, refused: str | None = None) -> SettleEvents:
    """What became of all events that wait."""
    return SettleEvents([Settled(item.seq, log_index, refused) for item in city.store.pending_events(64)])


@pytest.mark.parametrize("act", ["pause", "withdraw"])
@pytest.mark.parametrize(("logged_at", "excused"), [(None, True), (0, True), (1, False)])
async def test_a_consent_that_was_silent_in_the_log_excuses_a_lower_decision(
    city: FakeCity, log: FakeLog, act: Act, logged_at: int | None, excused: bool
) -> None:
    attestation_id = await _attested(city)
    (view,) = city.authority.list(RESIDENT, 0)
    await city.authority.change(RESIDENT, view.listed.row.id, act)
    if logged_at is not None:  # else its acknowledgement is on its way, and the log may have it
        await city.store.submit(_settle(city, log_index=len(log.entries) - 1 + 2 * logged_at))
    await _lowered(city, log, attestation_id)
    assert _alarms(city) == ({} if excused else {"report_lower_than_attested": 1})


@pytest.mark.parametrize(("acts", "alarmed"), [(("pause",), 1), (("pause", "resume"), 0), (("withdraw",), 1)])
async def test_a_benefit_after_the_place_at_which_the_consent_was_silenced_is_alarmed(
    city: FakeCity, log: FakeLog, acts: Sequence[Act], alarmed: int
) -> None:
    attestation_id = await _attested(city)
    (view,) = city.authority.list(RESIDENT, 0)
    for act in acts:
        await city.authority.change(RESIDENT, view.listed.row.id, act)
        await city.store.submit(_settle(city, log_index=len(log.entries) - 1))
        log.refuse()
    await city.reports.take([_report(log, _decide(city, log, 1), attestation_id)], log.checkpoint())
    assert _alarms(city) == ({"report_entitled_though_silent": 1} if alarmed else {})


async def test_a_place_before_a_benefit_that_is_told_only_later_is_alarmed(city: FakeCity, log: FakeLog) -> None:
    attestation_id = await _attested(city)
    (view,) = city.authority.list(RESIDENT, 0)
    place = log.refuse()
    decided = _decide(city, log, 1)
    await city.authority.change(RESIDENT, view.listed.row.id, "withdraw")
    await city.reports.take([_report(log, decided, attestation_id)], log.checkpoint())
    assert _alarms(city) == {}  # the withdrawal may have come after it
    assert await city.store.submit(_settle(city, log_index=place)) == ([], 1)


async def test_neither_an_end_of_a_pause_nor_a_refused_event_excuses_a_lower_decision(
    city: FakeCity, log: FakeLog
) -> None:
    attestation_id = await _attested(city)
    (view,) = city.authority.list(RESIDENT, 0)
    for act in ("pause", "resume"):
        await city.authority.change(RESIDENT, view.listed.row.id, act)
        await city.store.submit(_settle(city, log_index=len(log.entries) - 1))
        log.refuse()
    await city.authority.change(RESIDENT, view.listed.row.id, "withdraw")
    await city.store.submit(_settle(city, None, "EVENT_INVALID"))
    await _lowered(city, log, attestation_id)
    assert _alarms(city) == {"report_lower_than_attested": 1}


@pytest.mark.parametrize(
    "changes", [{"operator": "xiamen-parking"}, {"scenario": "xiamen-parking"}, {"bundle": "cd" * 32}]
)
async def test_an_attestation_used_for_another_question_is_alarmed(
    city: FakeCity, log: FakeLog, changes: dict[str, Any]
) -> None:
    attestation_id = await _attested(city)
    await city.reports.take([_report(log, _decide(city, log, **changes), attestation_id)], log.checkpoint())
    assert _alarms(city) == {"report_of_another_question": 1}


@pytest.mark.parametrize(
    ("late_s", "changes", "ended"),
    [
        (360, {}, False),  # the scenario's minute, and the lifetime
        (361, {}, True),
        (86_400, {"bundle": "cd" * 32}, False),  # a bundle that is not held: it may be one that logs by the day
        (86_701, {"bundle": "cd" * 32}, True),
    ],
)
async def test_a_decision_on_an_attestation_that_had_ended_is_alarmed(
    city: FakeCity, log: FakeLog, late_s: int, changes: dict[str, Any], ended: bool
) -> None:
    attestation_id = await _attested(city)
    attested_s = city.now_s - city.now_s % 60
    index = _decide(city, log, time=(attested_s + late_s) * 1000, **changes)
    await city.reports.take([_report(log, index, attestation_id)], log.checkpoint())
    assert _alarms(city).get("report_on_ended_attestation", 0) == ended


async def test_two_histories_of_the_log_are_alarmed(city: FakeCity, log: FakeLog) -> None:
    attestation_id = await _attested(city)
    twin = log.fork()
    await city.reports.take([_report(log, _decide(city, log), attestation_id)], log.checkpoint())
    await city.reports.take([_report(twin, _decide(city, twin), attestation_id)], twin.checkpoint())
    assert _alarms(city) == {"log_fork": 1}
    (view,) = city.authority.list(RESIDENT, 0)
    assert view.listed.reported == 1


async def _refused(city: FakeCity, reports: list[Report], checkpoint: str) -> None:
    with refuses(Reason.REPORT_INVALID):
        await city.reports.take(reports, checkpoint)
    assert city.authority.reported_index() is None
    assert _alarms(city) == {}


async def test_no_reports_are_not_a_run(city: FakeCity, log: FakeLog) -> None:
    await _refused(city, [], log.checkpoint())


async def test_a_run_has_a_limit(city: FakeCity, log: FakeLog) -> None:
    report = _report(log, _decide(city, log))
    await _refused(city, [report] * (MAX_REPORTS + 1), log.checkpoint())


async def test_a_run_is_in_rising_order(city: FakeCity, log: FakeLog) -> None:
    one, two = _decide(city, log), _decide(city, log)
    await _refused(city, [_report(log, two), _report(log, one)], log.checkpoint())
    await _refused(city, [_report(log, two), _report(log, two)], log.checkpoint())


async def test_a_checkpoint_of_a_stranger_is_refused(city: FakeCity, log: FakeLog) -> None:
    report = _report(log, _decide(city, log))
    log.signer = SignerKey.generate(ORIGIN)
    await _refused(city, [report], log.checkpoint())


@pytest.mark.parametrize("checkpoint", ["", "no note at all", "log.tiergate.test/2026q4\n1\nAA==\n\n"])
async def test_a_malformed_checkpoint_is_refused(city: FakeCity, log: FakeLog, checkpoint: str) -> None:
    await _refused(city, [_report(log, _decide(city, log))], checkpoint)


async def test_a_proof_that_does_not_lead_to_the_checkpoint_is_refused(city: FakeCity, log: FakeLog) -> None:
    good = _report(log, _decide(city, log))
    await _refused(city, [replace(good, inclusion=(b"\0" * 32,))], log.checkpoint())
    await _refused(city, [replace(good, inclusion=())], log.checkpoint())
    await _refused(city, [replace(good, log_index=7)], log.checkpoint())


async def test_an_entry_beside_its_proof_is_refused(city: FakeCity, log: FakeLog) -> None:
    one, two = _decide(city, log), _decide(city, log)
    await _refused(city, [replace(_report(log, one), entry=log.entries[two])], log.checkpoint())


async def test_an_entry_that_is_no_decision_is_refused(city: FakeCity, log: FakeLog) -> None:
    await _refused(city, [_report(log, log.refuse())], log.checkpoint())


async def test_bytes_that_are_no_entry_are_refused(city: FakeCity, log: FakeLog) -> None:
    log.entries.append(b"{}")
    await _refused(city, [_report(log, len(log.entries) - 1)], log.checkpoint())


async def test_another_citys_decision_is_refused(city: FakeCity, log: FakeLog) -> None:
    await _refused(city, [_report(log, _decide(city, log, city="xiamen"))], log.checkpoint())


async def test_an_outcome_that_is_not_the_entrys_is_refused(city: FakeCity, log: FakeLog) -> None:
    report = _report(log, _decide(city, log, 0), outcome=Outcome.ENTITLED)
    await _refused(city, [report], log.checkpoint())


async def test_one_bad_report_refuses_the_run(city: FakeCity, log: FakeLog) -> None:
    attestation_id = await _attested(city)
    one, two = _decide(city, log), _decide(city, log)
    bad = replace(_report(log, two, attestation_id), inclusion=())
    await _refused(city, [_report(log, one, attestation_id), bad], log.checkpoint())
