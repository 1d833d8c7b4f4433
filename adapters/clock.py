"""Time as the adapter's parts are given it, so that tests decide what time it is; ``gateway.clock`` implements it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Protocol

DAY_S = 86_400


class Clock(Protocol):
    """One reference time is taken per operation."""

    def now_ms(self) -> int:
        """Unix milliseconds, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...


def utc_day(now_s: float) -> date:
    """The UTC date of a Unix time in seconds."""
    return datetime.fromtimestamp(now_s, UTC).date()
