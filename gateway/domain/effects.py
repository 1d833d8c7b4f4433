"""What one set of policies changes against another, for whom: evaluated as a check is, over the whole matrix.

Nothing here compares texts of policies. Each home city's scores fall into bands in which both sets give one tier each;
for each band, scenario and span of days both sets are asked what a visitor gets, and the answers are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby, pairwise
from typing import NamedTuple, TypeVar

from gateway.domain.compare import Change, Verdict, changes, conditions, differing, verdict_on
from gateway.domain.decision import Outcome
from gateway.domain.evaluate import evaluate
from gateway.domain.ids import CityId, ScenarioId
from gateway.domain.matrix import Rules, State, homes_of, state_of, turns
from gateway.domain.scenario import Scenario, Terms
from gateway.domain.tier import Concordance

Key = TypeVar("Key")


class ScoreBand(NamedTuple):
    """A home city's scores, both ends included, in its own points, that are of one tier level before and of one after.

    None: that side has no such score, or no concordance of the city. Ends that are None stand for whoever has no score.
    """

    home: CityId
    low: int | None
    high: int | None
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class Given:
    """What a visitor gets on a day: ``terms`` are None where there is no such offer.

    Where the pair of cities is not open, the operator applies the base offer, as to everybody (I2).
    """

    state: State
    rung: int
    terms: Terms | None

    @property
    def outcome(self) -> Outcome:
        """Entitled or ordinary."""
        return Outcome.of(self.rung)


@dataclass(frozen=True, slots=True)
class Effect:
    """What changes for the residents in a band at a scenario, from a day until another (UTC, both included; None: on).

    ``verdict`` is ``same`` where terms and conditions are alike and only words differ. ``conditions``: those under
    which she gets it, where they differ and the pair is open on both sides.
    """

    band: ScoreBand
    scenario: ScenarioId
    since: date
    until: date | None
    before: Given
    after: Given
    verdict: Verdict
    conditions: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """A home city and a scenario between which something opens, closes, or is closed for another reason."""

    home: CityId
    scenario: ScenarioId
    since: date
    until: date | None
    before: State
    after: State


class _Answer(NamedTuple):
    before: Given
    after: Given
    verdict: Verdict
    conditions: tuple[Change, ...]
    differs: bool


class Difference(NamedTuple):
    """All that changes, by scenario and home city."""

    effects: tuple[Effect, ...]
    access: tuple[Access, ...]


def difference(old: Rules, new: Rules, start: date) -> Difference:
    """What ``new`` changes against ``old`` from a day (UTC) on, all known later days included."""
    effects: list[Effect] = []
    access: list[Access] = []
    homes = sorted({*homes_of(old), *homes_of(new)})
    bands = {home: tuple(bands_of(old, new, home)) for home in homes}
    decided, changed = _differing(old.acceptance, new.acceptance), _differing(old.scenarios, new.scenarios)
    moved = decided | _differing(old.concordances, new.concordances)
    for scenario in sorted({*old.scenarios, *new.scenarios}):
        host = (new.scenarios.get(scenario) or old.scenarios[scenario]).host_city
        everywhere = scenario in changed or host in decided
        told: dict[tuple[object, ...], _Answer] = {}
        for home in homes:
            if not everywhere and home not in moved:
                continue  # both sides say the same of all that follows here
            spells = tuple(_spells(old, new, home, scenario, start))
            access += (spell for spell in _joined(spells) if spell.before != spell.after)
            for band in bands[home]:
                effects += _effects(old, new, band, spells, told)
    return Difference(tuple(effects), tuple(access))


def given(rules: Rules, home: CityId, scenario: ScenarioId, level: int | None, day: date) -> Given:
    """What a resident of a tier level (None: of no tier) gets on a day, whatever operator of the scenario asks."""
    found = rules.scenarios.get(scenario)
    return _given(rules, home, found, level, _state(rules, home, found, day))


def bands_of(old: Rules, new: Rules, home: CityId) -> Iterator[ScoreBand]:
    """The home city's bands, lowest first; before them, whoever has no score."""
    sides = (old.concordances.get(home), new.concordances.get(home))
    edges = sorted({edge for side in sides if side is not None for edge in _edges(side)})
    yield ScoreBand(home, None, None, None, None)
    found = [
        ScoreBand(home, low, upper - 1, _level(sides[0], low), _level(sides[1], low)) for low, upper in pairwise(edges)
    ]
    for _, group in groupby(found, lambda band: (band.before, band.after)):
        alike = list(group)
        yield alike[0]._replace(high=alike[-1].high)


