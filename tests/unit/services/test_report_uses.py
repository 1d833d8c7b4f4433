"""The reporter: from a cursor on the log, proved, repeated until acknowledged, and what lag costs a city."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.merkle import leaf_hash, verify_inclusion
from gateway.consentlog.note import open_note
from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError
from gateway.services.report_uses import (
    CALM_LAG_S,
    CALM_PAUSE_S,
    LOOK_FOR_CITIES_S,
    MAX_LAG_S,
    MAX_PAUSE_S,
    PAUSE_S,
    RUN,
    ProvedUse,
    ReportUses,
)
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import FUZHOU, SIGNER, draft, record
from tests.fakes.clock import FakeClock


@dataclass
class Receiver:
    """A city that keeps what it is told; it can be away, or hold less than it was sent."""

    runs: list[list[ProvedUse]] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)
    away: bool = False
    holds: int | None = None

    def encode(self, uses: Sequence[ProvedUse]) -> bytes:
        """See ``ReportReceiver``."""
        self.runs.append(list(uses))
        return json.dumps([use.use.index for use in uses]).encode()

    async def deliver(self, run: bytes) -> int:
        """See ``ReportReceiver``."""
        if self.away:
            raise TiergateError(Reason.HOME_CITY_UNAVAILABLE)
        indices: list[int] = json.loads(run)
        self.delivered += indices
        return indices[-1] if self.holds is None else self.holds


@dataclass
class Desk:
    """A reporter with everything around it."""

    clock: FakeClock
    store: SqliteStore
    receiver: Receiver
    reporter: ReportUses
    alarms: list[Reason]
    pauses: list[float]


class StopError(Exception):
    """Ends the endless loop."""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock, receiver = FakeClock(), Receiver()
    store = SqliteStore(tmp_path / "gateway.db", tmp_path / "log.mark", SIGNER, clock)
    await store.start("fujian")
    alarms: list[Reason] = []
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds == LOOK_FOR_CITIES_S:
            await asyncio.Event().wait()
        pauses.append(seconds)
        if len(pauses) == 6:
            raise StopError

    def alarm(city: CityId, error: TiergateError) -> None:
        assert city == FUZHOU
        alarms.append(error.reason)

    reporter = ReportUses(clock=clock, log=store, cursor=store, cities={FUZHOU: receiver}, alarm=alarm, sleep=sleep)
    yield Desk(clock, store, receiver, reporter, alarms, pauses)
    await store.close()


async def test_every_decision_is_reported_once_with_its_proof(desk: Desk) -> None:
    decisions = await record(desk.store, *(draft(desk.clock, number) for number in range(5)))
    assert await desk.reporter.report_once(FUZHOU) == PAUSE_S
    await desk.reporter.report_once(FUZHOU)
    assert desk.receiver.delivered == [decision.log_index for decision in decisions]
    for proved in desk.receiver.runs[0]:
        head = Checkpoint.parse(open_note(proved.receipt.checkpoint.encode(), [SIGNER.verifier]).text)
        leaf = leaf_hash(proved.use.entry)
        verify_inclusion(proved.use.index, head.size, leaf, list(proved.receipt.hashes), head.root)


async def test_what_was_not_acknowledged_is_sent_again(desk: Desk) -> None:
    decisions = await record(desk.store, *(draft(desk.clock, number) for number in range(4)))
    desk.receiver.holds = decisions[1].log_index
    await desk.reporter.report_once(FUZHOU)
    desk.receiver.holds = None
    desk.receiver.delivered.clear()
    await desk.reporter.report_once(FUZHOU)
    assert desk.receiver.delivered == [decision.log_index for decision in decisions[2:]]


async def test_a_city_that_claims_more_than_it_was_sent_is_not_believed(desk: Desk) -> None:
    await record(desk.store, draft(desk.clock, 1))
    desk.receiver.holds = 10_000
    await desk.reporter.report_once(FUZHOU)
    desk.receiver.holds = None
    later = await record(desk.store, draft(desk.clock, 2))
    await desk.reporter.report_once(FUZHOU)
    assert desk.receiver.delivered[-1] == later[0].log_index


async def test_a_lagging_city_gets_no_cached_answers_until_it_has_caught_up(desk: Desk) -> None:
    await record(desk.store, draft(desk.clock, 1))
    desk.receiver.away = True
    with pytest.raises(TiergateError):
        await desk.reporter.report_once(FUZHOU)
    desk.clock.advance(MAX_LAG_S)
    with pytest.raises(TiergateError):
        await desk.reporter.report_once(FUZHOU)
    assert desk.reporter.may_cache(FUZHOU)
    desk.clock.advance(1)
    with pytest.raises(TiergateError):
        await desk.reporter.report_once(FUZHOU)
    assert not desk.reporter.may_cache(FUZHOU)
    desk.receiver.away = False
    await desk.reporter.report_once(FUZHOU)
    await desk.reporter.report_once(FUZHOU)
    assert desk.reporter.may_cache(FUZHOU)


async def test_a_restart_forgives_no_lag(desk: Desk) -> None:
    await record(desk.store, draft(desk.clock, 1))
    desk.receiver.away = True
    desk.clock.advance(MAX_LAG_S + 1)
    cities = {FUZHOU: desk.receiver}
    begun = ReportUses(clock=desk.clock, log=desk.store, cursor=desk.store, cities=cities, alarm=lambda *_: None)
    with pytest.raises(TiergateError):
        await begun.report_once(FUZHOU)
    assert not begun.may_cache(FUZHOU)


async def test_a_city_that_nobody_could_look_after_gets_no_cached_answers(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_city: object, _limit: int) -> None:
        raise TiergateError(Reason.STORE_BUSY)

    await desk.reporter.report_once(FUZHOU)
    with monkeypatch.context() as broken:
        broken.setattr(desk.store, "unreported", unreadable)
        for _ in range(2):
            desk.clock.advance(MAX_LAG_S / 2)
            assert desk.reporter.may_cache(FUZHOU)
            with pytest.raises(TiergateError):
                await desk.reporter.report_once(FUZHOU)
        desk.clock.advance(1)
        assert not desk.reporter.may_cache(FUZHOU)
    await desk.reporter.report_once(FUZHOU)
    assert desk.reporter.may_cache(FUZHOU)


async def test_full_runs_keep_a_distance_only_while_reports_are_young(desk: Desk) -> None:
    await record(desk.store, *(draft(desk.clock, number) for number in range(2 * RUN + 1)))
    assert await desk.reporter.report_once(FUZHOU) == CALM_PAUSE_S
    desk.clock.advance(CALM_LAG_S)
    assert await desk.reporter.report_once(FUZHOU) == 0.0  # the second run's entries are as old as the first's
    assert await desk.reporter.report_once(FUZHOU) == PAUSE_S
    assert [len(run) for run in desk.receiver.runs] == [RUN, RUN, 1]


async def test_failures_are_alarmed_and_tried_again_at_growing_distance(desk: Desk) -> None:
    await record(desk.store, draft(desk.clock, 1))
    desk.receiver.away = True
    with pytest.raises(ExceptionGroup) as caught:
        await desk.reporter.run()
    assert caught.group_contains(StopError)
    assert desk.alarms == [Reason.HOME_CITY_UNAVAILABLE] * 6
    assert desk.pauses == sorted(desk.pauses)
    assert desk.pauses[-1] == MAX_PAUSE_S


async def test_a_city_that_acknowledges_nothing_is_alarmed_and_not_flooded(desk: Desk) -> None:
    decisions = await record(desk.store, *(draft(desk.clock, number) for number in range(RUN + 1)))
    desk.clock.advance(CALM_LAG_S)
    desk.receiver.holds = decisions[0].log_index - 1
    with pytest.raises(ExceptionGroup) as caught:
        await desk.reporter.run()
    assert caught.group_contains(StopError)
    assert desk.alarms == [Reason.HOME_CITY_UNAVAILABLE] * 6
    assert desk.pauses == sorted(desk.pauses)
    assert (desk.pauses[0], desk.pauses[-1]) == (2 * PAUSE_S, MAX_PAUSE_S)


async def test_a_fault_of_our_own_is_alarmed_and_does_not_end_reporting(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await record(desk.store, draft(desk.clock, 1))

    def broken(_uses: Sequence[ProvedUse]) -> bytes:
        raise ValueError("a fault")

    monkeypatch.setattr(desk.receiver, "encode", broken)  # where no city can cause a fault
    with pytest.raises(ExceptionGroup):
        await desk.reporter.run()
    assert desk.alarms == [Reason.INTERNAL] * 6


async def test_a_city_that_falls_behind_slowly_is_seen_to_lag(desk: Desk) -> None:
    """Each run moves the cursor a little, so the oldest entry is another one each time; its age grows all the same."""
    for second in range(MAX_LAG_S + 30):
        await record(desk.store, *(draft(desk.clock, 10 * second + number) for number in range(3)))
        unreported = desk.store.unreported(FUZHOU, 1)
        desk.receiver.holds = unreported[0].index
        await desk.reporter.report_once(FUZHOU)
        desk.clock.advance(1)
    assert desk.reporter.may_cache(FUZHOU)
    desk.receiver.holds = -1
    for _ in range(120):
        with pytest.raises(TiergateError):
            await desk.reporter.report_once(FUZHOU)
        desk.clock.advance(1)
    assert not desk.reporter.may_cache(FUZHOU)
