"""The process's clock; everything else has time passed in."""

from __future__ import annotations

import time


class SystemClock:
    """Implements ``gateway.ports.Clock`` on the operating system's clocks."""

    def now_ms(self) -> int:
        """Unix milliseconds, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds, never going back."""
        return time.monotonic()
