"""Cases about contested decisions: their steps, in order, and their deadlines."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from datetime import date, datetime

import pytest

from adapters.casework import CHINA, Deadlines
from adapters.events import RUN
from adapters.reports import Report
from adapters.store.cases import MAX_CASES
from adapters.store.migrations import MIGRATIONS
from adapters.store.outbox import pending_events
from gateway.domain.consent import Contested, Step
from gateway.domain.decision import Outcome
from gateway.errors import Reason, TiergateError
from gateway.sqlite.migrate import migrate
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.log import FakeLog
from tests.unit.adapters.conftest import refuses
from tests.unit.adapters.test_desk import log, use

__all__ = ["log"]  # a fixture
DAY_S = 86_400


async def test_a_contest_opens_one_case_which_is_told_step_by_step(city: FakeCity, log: FakeLog) -> None:
    index = await use(city, log, await city.grant())
    case = await city.desk.contest(RESIDENT, index)
    assert await city.desk.contest(RESIDENT, index) == case
    for step in ("flagged", "forwarded", "corrected"):
        await city.desk.advance(case.row.id, step)
    while city.store.count_pending():
        await city.pusher.push_once()
    steps: list[Step] = ["opened", "flagged", "forwarded", "corrected"]
    told = [event.subject for event in city.gateway.events if event.kind == "contest"]
    assert told == [Contested(index, step) for step in steps]
    assert [event.kind for event in city.gateway.events if event.kind != "contest"] == ["correction"]
    (listed,) = city.desk.cases(RESIDENT)
    assert listed.row.step == "corrected"
    assert city.desk.cases(None) == []  # none is open
    again = await city.desk.contest(RESIDENT, index)
    assert again.row.id != case.row.id


@pytest.mark.parametrize("deferred", range(3))
async def test_a_step_that_is_put_off_is_not_overtaken_and_holds_up_nothing_else(
    city: FakeCity, log: FakeLog, deferred: int
) -> None:
    granted = await city.grant()
    case = await city.desk.contest(RESIDENT, await use(city, log, granted))
    other = await city.desk.contest(RESIDENT, await use(city, log, granted))
    await city.desk.advance(case.row.id, "flagged")
    await city.authority.change(RESIDENT, granted.id, "withdraw")
    await city.desk.advance(case.row.id, "forwarded")
    for _ in range(deferred):
        await city.pusher.push_once()
    first = city.store.pending_events(RUN)[0]
    city.gateway.refusing[first.id] = "EVENT_DEFERRED"
    for _ in range(3):
        with contextlib.suppress(TiergateError):
            await city.pusher.push_once()
    city.gateway.refusing.clear()
    while city.store.count_pending():
        await city.pusher.push_once()
    subjects = [event.subject for event in city.gateway.events]
    steps: list[Step] = ["opened", "flagged", "forwarded"]
    mine = [Contested(case.row.decision, step) for step in steps]
    assert [subject for subject in subjects if subject in mine] == mine
    assert subjects.index(Contested(other.row.decision, "opened")) < subjects.index(mine[-1])
    assert subjects.index(granted.id) < subjects.index(mine[-1])


def test_steps_from_before_are_put_in_order_too() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, [item for item in MIGRATIONS if item.number < 8])
    connection.executescript(
        """
INSERT INTO cases (id, resident, decision, opened_at, step) VALUES ('case', 'synthetic-1', 7, 0, 'flagged');
INSERT INTO events (id, kind, consent_id, event) VALUES
    ('a', 'contest', NULL, ''), ('b', 'contest', NULL, ''), ('c', 'pause', 'consent', ''),
    ('d', 'correction', NULL, ''), ('e', 'resumption', 'consent', '');
