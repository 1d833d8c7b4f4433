"""Outcomes and decisions (invariants I2, I8)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.ids import BundleDigest, CityId, OperatorId, ScenarioId


class Outcome(StrEnum):
    """The only two answers. Both words have eight letters, so that an entry's length says nothing."""

    ENTITLED = "entitled"
    ORDINARY = "ordinary"

    @classmethod
    def of(cls, rung: int) -> Outcome:
        """Entitled on any positive rung."""
        return cls.ENTITLED if rung > 0 else cls.ORDINARY


@dataclass(frozen=True, slots=True)
class Decision:
    """One logged decision. Times are Unix milliseconds (UTC). Terms follow from (bundle, scenario, rung) alone."""

    id: str
    operator: OperatorId
    home_city: CityId
    scenario: ScenarioId
    bundle: BundleDigest
    rung: int
    decided_at_ms: int
    valid_until_ms: int
    log_index: int

    @property
    def outcome(self) -> Outcome:
        """Entitled or ordinary."""
        return Outcome.of(self.rung)
