from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from gateway.domain.acceptance import ANY, NO_RULES, AcceptanceRule, AcceptanceRules, standing_of
from gateway.domain.ids import CityId, ScenarioId
from gateway.errors import Reason, TiergateError
from tests.unit.domain.samples import BORROWING, FUZHOU, LIBRARY, TRANSIT, XIAMEN, acceptance, bundle, scenario

DAY = date(2026, 3, 15)


def test_an_open_scenario_is_found() -> None:
    assert bundle().scenario_for(BORROWING, LIBRARY, FUZHOU, DAY) == scenario()


@pytest.mark.parametrize("name", ["", "unknown", BORROWING.upper(), BORROWING + " ", "借书", "x" * 10_000])
def test_another_scenario_is_unknown(name: str) -> None:
    with pytest.raises(TiergateError) as caught:
        bundle().scenario_for(name, LIBRARY, FUZHOU, DAY)
    assert caught.value.reason is Reason.SCENARIO_UNKNOWN
    assert not caught.value.detail


def test_an_empty_bundle_knows_no_scenario() -> None:
    with pytest.raises(TiergateError) as caught:
        bundle(scenarios={}).scenario_for(BORROWING, LIBRARY, FUZHOU, DAY)
    assert caught.value.reason is Reason.SCENARIO_UNKNOWN


def test_a_scenario_is_not_open_to_another_operator() -> None:
    with pytest.raises(TiergateError) as caught:
        bundle().scenario_for(BORROWING, TRANSIT, FUZHOU, DAY)
    assert caught.value.reason is Reason.SCENARIO_NOT_OPEN


@pytest.mark.parametrize("day", [date(2026, 2, 28), date(2026, 4, 1)])
def test_a_scenario_is_not_open_outside_its_dates(day: date) -> None:
    with pytest.raises(TiergateError) as caught:
        bundle().scenario_for(BORROWING, LIBRARY, FUZHOU, day)
    assert caught.value.reason is Reason.SCENARIO_NOT_OPEN


def closed(home: CityId, **changes: Any) -> Reason:
    with pytest.raises(TiergateError) as caught:
        bundle(**changes).scenario_for(BORROWING, LIBRARY, home, DAY)
    return caught.value.reason


def test_what_no_city_has_stated_is_refused() -> None:
    assert closed(CityId("putian")) is Reason.HOME_NOT_HONOURED
    assert closed(FUZHOU, acceptance={}) is Reason.HOME_NOT_HONOURED


def test_both_cities_have_to_open_a_scenario() -> None:
    host, home = acceptance(XIAMEN), acceptance(FUZHOU)
    assert closed(FUZHOU, acceptance={XIAMEN: host}) is Reason.HOST_NOT_VOUCHED
    assert closed(FUZHOU, acceptance={FUZHOU: home}) is Reason.HOME_NOT_HONOURED
    assert (
        closed(FUZHOU, acceptance={XIAMEN: replace(host, honours=NO_RULES), FUZHOU: home}) is Reason.HOME_NOT_HONOURED
    )
    assert closed(FUZHOU, acceptance={XIAMEN: host, FUZHOU: replace(home, vouches=NO_RULES)}) is Reason.HOST_NOT_VOUCHED


def test_a_city_opens_from_a_day_and_until_a_day() -> None:
    until = date(2026, 3, 20)
    rule = AcceptanceRule(frozenset({FUZHOU}), frozenset({BORROWING}), DAY, until)
    both = {XIAMEN: acceptance(XIAMEN, honours=AcceptanceRules([rule])), FUZHOU: acceptance(FUZHOU)}
    before, after = date(2026, 3, 14), date(2026, 3, 21)
    standings = [standing_of(both, FUZHOU, scenario(), day) for day in (before, DAY, until, after)]
    assert standings == ["not-honoured", "open", "open", "not-honoured"]


def test_the_operator_is_judged_before_the_cities() -> None:
    with pytest.raises(TiergateError) as caught:
        bundle(acceptance={}).scenario_for(BORROWING, TRANSIT, FUZHOU, DAY)
    assert caught.value.reason is Reason.SCENARIO_NOT_OPEN


def test_a_rule_is_found_once_by_each_scenario_that_it_names() -> None:
    everything = AcceptanceRule(frozenset({FUZHOU}), frozenset({ANY, BORROWING}), DAY, None)
    another = AcceptanceRule(frozenset({ANY}), frozenset({"another"}), DAY, None)
    rules = AcceptanceRules([another, everything])
    assert list(rules.about(FUZHOU, BORROWING)) == [everything]
    assert list(rules.about(FUZHOU, ScenarioId("another"))) == [another, everything]
    assert list(rules.about(XIAMEN, ScenarioId("another"))) == [another]
    assert list(rules.about(XIAMEN, BORROWING)) == []
