from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.evaluate import Evaluated, at_best
from gateway.domain.scenario import Terms
from tests.unit.domain.samples import BASE, BORROWING, FUZHOU, MORE, SOME, XIAMEN, bundle, concordance, scenario


def _best(cuts: int = 3, **changes: Any) -> Evaluated:
    """What a resident of Fuzhou, whose concordance has so many cuts, gets at best."""
    home = concordance(illustrative=False)
    rules = bundle(concordances={FUZHOU: replace(home, cuts=home.cuts[:cuts])})
    return at_best(rules, scenario(**{"illustrative": False, **changes}), FUZHOU)


@pytest.mark.parametrize(("cuts", "terms"), [(0, BASE), (1, SOME), (2, SOME), (3, MORE)])
def test_at_best_is_what_the_highest_tier_of_the_home_city_gets(cuts: int, terms: Terms) -> None:
    assert _best(cuts) == Evaluated(terms, illustrative=False)


def test_the_best_terms_rest_on_scenario_and_concordance() -> None:
    assert _best(illustrative=True).illustrative
    assert at_best(bundle(), scenario(illustrative=False), FUZHOU).illustrative  # the sample concordance is


def test_a_city_without_a_concordance_promises_nothing() -> None:
    assert at_best(bundle(), bundle().scenarios[BORROWING], XIAMEN).terms == BASE
