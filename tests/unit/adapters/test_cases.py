"""Cases about contested decisions: their steps, in order, and their deadlines."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from adapters.casework import Deadlines
from adapters.reports import Report
from adapters.store.cases import MAX_CASES
from gateway.domain.consent import Contested, Step
from gateway.domain.decision import Outcome
from gateway.errors import Reason
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
    await city.pusher.push_once()
    steps: list[Step] = ["opened", "flagged", "forwarded", "corrected"]
    assert [event.subject for event in city.gateway.events] == [*(Contested(index, step) for step in steps), None]
    (listed,) = city.desk.cases(RESIDENT)
    assert listed.row.step == "corrected"
    assert city.desk.cases(None) == []  # none is open
    again = await city.desk.contest(RESIDENT, index)
    assert again.row.id != case.row.id


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
    city.clock.advance(case.due.decide_by - city.now_s)
    await city.desk.look_after_cases()
    assert city.alarms.raised["case_late"] == 2
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
