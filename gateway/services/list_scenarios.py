"""The catalogue as one operator sees it."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.domain.bundle import Bundle
from gateway.domain.ids import OperatorId
from gateway.domain.scenario import Scenario


def list_scenarios(bundle: Bundle, operator: OperatorId, now_ms: int) -> list[Scenario]:
    """Scenarios in force and open to ``operator`` now (Unix milliseconds), in order of id."""
    day = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    return sorted((item for item in bundle.scenarios.values() if item.is_open(operator, day)), key=lambda s: s.id)
