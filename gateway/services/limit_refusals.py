"""Over-asking leaves a trace: a scenario that is not open to the operator is refused and logged, at a bounded rate."""

from __future__ import annotations

from gateway.domain.ids import OperatorId
from gateway.errors import Reason
from gateway.ports import Clock, DecisionStore

PER_OPERATOR_S = 60.0


class LogRefusals:
    """At most one ``refusal`` entry per operator, scenario and minute; the refusals themselves are never limited."""

    def __init__(self, *, clock: Clock, store: DecisionStore) -> None:
        self._clock = clock
        self._store = store
        self._last: dict[tuple[OperatorId, str], float] = {}

    async def log(self, operator: OperatorId, scenario: str, reason: Reason) -> None:
        """Log one refusal unless the same one was logged within the last minute. Raises LOG_UNAVAILABLE or BUSY."""
        now = self._clock.monotonic()
        last = self._last.get((operator, scenario))
        if last is not None and now - last < PER_OPERATOR_S:
            return
        if len(self._last) >= 10_000:  # scenario names are the caller's: bounded whatever she sends
            self._last.clear()
        await self._store.record_refusal(operator, scenario, reason.value, self._clock.now_ms())
        self._last[operator, scenario] = now  # after the write: one that failed is tried again
