"""What a draft would make of a decision that was logged, as far as the log can know.

The log holds the rung and no score (I1). From the rung follow the tiers, and from the old cuts the points, that a
decision may rest on; each of them is evaluated under the draft. Where they do not all lead to the same, it is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from gateway.domain.bundle import Bundle
from gateway.domain.compare import Verdict, compare
from gateway.domain.decision import Outcome
from gateway.domain.effects import bands_of
from gateway.domain.evaluate import evaluate, is_illustrative, scenario_in_force
from gateway.domain.ids import CityId, OperatorId, ScenarioId
from gateway.domain.scenario import Scenario, Terms
from gateway.domain.tier import Concordance
from gateway.errors import Reason, TiergateError


class Decided(NamedTuple):
    """What decisions have in common that one rehearsal serves."""

    operator: OperatorId
    city: CityId
    scenario: ScenarioId
    rung: int


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One decision under the draft.

    ``rungs``: those that are possible, lowest first; ``terms``: theirs. ``illustrative``: what was given, or would be,
    rests on figures that no city has published. ``refused``: the reason for which the draft
    lets nobody ask, and the operator applies the base offer, if there is one; then there is no rung.
    """

    before: Terms
    rungs: tuple[int, ...]
    terms: tuple[Terms, ...]
    illustrative: bool
    refused: Reason | None = None

    @property
    def outcomes(self) -> frozenset[Outcome]:
        """The possible ones; of a refused one none."""
        return frozenset(map(Outcome.of, self.rungs))

    @property
    def verdicts(self) -> frozenset[Verdict]:
        """How the possible terms stand to those that were given."""
        given = self.terms or (Terms((), "", ""),)
        return frozenset(compare(self.before.items, terms.items) for terms in given)


def rehearse(old: Bundle, draft: Bundle, decided: Decided, day: date) -> Rehearsed:
    """A decision that was made under ``old``, asked for again on ``day`` (UTC) under ``draft``.

    KeyError or IndexError for a decision that ``old`` cannot have given.
    """
    known = old.scenarios[decided.scenario]
    before, marked = evaluate(old, known, decided.city, decided.rung)
    found = draft.scenarios.get(decided.scenario)
    marked = marked or (found is not None and is_illustrative(draft, found, decided.city))
    try:
        scenario = scenario_in_force(draft, decided.scenario, decided.operator, decided.city, day)
    except TiergateError as error:
        gone = found is None or day < found.effective_from or day > (found.effective_until or day)
        return Rehearsed(before, (), () if found is None or gone else (found.base,), marked, error.reason)
    concordance = draft.concordances.get(decided.city)
    if concordance is None or day < concordance.effective_from or day > (concordance.effective_until or day):
        return Rehearsed(before, (), (scenario.base,), marked, Reason.HOME_CITY_UNAVAILABLE)
    rungs = tuple(sorted({*_rungs(old, draft, known, scenario, decided)}))
    if not rungs:
        raise IndexError(decided.rung)  # no score of the city ever reached it
    terms = tuple(dict.fromkeys(evaluate(draft, scenario, decided.city, rung).terms for rung in rungs))
    return Rehearsed(before, rungs, terms, marked)


def comparable(old: Concordance | None, draft: Concordance | None) -> bool:
    """Whether the same points mean the same on both sides: the score has kept its name and its range."""
    return old is not None and draft is not None and _score(old) == _score(draft)


def _score(item: Concordance) -> tuple[object, ...]:
    return item.score_name_zh, item.score_name_en, item.score_min, item.score_max


def _rungs(old: Bundle, draft: Bundle, known: Scenario, scenario: Scenario, decided: Decided) -> Iterator[int]:
    """The rungs of the draft that somebody with the logged rung may reach.

    Rung 0 is also the answer to whoever has no score, has paused or has withdrawn (I3), and stays theirs.
    """
    if decided.rung == 0:
        yield 0
    kept = comparable(old.concordances.get(decided.city), draft.concordances.get(decided.city))
    for band in bands_of(old, draft, decided.city):
        if kept and band.before is not None and known.cap(band.before) == decided.rung:
            yield scenario.cap(band.after or 0)
        elif not kept and band.after is not None:
            yield scenario.cap(band.after)
