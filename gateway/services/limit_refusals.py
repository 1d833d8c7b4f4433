"""Over-asking leaves a trace: a scenario that is not open to the operator is refused and logged, at a bounded rate.

So is one that a resident's token does not name, or names for another purpose: the operator asks for more than she gave.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.domain.ids import OperatorId
from gateway.errors import Reason
from gateway.ports import Clock, DecisionStore

PER_OPERATOR_S = 60.0
OVER_ASKING: Final = frozenset({Reason.SCENARIO_NOT_OPEN, Reason.TOKEN_SCENARIO_NOT_COVERED})


class LogRefusals:
    """At most one ``refusal`` entry per operator, scenario, reason and minute; refusing itself is never limited."""

    def __init__(self, *, clock: Clock, store: DecisionStore) -> None:
        self._clock = clock
        self._store = store
        self._last: dict[tuple[OperatorId, str, Reason], float] = {}
        self._writing = asyncio.Lock()

    async def log(self, operator: OperatorId, scenario: str, reason: Reason) -> None:
        """Log a refusal for ``OVER_ASKING`` unless the same one was logged within the last minute; else do nothing.

        Raises LOG_UNAVAILABLE or BUSY: what is not on record is not told either.
        """
        key = operator, scenario, reason
        if reason not in OVER_ASKING or self._recent(key):
            return
        async with self._writing:  # of many at once one is written, and none is answered before that
            if self._recent(key):
                return
            if len(self._last) >= 10_000:  # operators and scenarios come and go with the signed files
                self._last.clear()
            now = self._clock.monotonic()
            await self._store.record_refusal(operator, scenario, reason.value, self._clock.now_ms())
            self._last[key] = now  # after the write: one that failed is tried again

    def _recent(self, key: tuple[OperatorId, str, Reason]) -> bool:
        last = self._last.get(key)
        return last is not None and self._clock.monotonic() - last < PER_OPERATOR_S
