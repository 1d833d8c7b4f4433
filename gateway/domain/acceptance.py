"""Two-sided opt-in: a host city honours a home city's tiers for a scenario, and that home city vouches there.

These are facts about cities, never about a person: who may ask about whose residents follows from the bundle, the
token's issuer and the day alone, and is settled before anybody is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal, Self

from gateway.domain.ids import CityId, ScenarioId
from gateway.domain.scenario import Scenario
from gateway.domain.tier import Source

ANY: Final = "*"

Standing = Literal["open", "not-honoured", "not-vouched", "closed"]
"""Of a home city, for a scenario on a day: open, missing on the host's side, on the home city's, or on both."""


@dataclass(frozen=True, slots=True)
class AcceptanceRule:
    """For residents of, or hosts in, ``cities`` and for ``scenarios``, on these days (UTC, both included)."""

    cities: frozenset[str]
    scenarios: frozenset[str]
    effective_from: date
    effective_until: date | None

    def holds(self, day: date) -> bool:
        """Whether the rule is in force."""
        return self.effective_from <= day and (self.effective_until is None or day <= self.effective_until)


class AcceptanceRules(tuple[AcceptanceRule, ...]):  # noqa: SLOT001 - a tuple of varying length can have no slots
    """Rules in their order, looked up by the scenarios that they name, however many others there are."""

    _by_scenario: Mapping[str, tuple[AcceptanceRule, ...]]
    """Each rule under every scenario that it names, one that is for all of them under ``*`` alone."""

    def __new__(cls, rules: Iterable[AcceptanceRule] = ()) -> Self:
        """Of the rules, in any order."""
        made = super().__new__(cls, rules)
        found: dict[str, list[AcceptanceRule]] = {}
        for rule in made:
            for scenario in {ANY} if ANY in rule.scenarios else rule.scenarios:
                found.setdefault(scenario, []).append(rule)
        made._by_scenario = {scenario: tuple(items) for scenario, items in found.items()}
        return made

    def about(self, city: CityId, scenario: ScenarioId) -> Iterator[AcceptanceRule]:
        """Those that name both, on whatever day."""
        for name in (scenario, ANY):
            for rule in self._by_scenario.get(name, ()):
                if not rule.cities.isdisjoint((city, ANY)):
                    yield rule

    def hold(self, city: CityId, scenario: ScenarioId, day: date) -> bool:
        """Whether one of them names both, and is in force."""
        return any(rule.holds(day) for rule in self.about(city, scenario))


NO_RULES: Final = AcceptanceRules()


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What one city has decided. ``honours`` as a host, by home city; ``vouches`` as a home, by host city.

    ``source``: where the decision was published; None: nowhere that is known.
    """

    city: CityId
    version: int
    honours: AcceptanceRules
    vouches: AcceptanceRules
    illustrative: bool
    source: Source | None = None


def standing_of(acceptance: Mapping[CityId, Acceptance], home: CityId, scenario: Scenario, day: date) -> Standing:
    """How a home city stands with a scenario on a day. A city that has decided nothing has refused."""
    host = scenario.host_city
    honoured = _honours(acceptance, host).hold(home, scenario.id, day)
    vouched = _vouches(acceptance, home).hold(host, scenario.id, day)
    if honoured:
        return "open" if vouched else "not-vouched"
    return "not-honoured" if vouched else "closed"


def rules_between(
    acceptance: Mapping[CityId, Acceptance], home: CityId, scenario: Scenario
) -> tuple[AcceptanceRule, ...]:
    """The rules of either city that are about a home city and a scenario, on whatever day."""
    host = scenario.host_city
    honours = _honours(acceptance, host).about(home, scenario.id)
    return (*honours, *_vouches(acceptance, home).about(host, scenario.id))


def _honours(acceptance: Mapping[CityId, Acceptance], host: CityId) -> AcceptanceRules:
    return acceptance[host].honours if host in acceptance else NO_RULES


def _vouches(acceptance: Mapping[CityId, Acceptance], home: CityId) -> AcceptanceRules:
    return acceptance[home].vouches if home in acceptance else NO_RULES
