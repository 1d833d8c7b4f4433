"""A clock that moves when it is told to."""

from __future__ import annotations


class FakeClock:
    """Implements ``gateway.ports.Clock``. Starts at a fixed synthetic moment (2026-11-01 00:00 UTC)."""

    def __init__(self, now_ms: int = 1_793_491_200_000) -> None:
        self.ms = now_ms
        self.mono = 1000.0

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return self.ms

    def monotonic(self) -> float:
        """Seconds."""
        return self.mono

    def advance(self, seconds: float) -> None:
        """Both clocks go forward."""
        self.ms += int(seconds * 1000)
        self.mono += seconds

    def set_wall_back(self, seconds: float) -> None:
        """Somebody sets the wall clock back; the monotonic one does not care."""
        self.ms -= int(seconds * 1000)
