"""A circuit breaker for a platform or peer that is down: stop asking for a while, then let one call try.

Own code, since the library at hand reads the wall clock, lets every waiting caller through when it tries again, counts
a cancelled call as a failure, and raises one exception object again and again, whose traceback grows with each raise.
"""

from __future__ import annotations

from collections.abc import Callable


class Breaker:
    """Opens after ``failures`` platform faults in a row and stays open for ``open_s`` seconds of ``clock`` (monotonic).

    After that one caller may try; the others are refused until its result is in. Not thread-safe: one event loop.
    """

    def __init__(self, failures: int, open_s: float, clock: Callable[[], float]) -> None:
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._failures = 0
        self._closed_again_at = 0.0
        self._trying = False

    @property
    def tripped(self) -> bool:
        """Whether it is open, or one caller is trying whether it can be closed."""
        return self._failures >= self._limit

    def admit(self) -> float:
        """Return 0.0 if the call may go on, else the seconds (> 0) after which to come back.

        An admitted call must end in exactly one of ``succeeded``, ``failed`` or ``abandoned``.
        """
        if not self.tripped:
            return 0.0
        left = self._closed_again_at - self._clock()
        if left > 0:
            return left
        if self._trying:
            return self._open_s
        self._trying = True
        return 0.0

    def succeeded(self) -> None:
        """Record an answer of the platform, whatever it said: the circuit is closed."""
        self._failures = 0
        self._trying = False

    def failed(self) -> None:
        """Record a platform-wide fault."""
        self._failures += 1
        self._trying = False
        if self.tripped:
            self._closed_again_at = self._clock() + self._open_s

    def abandoned(self) -> None:
        """Record a call that its caller gave up: it says nothing about the platform."""
        self._trying = False
