"""The evaluation of one decision, pure: what the gateway decides by, and what an auditor recomputes it with (I8)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import NamedTuple

from gateway.domain.bundle import Bundle
from gateway.domain.ids import CityId, OperatorId
from gateway.domain.matrix import Rules
from gateway.domain.scenario import Scenario, Terms, TimeGrain
from gateway.errors import Reason, TiergateError

OUT_OF_FORCE_RETRY_S = 60.0
GRAINS_MS: Mapping[TimeGrain, int] = {"minute": 60_000, "day": 86_400_000}
DAY_MS = 86_400_000


class Evaluated(NamedTuple):
    """The terms of a decision, and whether scenario or home city's concordance are marked as illustrative."""

    terms: Terms
    illustrative: bool


def utc_day(at_ms: int) -> date:
    """The UTC date of a time in Unix milliseconds."""
    return datetime.fromtimestamp(at_ms // DAY_MS * (DAY_MS // 1000), UTC).date()


def scenario_in_force(bundle: Bundle, scenario: str, operator: OperatorId, home: CityId, day: date) -> Scenario:
    """The scenario, if bundle and scenario are in force on ``day`` (UTC) and open to operator and home city.

    Raises RULES_OUT_OF_FORCE, SCENARIO_UNKNOWN, SCENARIO_NOT_OPEN, HOME_NOT_HONOURED or HOST_NOT_VOUCHED.
    """
    if day > bundle.expires:
        raise TiergateError(Reason.RULES_OUT_OF_FORCE, retry_after_s=OUT_OF_FORCE_RETRY_S)
    return bundle.scenario_for(scenario, operator, home, day)


def evaluate(rules: Rules, scenario: Scenario, city: CityId, rung: int) -> Evaluated:
    """The terms follow from scenario and rung alone. IndexError for a rung that the scenario does not have."""
    return Evaluated(scenario.terms_of(rung), is_illustrative(rules, scenario, city))


def at_best(rules: Rules, scenario: Scenario, city: CityId) -> Evaluated:
    """What the scenario can bring a resident of ``city``, whoever she is: the terms of its highest tier's rung.

    The base offer where its concordance reaches no rung, or where it has none.
    """
    concordance = rules.concordances.get(city)
    highest = max((cut.level for cut in concordance.cuts), default=0) if concordance is not None else 0
    return evaluate(rules, scenario, city, scenario.cap(highest))


def is_illustrative(rules: Rules, scenario: Scenario, city: CityId) -> bool:
    """Whether the scenario, or the concordance of a home city, rests on figures that nobody has published."""
    concordance = rules.concordances.get(city)
    return scenario.illustrative or (concordance is not None and concordance.illustrative)


def logged_from(decided_at_ms: int, grain_ms: int) -> int:
    """A decision's time as the log has it: rounded down to the scenario's time grain."""
    return decided_at_ms - decided_at_ms % grain_ms


def logged_until(valid_until_ms: int, grain_ms: int) -> int:
    """A decision's end as the log has it: rounded up."""
    return -(-valid_until_ms // grain_ms) * grain_ms
