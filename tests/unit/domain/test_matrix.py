from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import MappingProxyType
from typing import Any

import pytest

from gateway.domain.acceptance import ANY, AcceptanceRule, AcceptanceRules
from gateway.domain.bundle import Bundle
from gateway.domain.evaluate import evaluate
from gateway.domain.ids import CityId
from gateway.domain.matrix import Cell, cell_of, homes_of, matrix
from gateway.errors import TiergateError
from tests.unit.domain.samples import BORROWING, FUZHOU, LIBRARY, XIAMEN, acceptance, bundle, concordance, scenario

DAY = date(2026, 3, 15)
"""A day on which the sample scenario, of March 2026, is in force."""


def cell(day: date = DAY, home: CityId = FUZHOU, **changes: Any) -> Cell:
    rules = bundle(**changes)
    return cell_of(rules, home, rules.scenarios[BORROWING], day)


def rule(start: date, end: date | None = None, homes: frozenset[str] = frozenset({FUZHOU})) -> AcceptanceRule:
    return AcceptanceRule(homes, frozenset({ANY}), start, end)


def honouring(*rules: AcceptanceRule) -> dict[str, Any]:
    return {"acceptance": {XIAMEN: acceptance(XIAMEN, honours=AcceptanceRules(rules)), FUZHOU: acceptance(FUZHOU)}}


def test_an_open_cell_says_since_when_and_until_when() -> None:
    found = cell()
    offer = scenario()
    assert (found.state, found.since, found.until, found.opens) == (
        "open",
        offer.effective_from,
        offer.effective_until,
        None,
    )


def test_it_is_open_since_the_last_of_both_cities_and_the_offer_has_begun() -> None:
    found = cell(**honouring(rule(date(2026, 3, 10), date(2026, 3, 20))))
    assert (found.since, found.until) == (date(2026, 3, 10), date(2026, 3, 20))


def test_rules_that_follow_each_other_are_one_time() -> None:
    both = honouring(rule(date(2026, 3, 5), date(2026, 3, 12)), rule(date(2026, 3, 13), date(2026, 3, 25)))
    found = cell(**both)
    assert (found.since, found.until) == (date(2026, 3, 5), date(2026, 3, 25))
    apart = honouring(rule(date(2026, 3, 5), date(2026, 3, 11)), rule(date(2026, 3, 13)))
    assert cell(**apart).since == date(2026, 3, 13)
    assert cell(date(2026, 3, 12), **apart).state == "not-honoured"


def test_a_closed_cell_says_when_it_opens() -> None:
    both = honouring(rule(date(2026, 3, 20)))
    found = cell(**both)
    assert (found.state, found.since, found.until, found.opens) == ("not-honoured", None, None, date(2026, 3, 20))
    assert cell(**honouring()).opens is None
    early = cell(date(2026, 1, 15))
    assert (early.state, early.opens) == ("not-in-force", scenario().effective_from)


def test_a_city_without_a_concordance_gives_no_tier() -> None:
    found = cell(concordances={})
    assert (found.state, found.rungs) == ("no-concordance", {})
    ended = {FUZHOU: replace(concordance(), effective_until=date(2026, 3, 14))}
    assert cell(concordances=ended).state == "no-concordance"


def test_rungs_are_those_of_the_levels_that_the_city_gives() -> None:
    levels = [cut.level for cut in concordance().cuts]
    assert cell().rungs == {level: scenario().cap(level) for level in levels}


@pytest.mark.parametrize("offer", [True, False])
@pytest.mark.parametrize("score", [True, False])
def test_what_is_illustrative_is_what_a_decision_says(offer: bool, score: bool) -> None:
    rules = bundle(
        scenarios=MappingProxyType({BORROWING: scenario(illustrative=offer)}),
        concordances={FUZHOU: replace(concordance(), illustrative=score)},
    )
    found = cell_of(rules, FUZHOU, rules.scenarios[BORROWING], DAY)
    assert found.illustrative == evaluate(rules, found.scenario, FUZHOU, 0).illustrative == (offer or score)


def _asked(rules: Bundle, home: CityId, day: date) -> bool:
    try:
        rules.scenario_for(BORROWING, LIBRARY, home, day)
    except TiergateError:
        return False
    return True


def test_the_matrix_foretells_what_a_check_meets() -> None:
    rules = bundle(**honouring(rule(date(2026, 3, 5), date(2026, 3, 12)), rule(date(2026, 3, 20))))
    for number in range(1, 32):
        day = date(2026, 3, number)
        assert [item.state == "open" for item in matrix(rules, day, lambda home, _: home == FUZHOU)] == [
            _asked(rules, FUZHOU, day)
        ]


def test_every_city_that_the_rules_speak_of_is_a_home() -> None:
    assert homes_of(bundle()) == sorted({FUZHOU, XIAMEN})
    assert len(list(matrix(bundle(), DAY))) == 2
