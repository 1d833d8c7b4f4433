"""Two-sided opt-in: a host city honours a home city's tiers for a scenario, and that home city vouches there.

These are facts about cities, never about a person: who may ask about whose residents follows from the bundle, the
token's issuer and the day alone, and is settled before anybody is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from gateway.domain.ids import CityId, ScenarioId
from gateway.domain.scenario import Scenario

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

    def names(self, city: CityId, scenario: ScenarioId) -> bool:
        """Whether the rule is about them, on whatever day."""
        return not self.cities.isdisjoint((city, ANY)) and not self.scenarios.isdisjoint((scenario, ANY))

    def holds(self, day: date) -> bool:
        """Whether the rule is in force."""
        return self.effective_from <= day and (self.effective_until is None or day <= self.effective_until)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What one city has decided. ``honours`` as a host, by home city; ``vouches`` as a home, by host city."""

    city: CityId
    version: int
    honours: tuple[AcceptanceRule, ...]
    vouches: tuple[AcceptanceRule, ...]
    illustrative: bool


def standing_of(acceptance: Mapping[CityId, Acceptance], home: CityId, scenario: Scenario, day: date) -> Standing:
    """How a home city stands with a scenario on a day. A city that has decided nothing has refused."""
    host = scenario.host_city
    honoured = any(_in_force(rule, home, scenario.id, day) for rule in _honours(acceptance, host))
    vouched = any(_in_force(rule, host, scenario.id, day) for rule in _vouches(acceptance, home))
    if honoured:
        return "open" if vouched else "not-vouched"
    return "not-honoured" if vouched else "closed"


def rules_between(
    acceptance: Mapping[CityId, Acceptance], home: CityId, scenario: Scenario
) -> tuple[AcceptanceRule, ...]:
    """The rules of either city that are about a home city and a scenario, on whatever day."""
    host = scenario.host_city
    honours = (rule for rule in _honours(acceptance, host) if rule.names(home, scenario.id))
    vouches = (rule for rule in _vouches(acceptance, home) if rule.names(host, scenario.id))
    return (*honours, *vouches)


def _in_force(rule: AcceptanceRule, city: CityId, scenario: ScenarioId, day: date) -> bool:
    return rule.names(city, scenario) and rule.holds(day)


def _honours(acceptance: Mapping[CityId, Acceptance], host: CityId) -> tuple[AcceptanceRule, ...]:
    return acceptance[host].honours if host in acceptance else ()


def _vouches(acceptance: Mapping[CityId, Acceptance], home: CityId) -> tuple[AcceptanceRule, ...]:
    return acceptance[home].vouches if home in acceptance else ()
