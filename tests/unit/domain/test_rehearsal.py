"""A rehearsal against people whose scores are known here, and in no log."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from gateway.domain.bundle import Bundle
from gateway.domain.compare import compare
from gateway.domain.ids import CityId, OperatorId, ScenarioId
from gateway.domain.rehearsal import Decided, Rehearsed, rehearse
from gateway.domain.scenario import PercentageOff, Rung, Terms
from gateway.domain.tier import Cut
from gateway.errors import Reason
from gateway.policy.bundle import build_bundle, read_bundle
from gateway.policy.load import load_policies
from tests.unit.policy.files import DAY, valid, write

ALPHA, LOANS, DESK = CityId("alpha"), ScenarioId("loans"), OperatorId("desk")
POINTS = range(101)


@cache
def bundle() -> Bundle:
    with TemporaryDirectory() as folder:
        return read_bundle(build_bundle(load_policies(write(Path(folder), valid())), 1, date.max))


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    """The small set with cuts and rungs of any kind: one to three of each, at any points."""
    base = bundle()
    city, scenario = base.concordances[ALPHA], base.scenarios[LOANS]
    minimums = sorted(draw(st.sets(st.integers(1, 100), min_size=1, max_size=3)))
    levels = sorted(draw(st.sets(st.integers(1, 3), min_size=len(minimums), max_size=len(minimums))))
    cuts = tuple(Cut(*cut, "", city.source) for cut in zip(levels, minimums, strict=True))
    steps = sorted(draw(st.sets(st.integers(1, 3), min_size=1, max_size=3)))
    worth = sorted(draw(st.sets(st.integers(11, 15), min_size=len(steps), max_size=len(steps))))
    rungs = tuple(
        Rung(level, Terms((PercentageOff(percent),), str(percent), str(percent)))
        for level, percent in zip(steps, worth, strict=True)
    )
    return replace(
        base,
        concordances={**base.concordances, ALPHA: replace(city, cuts=cuts)},
        scenarios={LOANS: replace(scenario, rungs=rungs)},
    )


def rung_of(rules: Bundle, points: int | None) -> int:
    """What is decided for a score; None: for whoever has none, has paused or withdrawn."""
    return 0 if points is None else rules.scenarios[LOANS].cap(rules.concordances[ALPHA].level_of(points))


def again(old: Bundle, draft: Bundle, rung: int, day: date = DAY) -> Rehearsed:
    return rehearse(old, draft, Decided(DESK, ALPHA, LOANS, rung), day)


@given(bundles(), bundles())
def test_a_rehearsal_tells_all_that_is_possible_and_nothing_else(old: Bundle, draft: Bundle) -> None:
    possible: dict[int, set[int]] = {}
    for points in (None, *POINTS):
        possible.setdefault(rung_of(old, points), set()).add(rung_of(draft, points))
    for rung, after in possible.items():
        found = again(old, draft, rung)
        assert set(found.rungs) == after
        terms = [draft.scenarios[LOANS].terms_of(item) for item in sorted(after)]
        before = old.scenarios[LOANS].terms_of(rung)
        assert found.verdicts == {compare(before.items, item.items) for item in terms}


@given(bundles())
def test_the_same_policies_change_nothing(old: Bundle) -> None:
    for rung in {rung_of(old, points) for points in POINTS}:
        found = again(old, old, rung)
        assert found.rungs == (rung,)
        assert found.verdicts == {"same"}


def test_some_changes_are_known_and_others_not() -> None:
    pairs = st.tuples(bundles(), bundles())
    top = st.integers(1, 3)

    def reached(pair: tuple[Bundle, Bundle], rung: int) -> Rehearsed | None:
        return again(*pair, rung) if any(rung_of(pair[0], points) == rung for points in POINTS) else None

    drawn, any_will_do = st.tuples(pairs, top), settings(max_examples=2000, phases=[Phase.generate])
    find(drawn, lambda case: len(getattr(reached(*case), "rungs", ())) > 1, settings=any_will_do)
    find(drawn, lambda case: getattr(reached(*case), "rungs", ()) == (0,), settings=any_will_do)


def test_another_score_leaves_everything_open() -> None:
    old = bundle()
    city = replace(old.concordances[ALPHA], score_max=200)
    assert again(old, replace(old, concordances={ALPHA: city}), 2).rungs == (0, 1, 2)


def test_whoever_is_refused_gets_the_base_offer_if_there_is_one() -> None:
    old = bundle()
    base = old.scenarios[LOANS].base
    for draft, reason, terms in (
        (replace(old, scenarios={}), Reason.SCENARIO_UNKNOWN, ()),
        (replace(old, acceptance={}), Reason.HOME_NOT_HONOURED, (base,)),
        (replace(old, concordances={}), Reason.HOME_CITY_UNAVAILABLE, (base,)),
        (replace(old, expires=date(2026, 1, 1)), Reason.RULES_OUT_OF_FORCE, (base,)),
    ):
        found = again(old, draft, 2)
        assert (found.refused, found.terms, found.rungs) == (reason, terms, ())
        assert found.verdicts == {"worse"}
    early = again(old, old, 2, date(2025, 12, 31))
    assert (early.refused, early.terms) == (Reason.SCENARIO_NOT_OPEN, ())
