"""What an auditor may read, and the record of it: no entry leaves before its reading is itself in the log.

A read of nothing but ``audit_read`` entries is not recorded. They tell of no resident; and were it recorded, whoever
polls the log would find an entry of its own polling each time, and two who poll would wake each other for ever.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from gateway.consentlog.entry import decode
from gateway.consentlog.scope import Leaf, scoped
from gateway.consentlog.shard import first_of, located
from gateway.domain.audit_scope import AuditScope
from gateway.errors import Reason, TiergateError
from gateway.ports import Clock, LogReader
from gateway.rates import KeyRates

READS_PER_H, READS_AT_ONCE = 720, 600
"""Recorded reads of one auditor, sustained and in a burst; each is an entry, and nobody fills the log by reading it."""
STREAMS = 4
"""Streams of one auditor at once: one that stops reading keeps its place among the calls in hand until it goes."""
RUN_BYTES = 256 * 1024


class ReadRecorder(Protocol):
    """Puts an auditor's reads on record (``tests/contract/test_store_log.py`` holds a store to it)."""

    async def record_read(self, auditor: str, start: int, end: int, scope: str, at_ms: int) -> int:
        """Log that an auditor is about to get entries of ``[start, end)``; returns the log index.

        ``scope`` is the digest of the scope that it reads under. MUST NOT return before the entry is committed; raises
        LOG_UNAVAILABLE or BUSY with nothing written.
        """
        ...


class Run(NamedTuple):
    """Consecutive places of the log from ``start`` on."""

    start: int
    leaves: list[Leaf]


class AuditReads:
    """Judges and records reads of entries. Methods that are no coroutines may block on disk and belong in a thread."""

    def __init__(
        self, clock: Clock, log: LogReader, recorder: ReadRecorder, scopes: Callable[[], Mapping[str, AuditScope]]
    ) -> None:
        """``scopes``: of the directory in force."""
        self._clock = clock
        self._log = log
        self._recorder = recorder
        self._scopes = scopes
        self._rates = KeyRates(per_h=READS_PER_H, burst=READS_AT_ONCE, max_keys=10_000)
        self._streams: Counter[str] = Counter()

    def scope(self, auditor: str) -> AuditScope:
        """What the auditor may see. Raises AUDIT_SCOPE for one that the directory gives no scope."""
        scope = self._scopes().get(auditor)
        if scope is None:
            raise TiergateError(Reason.AUDIT_SCOPE, f"the directory gives auditor {auditor} no scope")
        return scope

    async def admit(self, auditor: str, start: int, end: int) -> tuple[AuditScope, int]:
        """The scope to read ``[start, end)`` under, and the range's end; once this returns, the read is on record.

        ``end`` 0: up to the shard's newest checkpoint as it is before the record. Raises AUDIT_SCOPE, RANGE_INVALID,
        RATE_LIMITED with a retry time, LOG_UNAVAILABLE or BUSY: what is not on record is not shown.
        """
        scope, (shard, _) = self.scope(auditor), located(start)
        newest = first_of(shard) + self._log.size(shard)
        end = end or newest
        if not start <= end <= newest:
            raise TiergateError(Reason.RANGE_INVALID)
        if await asyncio.to_thread(self._shows_more_than_reads, start, end):
            with self._rates.counting(auditor.encode(), self._clock.monotonic()):
                await self._recorder.record_read(auditor, start, end, scope.digest(), self._clock.now_ms())
        return scope, end

    @contextmanager
    def streaming(self, auditor: str) -> Iterator[None]:
        """Take one of the auditor's streams for a block. Raises BUSY with a retry time."""
        if self._streams[auditor] >= STREAMS:
            raise TiergateError(Reason.BUSY, f"{STREAMS} streams of one auditor", retry_after_s=1.0)
        self._streams[auditor] += 1
        try:
            yield
        finally:
            self._streams[auditor] -= 1

    def runs(self, scope: AuditScope, start: int, end: int) -> Iterator[Run]:
        """The places of ``[start, end)`` as the scope shows them, in runs of about 256 KiB. Raises RANGE_INVALID."""
        run, held = Run(start, []), 0
        for raw in self._log.entries(start, end):
            leaf = scoped(scope, raw)
            run.leaves.append(leaf)
            held += len(leaf.hash if leaf.entry is None else leaf.entry)
            if held >= RUN_BYTES:
                yield run
                run, held = Run(run.start + len(run.leaves), []), 0
        if run.leaves:
            yield run

    def _shows_more_than_reads(self, start: int, end: int) -> bool:
        return any(decode(raw).type != "audit_read" for raw in self._log.entries(start, end))
