"""How often something may happen, by key: token buckets of one number each, for keys that are many.

The number is the moment at which the bucket will be full again (the generic cell rate algorithm, ITU-T I.371): the
bucket holds as many tokens as whole intervals lie between that moment and the furthest one allowed. Both ends use it:
the gateway against operators, a home city against the gateway.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import Reason, TiergateError

_ROUNDING_S = 1e-6
"""Moments are sums of intervals; what they are off by must not cost anybody the last of a burst."""


class KeyRates:
    """``per_h`` per hour sustained and ``burst`` at once, for each key.

    Two generations of keys are kept. The older is dropped when every bucket in it must have filled up again, and says
    nothing any more; or when the younger holds half of ``max_keys``, which errs on the side of service. So there is
    no moment at which all keys are looked through. A key costs about 150 bytes (a digest of 32 bytes, a float, the
    slack of a dictionary; measured); ``max_keys`` of them are kept at most.
    """

    def __init__(self, *, per_h: float, burst: int, max_keys: int) -> None:
        self._interval_s = 3600 / per_h
        self._ahead_s = (burst - 1) * self._interval_s
        self._full_s = burst * self._interval_s
        self._half = max(1, max_keys // 2)
        self._young: dict[bytes, float] = {}
        self._old: dict[bytes, float] = {}
        self._turn = -math.inf

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def take(self, key: bytes, now: float) -> float:
        """Take one token at ``now`` (monotonic seconds); 0, or without taking one the seconds until there is one."""
        full = self._young.get(key)
        if full is None:
            if now >= self._turn or len(self._young) >= self._half:
                self._old, self._young = self._young, {}
                self._turn = now + self._full_s
            full = self._old.get(key, now)
        wait = full - self._ahead_s - now
        if wait > _ROUNDING_S:
            return wait
        self._young[key] = max(full, now) + self._interval_s
        return 0.0

    def require(self, key: bytes, now: float) -> None:
        """``take``, or RATE_LIMITED with the time after which there is a token."""
        wait = self.take(key, now)
        if wait:
            raise TiergateError(Reason.RATE_LIMITED, "as often as one consent may be asked about", retry_after_s=wait)

    @contextmanager
    def counting(self, key: bytes, now: float) -> Iterator[None]:
        """``require`` for a block; one that ends in an error of ours has shown nothing, and gives its token back."""
        self.require(key, now)
        try:
            yield
        except TiergateError:
            self.give_back(key)
            raise

    def give_back(self, key: bytes) -> None:
        """Undo one ``take``, if the key is still known."""
        held = self._young if key in self._young else self._old
        if key in held:
            held[key] -= self._interval_s
