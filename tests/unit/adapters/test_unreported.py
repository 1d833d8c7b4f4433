"""What the city attested and nobody reported a decision for: noticed when it is time, and shown to the resident."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.reports import Report
from adapters.unreported import DEADLINE_S, Unreported
from gateway.domain.decision import Outcome
from gateway.domain.ids import ResidentRef
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.log import FakeLog
from tests.fakes.network import Network

OTHER = ResidentRef("synthetic-2")


@pytest.fixture
def log(network: Network) -> FakeLog:
    return FakeLog(network.log)


async def _report(city: FakeCity, log: FakeLog, attestation_id: str) -> None:
    index = log.decide(1, bundle=city.reference.bundle.digest)
    report = Report(attestation_id, Outcome.of(1), index, log.entries[index], log.inclusion(index))
    await city.reports.take([report], log.checkpoint())


def _alarmed(city: FakeCity) -> int:
    return city.alarms.raised["attested_not_reported"]


async def _pass_deadline(city: FakeCity, *watches: Unreported) -> None:
    """Look, wait for as long as a report may take, and look again."""
    for watch in watches:
        await watch.look()
    city.clock.advance(DEADLINE_S)
    for watch in watches:
        await watch.look()


async def test_what_is_not_reported_is_noticed_when_it_is_time_and_once(city: FakeCity) -> None:
    granted = await city.grant()
    await city.answer(granted.token)
    await city.unreported.look()
    city.clock.advance(DEADLINE_S - 1)
    await city.unreported.look()
    assert (_alarmed(city), city.desk.unreported(RESIDENT, None)) == (0, [])
    city.clock.advance(1)
    await city.unreported.look()
    assert _alarmed(city) == 1
    (found,) = city.desk.unreported(RESIDENT, None)
    assert (found.consent_id, found.operator, found.scenario) == (granted.id, "xiamen-library", "xiamen-library")
    assert found.at % 60 == 0  # as coarse as the journal
    await _pass_deadline(city, city.unreported)
    assert _alarmed(city) == 1


async def test_what_was_reported_is_no_news(city: FakeCity, log: FakeLog) -> None:
    granted = await city.grant()
    for _ in range(2):
        await _report(city, log, (await city.answer(granted.token)).id)
    await _pass_deadline(city, city.unreported)
    assert (_alarmed(city), city.desk.unreported(RESIDENT, None)) == (0, [])


async def test_an_earlier_decision_of_the_same_consent_is_none_of_this_answer(city: FakeCity, log: FakeLog) -> None:
    granted = await city.grant()
    await _report(city, log, (await city.answer(granted.token)).id)
    await city.unreported.look()
    await city.answer(granted.token)
    await _pass_deadline(city, city.unreported)
    assert _alarmed(city) == 1


async def test_a_late_report_takes_it_out_of_her_view(city: FakeCity, log: FakeLog) -> None:
    attested = await city.answer((await city.grant()).token)
    await _pass_deadline(city, city.unreported)
    assert len(city.desk.unreported(RESIDENT, None)) == 1
    await _report(city, log, attested.id)
    assert city.desk.unreported(RESIDENT, None) == []


async def test_it_is_hers_alone_and_of_the_consent_that_is_asked_for(city: FakeCity) -> None:
    city.source.know(OTHER, 900)
    one, two, others = await city.grant(), await city.grant(), await city.grant(OTHER)
    for granted in (one, two, others):
        await city.answer(granted.token)
    await _pass_deadline(city, city.unreported)
    assert [item.consent_id for item in city.desk.unreported(RESIDENT, None)] == [two.id, one.id]
    assert [item.consent_id for item in city.desk.unreported(RESIDENT, one.id)] == [one.id]
    assert city.desk.unreported(RESIDENT, others.id) == []


async def test_many_are_found_a_few_at_a_time(city: FakeCity, log: FakeLog) -> None:
    granted = await city.grant(uses=9)
    for number in range(9):
        attested = await city.answer(granted.token)
        if number % 3 == 0:
            await _report(city, log, attested.id)
    await _pass_deadline(city, Unreported(city.store, city.alarms, city.clock, run=2))
    assert _alarmed(city) == 6
    assert len(city.desk.unreported(RESIDENT, None)) == 6


async def test_a_restart_forgets_nothing_and_finds_nothing_twice(network: Network, tmp_path: Path) -> None:
    async with FakeCity(network, tmp_path) as before:
        before.source.know(RESIDENT, 900)
        granted = await before.grant()
        await before.answer(granted.token)
        await _pass_deadline(before, before.unreported)
        await before.answer(granted.token)
        await before.unreported.look()
    async with FakeCity(network, tmp_path, clock=before.clock) as after:
        assert len(after.desk.unreported(RESIDENT, None)) == 1
        await after.unreported.look()
        assert _alarmed(after) == 0  # how old it is nobody knows who has just been started
        await _pass_deadline(after, after.unreported)
        assert _alarmed(after) == 1
        assert len(after.desk.unreported(RESIDENT, None)) == 2