def spans(days: Iterable[date]) -> Iterator[tuple[date, date | None]]:
    """Spans of days, both ends included, that begin on each of ``days``, which rise; the last one does not end."""
    starts = list(days)
    for start, following in pairwise(starts):
        yield start, following - timedelta(days=1)
    yield starts[-1], None


def _edges(concordance: Concordance) -> Iterator[int]:
    yield concordance.score_min
    yield from (cut.minimum for cut in concordance.cuts)
    yield concordance.score_max + 1


def _level(concordance: Concordance | None, points: int) -> int | None:
    try:
        return None if concordance is None else concordance.level_of(points)
    except ValueError:
        return None


def _differing(old: Mapping[Key, object], new: Mapping[Key, object]) -> set[Key]:
    return {key for key in {*old, *new} if old.get(key) != new.get(key)}


def _state(rules: Rules, home: CityId, scenario: Scenario | None, day: date) -> State:
    return "not-in-force" if scenario is None else state_of(rules, home, scenario, day)


def _given(rules: Rules, home: CityId, scenario: Scenario | None, level: int | None, state: State) -> Given:
    if scenario is None or state == "not-in-force":
        return Given(state, 0, None)
    rung = scenario.cap(level or 0) if state == "open" else 0
    return Given(state, rung, evaluate(rules, scenario, home, rung).terms)


def _spells(old: Rules, new: Rules, home: CityId, scenario: ScenarioId, start: date) -> Iterator[Access]:
    """How the pair stands on both sides, for each span of days in which neither can change."""
    before, after = old.scenarios.get(scenario), new.scenarios.get(scenario)
    sides = ((old, before), (new, after))
    later = {turn for rules, found in sides if found is not None for turn in turns(rules, home, found)}
    for since, until in spans(sorted({start, *(turn for turn in later if turn > start)})):
        states = (_state(rules, home, found, since) for rules, found in sides)
        yield Access(home, scenario, since, until, *states)


def _joined(spells: Iterable[Access]) -> Iterator[Access]:
    for _, group in groupby(spells, lambda item: (item.before, item.after)):
        alike = list(group)
        yield replace(alike[0], until=alike[-1].until)


def _effects(
    old: Rules, new: Rules, band: ScoreBand, spells: Iterable[Access], told: dict[tuple[object, ...], _Answer]
) -> Iterator[Effect]:
    """The effects on a band at one scenario. ``told``: answers there; they depend on nothing else of the home city."""
    homes = tuple(rules.concordances.get(band.home) for rules in (old, new))
    ages = tuple(home and home.max_age_days for home in homes)
    for spell in _joined(spells):
        key = (band.before, spell.before, band.after, spell.after, ages)
        if key not in told:
            told[key] = _answer(old, new, band, spell)
        answer = told[key]
        if answer.differs:
            sides = (answer.before, answer.after)
            yield Effect(band, spell.scenario, spell.since, spell.until, *sides, answer.verdict, answer.conditions)


def _answer(old: Rules, new: Rules, band: ScoreBand, spell: Access) -> _Answer:
    sides = ((old, band.before, spell.before), (new, band.after, spell.after))
    before, after = (
        _given(rules, band.home, rules.scenarios.get(spell.scenario), level, state) for rules, level, state in sides
    )
    otherwise: tuple[Change, ...] = ()
    if before.state == after.state == "open":  # elsewhere there is nothing to consent to
        scored = before.rung and after.rung
        under = (
            conditions(rules.scenarios[spell.scenario], rules.concordances[band.home] if scored else None)
            for rules in (old, new)
        )
        otherwise = differing(*under)
    old_terms, new_terms = before.terms, after.terms
    found = changes(old_terms.items if old_terms else (), new_terms.items if new_terms else ())
    verdict = verdict_on((*found, *otherwise))
    worded = old_terms is not None and new_terms is not None and old_terms != new_terms
    return _Answer(before, after, verdict, otherwise, differs=verdict != "same" or worded)
