"""Bounds of a server: sizes of messages, calls in hand, calls per caller and second.

Everything here is touched by the event loop alone, so nothing needs a lock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from gateway.errors import Reason, TiergateError
from gateway.transport.identity import Caller

MAX_MESSAGE_BYTES = 2 * 1024 * 1024
"""Largest message on any connection, held by gRPC itself before the bytes reach us (status RESOURCE_EXHAUSTED without
details). The largest legal one is a batch of 256 checks with the longest tokens and proofs, 1.6 MB."""

REQUEST_BYTES = 16 * 1024
"""Largest request of a method that is not listed below; a token and a proof are at most 6 KiB."""

LARGE_REQUESTS: Mapping[str, int] = {
    "/gateway.api.operator.v1.EligibilityService/BatchCheckEligibility": MAX_MESSAGE_BYTES,
    "/gateway.api.peer.v1.AttestationService/BatchAttestTier": MAX_MESSAGE_BYTES,
    "/gateway.api.peer.v1.UseReportService/ReportUses": MAX_MESSAGE_BYTES,
    "/gateway.api.peer.v1.ConsentEventService/PushConsentEvents": 512 * 1024,
}
"""Methods that take batches, with their largest request in bytes."""

COUNTED_BY_ITEM = frozenset({"/gateway.api.operator.v1.EligibilityService/BatchCheckEligibility"})
"""Methods of which every item counts as a call for the caller's rate: a batch must not be a way around it."""

RETRY_AFTER_S = 1.0


class Gate:
    """Counts calls in hand, refuses more than ``capacity``, and refuses all once it is closed."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.in_flight = 0
        self._closed = False
        self._idle = asyncio.Event()

    def check(self) -> None:
        """Raise SHUTTING_DOWN or BUSY, both with a retry time, if another call cannot be taken now."""
        if self._closed:
            raise TiergateError(Reason.SHUTTING_DOWN, retry_after_s=RETRY_AFTER_S)
        if self.in_flight >= self.capacity:
            raise TiergateError(Reason.BUSY, f"{self.in_flight} calls in flight", retry_after_s=RETRY_AFTER_S)

    def enter(self) -> None:
        """Take a call; :meth:`check` has passed in the same step of the event loop. Followed by :meth:`leave`."""
        self.in_flight += 1

    def leave(self) -> None:
        """A call has ended."""
        self.in_flight -= 1
        if self._closed and not self.in_flight:
            self._idle.set()

    def close(self) -> None:
        """Refuse all further calls; for good."""
        self._closed = True
        if not self.in_flight:
            self._idle.set()

    async def wait_idle(self, timeout_s: float) -> None:
        """After :meth:`close`: return when the last call has ended, or after ``timeout_s`` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return


class Rates:
    """A token bucket per caller: ``per_s`` calls per second sustained, ``burst`` at once.

    At most ``max_callers`` buckets of about 250 bytes are kept. Callers are entries of the directory, so there are few;
    the bound is for a directory that changes for years. A bucket that has filled up again says nothing and is dropped
    first; if none has, all are, which errs on the side of service.
    """

    def __init__(
        self,
        per_s: float,
        burst: int,
        *,
        max_callers: int = 10_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._max = max_callers
        self._monotonic = monotonic
        self._buckets: dict[str, list[float]] = {}

    def take(self, caller: Caller) -> None:
        """Count one call. Raises RATE_LIMITED with the time after which one more will be taken."""
        self._take(caller, 1.0)

    def take_items(self, caller: Caller, count: int) -> None:
        """Count the items of a batch whose call is counted as the first of them. Raises RATE_LIMITED as ``take`` does.

        A batch larger than ``burst`` passes when the bucket is full: it waits longer, but not for ever.
        """
        if (more := min(count, self._burst) - 1.0) > 0:
            self._take(caller, more)

    def _take(self, caller: Caller, wanted: float) -> None:
        now = self._monotonic()
        bucket = self._buckets.get(caller.uri)
        if bucket is None:
            if len(self._buckets) >= self._max:
                self._forget_full(now)
            self._buckets[caller.uri] = [self._burst - wanted, now]
            return
        held = bucket[0] + (now - bucket[1]) * self._per_s
        bucket[1] = now
        if held >= wanted:
            bucket[0] = min(self._burst, held) - wanted
            return
        bucket[0] = held
        raise TiergateError(Reason.RATE_LIMITED, retry_after_s=(wanted - held) / self._per_s)

    def __len__(self) -> int:
        return len(self._buckets)

    def _forget_full(self, now: float) -> None:
        self._buckets = {
            uri: bucket
            for uri, bucket in self._buckets.items()
            if bucket[0] + (now - bucket[1]) * self._per_s < self._burst
        }
        if len(self._buckets) >= self._max:
            self._buckets.clear()