INSERT INTO case_steps (case_id, step, at, event_id) VALUES ('case', 'opened', 0, 'a'), ('case', 'flagged', 1, 'b');
"""
    )
    migrate(connection, MIGRATIONS)
    assert [item.id for item in pending_events(connection, 64)] == ["a", "c", "d"]


async def test_a_contest_changes_no_answer(city: FakeCity, log: FakeLog) -> None:
    granted = await city.grant()
    case = await city.desk.contest(RESIDENT, await use(city, log, granted))
    assert (await city.answer(granted.token)).rung == 1
    await city.desk.advance(case.row.id, "upheld")
    assert (await city.answer(granted.token)).rung == 1


@pytest.mark.parametrize(("first", "then"), [("upheld", "flagged"), ("forwarded", "flagged"), ("flagged", "flagged")])
async def test_a_case_does_not_go_back(city: FakeCity, log: FakeLog, first: Step, then: Step) -> None:
    case = await city.desk.contest(RESIDENT, await use(city, log, await city.grant()))
    await city.desk.advance(case.row.id, first)
    pending = city.store.count_pending()
    with refuses(Reason.CASE_STATE):
        await city.desk.advance(case.row.id, then)
    assert city.store.count_pending() == pending
    with refuses(Reason.CASE_UNKNOWN):
        await city.desk.advance("A" * 22, then)


async def test_a_late_case_is_alarmed_and_lapses_at_the_last_deadline(city: FakeCity, log: FakeLog) -> None:
    case = await city.desk.contest(RESIDENT, await use(city, log, await city.grant()))
    await city.desk.look_after_cases()
    assert city.alarms.raised["case_late"] == 0
    city.clock.advance(case.due.flag_by - city.now_s)
    await city.desk.look_after_cases()
    assert city.alarms.raised["case_late"] == 1
    await city.desk.advance(case.row.id, "flagged")
    await city.desk.look_after_cases()
    assert city.alarms.raised["case_late"] == 1
    city.clock.advance(case.due.forward_by - city.now_s)
    await city.desk.look_after_cases()
    assert city.alarms.raised["case_late"] == 2
    await city.desk.advance(case.row.id, "forwarded")
    await city.desk.look_after_cases()
    assert city.alarms.raised["case_late"] == 2
    city.clock.advance(case.due.decide_by - city.now_s)
    await city.desk.look_after_cases()
    assert city.alarms.raised["case_late"] == 3
    city.clock.advance(case.due.lapses_at - city.now_s)
    await city.desk.look_after_cases()
    assert city.alarms.raised["case_lapsed"] == 1
    (listed,) = city.desk.cases(RESIDENT)
    assert listed.row.step == "lapsed"


async def test_the_oldest_of_many_open_cases_lapse_too(city: FakeCity, log: FakeLog) -> None:
    oldest = await city.desk.contest(RESIDENT, await use(city, log, await city.grant()))
    city.clock.advance(1)
    attested = await city.answer((await city.grant()).token)
    decided = [log.decide(1, bundle=city.reference.bundle.digest) for _ in range(MAX_CASES)]
    await city.reports.take(
        [Report(attested.id, Outcome.of(1), at, log.entries[at], log.inclusion(at)) for at in decided], log.checkpoint()
    )
    for index in decided:
        await city.desk.contest(RESIDENT, index)
    assert oldest.row.id not in {case.row.id for case in city.desk.cases(None)}  # a list has its limit
    city.clock.advance(oldest.due.lapses_at - city.now_s)
    await city.desk.look_after_cases()
    assert city.alarms.raised["case_lapsed"] == MAX_CASES + 1
    assert city.desk.cases(None) == []


async def test_deadlines_without_a_calendar_are_alarmed_while_the_case_is_open(city: FakeCity, log: FakeLog) -> None:
    case = await city.desk.contest(RESIDENT, await use(city, log, await city.grant()))
    await city.desk.look_after_cases()
    assert city.alarms.raised["calendar_missing"] == 1
    await city.desk.advance(case.row.id, "upheld")
    await city.desk.look_after_cases()
    assert city.alarms.raised["calendar_missing"] == 1


async def test_deadlines_with_a_calendar_are_not(city: FakeCity, log: FakeLog) -> None:
    opened = await city.desk.contest(RESIDENT, await use(city, log, await city.grant()))
    years = Deadlines().uncovered(opened.row.opened_at)
    city.desk._deadlines = Deadlines(holidays=frozenset(date(year, 10, 1) for year in years))
    await city.desk.look_after_cases()
    assert city.alarms.raised["calendar_missing"] == 0


@pytest.mark.parametrize(
    ("opened", "holidays", "years"),
    [
        (date(2026, 9, 30), (), (2026,)),
        (date(2026, 9, 30), (date(2026, 10, 1),), ()),
        (date(2026, 12, 10), (date(2026, 10, 1),), (2027,)),
        (date(2026, 12, 10), (date(2027, 1, 1),), (2026,)),
        (date(2026, 12, 10), (), (2026, 2027)),
        (date(2026, 12, 31), (date(2027, 1, 1),), ()),  # no day of 2026 counts any more
    ],
)
def test_which_years_a_case_reaches_into_without_a_calendar(
    opened: date, holidays: tuple[date, ...], years: tuple[int, ...]
) -> None:
    at = int(datetime(opened.year, opened.month, opened.day, 12, tzinfo=CHINA).timestamp())
    assert Deadlines(holidays=frozenset(holidays)).uncovered(at) == years


def test_days_of_a_weekend_that_are_worked_are_no_calendar_alone() -> None:
    at = int(datetime(2026, 9, 30, 12, tzinfo=CHINA).timestamp())
    assert Deadlines(workdays=frozenset({date(2026, 10, 10)})).uncovered(at) == (2026,)


def _day(at_s: int) -> date:
    """The China day that ends at a deadline."""
    return date.fromordinal(date(1970, 1, 1).toordinal() + (at_s + 8 * 3600) // DAY_S - 1)


def test_deadlines_are_whole_working_days_in_china() -> None:
    friday_noon_utc = 1_795_780_800 - 1_795_780_800 % DAY_S + 12 * 3600
    while (friday_noon_utc // DAY_S + 3) % 7 != 4:
        friday_noon_utc += DAY_S
    friday = date.fromordinal(date(1970, 1, 1).toordinal() + friday_noon_utc // DAY_S)
    due = Deadlines().of(friday_noon_utc)
    days = [_day(at).toordinal() - friday.toordinal() for at in (due.flag_by, due.forward_by, due.decide_by)]
    assert days == [3, 4, 7]
    assert _day(due.lapses_at).toordinal() - friday.toordinal() == 28
    monday, saturday = (date.fromordinal(friday.toordinal() + days) for days in (3, 1))
    shifted = replace(Deadlines(), holidays=frozenset({monday}), workdays=frozenset({saturday})).of(friday_noon_utc)
    assert _day(shifted.flag_by) == saturday
    assert _day(shifted.forward_by) == date.fromordinal(friday.toordinal() + 4)
    # 17:00 UTC on Friday is Saturday in China
    assert _day(Deadlines().of(friday_noon_utc + 5 * 3600).flag_by) == monday
