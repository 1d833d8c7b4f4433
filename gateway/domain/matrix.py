"""The matrix home × host × scenario: whose residents get what where, and from when, by the policies alone.

What is foretold here for a pair of cities is what adapters and gateway do on that day: both read the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, Protocol

from gateway.domain.acceptance import Acceptance, Standing, rules_between, standing_of
from gateway.domain.ids import CityId, ScenarioId
from gateway.domain.scenario import Scenario
from gateway.domain.tier import MAX_LEVEL, Concordance

State = Standing | Literal["no-concordance", "not-in-force"]
"""Beside what the two cities have decided: the home city gives no tier that day, or there is no such offer."""
LEVELS = range(1, MAX_LEVEL + 1)


class Rules(Protocol):
    """What the matrix follows from: checked policies, or a bundle."""

    @property
    def concordances(self) -> Mapping[CityId, Concordance]:
        """By home city."""

    @property
    def scenarios(self) -> Mapping[ScenarioId, Scenario]:
        """Of all hosts."""

    @property
    def acceptance(self) -> Mapping[CityId, Acceptance]:
        """By the city that has decided."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One home city and one scenario on one day.

    ``since`` and ``until``: if open, the days (UTC, both included) between which it is so by the rules that are known
    today; ``opens``: if not, the first later day on which it is. ``rungs``: tier level to rung, for each level that the
    home city's concordance can give. ``illustrative``: tier or terms rest on figures that no city has published;
    ``decided_illustratively``: the two cities' own decisions do.
    """

    home: CityId
    scenario: Scenario
    state: State
    since: date | None
    until: date | None
    opens: date | None
    rungs: Mapping[int, int]
    illustrative: bool
    decided_illustratively: bool


def homes_of(rules: Rules) -> list[CityId]:
    """All cities whose residents the rules speak of."""
    return sorted({*rules.concordances, *rules.acceptance})


def matrix(rules: Rules, day: date, keep: Callable[[CityId, Scenario], bool] = lambda *_: True) -> Iterator[Cell]:
    """All cells that ``keep`` wants, by host, scenario and home city."""
    for scenario in sorted(rules.scenarios.values(), key=lambda item: (item.host_city, item.id)):
        for home in homes_of(rules):
            if keep(home, scenario):
                yield cell_of(rules, home, scenario, day)


def cell_of(rules: Rules, home: CityId, scenario: Scenario, day: date) -> Cell:
    """One cell."""
    concordance = rules.concordances.get(home)
    state = state_of(rules, home, scenario, day)
    changes = sorted(turns(rules, home, scenario))
    since = until = opens = None
    later = (turn for turn in changes if turn > day)
    if state == "open":
        for turn in (turn for turn in reversed(changes) if turn <= day):
            if state_of(rules, home, scenario, turn) != "open":
                break
            since = turn
        ends = (turn for turn in later if state_of(rules, home, scenario, turn) != "open")
        end = next(ends, None)
        until = None if end is None else end - timedelta(days=1)
    else:
        opens = next((turn for turn in later if state_of(rules, home, scenario, turn) == "open"), None)
    decided = [rules.acceptance[city] for city in {home, scenario.host_city} if city in rules.acceptance]
    levels = () if concordance is None else sorted(cut.level for cut in concordance.cuts)
    return Cell(
        home=home,
        scenario=scenario,
        state=state,
        since=since,
        until=until,
        opens=opens,
        rungs={level: scenario.cap(level) for level in levels},
        illustrative=scenario.illustrative or (concordance is not None and concordance.illustrative),
        decided_illustratively=any(item.illustrative for item in decided),
    )


def state_of(rules: Rules, home: CityId, scenario: Scenario, day: date) -> State:
    """How a home city stands with a scenario on a day (UTC)."""
    concordance = rules.concordances.get(home)
    if not _within(day, scenario.effective_from, scenario.effective_until):
        return "not-in-force"
    standing = standing_of(rules.acceptance, home, scenario, day)
    if standing != "open":
        return standing
    if concordance is None or not _within(day, concordance.effective_from, concordance.effective_until):
        return "no-concordance"
    return "open"


def _within(day: date, start: date, end: date | None) -> bool:
    return start <= day and (end is None or day <= end)


def turns(rules: Rules, home: CityId, scenario: Scenario) -> Iterator[date]:
    """The days on which the state of a cell can change."""
    concordance = rules.concordances.get(home)
    spans = [(scenario.effective_from, scenario.effective_until)]
    if concordance is not None:
        spans.append((concordance.effective_from, concordance.effective_until))
    spans += [(rule.effective_from, rule.effective_until) for rule in rules_between(rules.acceptance, home, scenario)]
    for start, end in spans:
        yield start
        if end is not None and end < date.max:
            yield end + timedelta(days=1)
