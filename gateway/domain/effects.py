"""What one set of policies changes against another, for whom: evaluated as a check is, over the whole matrix.

Nothing here compares texts of policies. Each home city's scores fall into bands in which both sets give one tier each;
for each band, scenario and span of days both sets are asked what a visitor gets, and the answers are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby, pairwise
from typing import NamedTuple

from gateway.domain.compare import Verdict, compare
from gateway.domain.decision import Outcome
from gateway.domain.evaluate import evaluate
from gateway.domain.ids import CityId, ScenarioId
from gateway.domain.matrix import Rules, State, homes_of, state_of, turns
from gateway.domain.scenario import Scenario, Terms
from gateway.domain.tier import Concordance


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

    ``verdict`` is ``same`` where the terms are alike and only their words differ.
    """

    band: ScoreBand
    scenario: ScenarioId
    since: date
    until: date | None
    before: Given
    after: Given
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Access:
    """A home city and a scenario between which something opens, closes, or is closed for another reason."""

    home: CityId
    scenario: ScenarioId
    since: date
    until: date | None
    before: State
    after: State


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
    for scenario in sorted({*old.scenarios, *new.scenarios}):
        for home in homes:
            if _untouched(old, new, home, scenario):
                continue
            days = _days(old, new, home, scenario, start)
            access += _access(old, new, home, scenario, days)
            for band in bands[home]:
                effects += _effects(old, new, band, scenario, days)
    return Difference(tuple(effects), tuple(access))


def given(rules: Rules, home: CityId, scenario: ScenarioId, level: int | None, day: date) -> Given:
    """What a resident of a tier level (None: of no tier) gets on a day, whatever operator of the scenario asks."""
    found = rules.scenarios.get(scenario)
    if found is None:
        return Given("not-in-force", 0, None)
    state = state_of(rules, home, found, day)
    if state == "not-in-force":
        return Given(state, 0, None)
    rung = found.cap(level or 0) if state == "open" else 0
    return Given(state, rung, evaluate(rules, found, home, rung).terms)


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


def _untouched(old: Rules, new: Rules, home: CityId, scenario: ScenarioId) -> bool:
    """Whether both sides say the same of all that the cell follows from."""
    before, after = old.scenarios.get(scenario), new.scenarios.get(scenario)
    if before is None or before != after or old.concordances.get(home) != new.concordances.get(home):
        return False
    cities = (home, before.host_city)
    return all(old.acceptance.get(city) == new.acceptance.get(city) for city in cities)


def _days(old: Rules, new: Rules, home: CityId, scenario: ScenarioId, start: date) -> list[date]:
    sides = ((rules, rules.scenarios.get(scenario)) for rules in (old, new))
    later = {turn for rules, found in sides if found is not None for turn in turns(rules, home, found)}
    return sorted({start, *(turn for turn in later if turn > start)})


def _state(rules: Rules, home: CityId, scenario: Scenario | None, day: date) -> State:
    return "not-in-force" if scenario is None else state_of(rules, home, scenario, day)


def _access(old: Rules, new: Rules, home: CityId, scenario: ScenarioId, days: list[date]) -> Iterator[Access]:
    before, after = old.scenarios.get(scenario), new.scenarios.get(scenario)
    states = (
        Access(home, scenario, *span, _state(old, home, before, span[0]), _state(new, home, after, span[0]))
        for span in spans(days)
    )
    for (one, other), group in groupby(states, lambda item: (item.before, item.after)):
        if one != other:
            alike = list(group)
            yield replace(alike[0], until=alike[-1].until)


def _effects(old: Rules, new: Rules, band: ScoreBand, scenario: ScenarioId, days: list[date]) -> Iterator[Effect]:
    answers = [
        (
            since,
            until,
            given(old, band.home, scenario, band.before, since),
            given(new, band.home, scenario, band.after, since),
        )
        for since, until in spans(days)
    ]
    for (before, after), group in groupby(answers, lambda item: (item[2], item[3])):
        alike = list(group)
        old_terms, new_terms = before.terms, after.terms
        verdict = compare(old_terms.items if old_terms else (), new_terms.items if new_terms else ())
        worded = old_terms is not None and new_terms is not None and old_terms != new_terms
        if verdict != "same" or worded:
            yield Effect(band, scenario, alike[0][0], alike[-1][1], before, after, verdict)
