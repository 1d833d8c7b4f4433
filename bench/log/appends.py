"""Appends against plain commits of the same rows, and against one ``fdatasync`` of the disk."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.log.floor import Floor, Rows
from bench.log.material import DATA, Log, decided, draft
from bench.run import say
from gateway.consentlog.merkle import leaf_hash, verify_inclusion
from gateway.consentlog.trust import TrustPolicy
from gateway.ports import DecisionDraft, ReceiptParts
from gateway.storage.sqlite_store import SqliteStore

MANY, FEW = 256, 16
SYNCS = 200
_BLOCK = 4096
PROVED = 100


@dataclass(frozen=True, slots=True)
class Round:
    """One round: appends per second at 256 in flight, p50 of one at 16 in flight, and of one fdatasync (ms)."""

    appends: float
    floor: float
    p50_ms: float
    fdatasync_ms: float


async def in_flight(items: Iterable[DecisionDraft], store: SqliteStore, lanes: int) -> list[float]:
    """Append all, ``lanes`` at once, each when one has returned; the latency of each, in seconds."""
    waiting = iter(items)
    took = []

    async def lane() -> None:
        for item in waiting:
            begun = time.perf_counter()
            decided((await store.record_many([item]))[0])
            took.append(time.perf_counter() - begun)

    await asyncio.gather(*(lane() for _ in range(lanes)))
    return took


async def _floor(items: Iterable[Rows], floor: Floor, lanes: int) -> None:
    waiting = iter(items)

    async def lane() -> None:
        for item in waiting:
            await floor.append(item)

    await asyncio.gather(*(lane() for _ in range(lanes)))


def rows_of(database: Path, start: int, end: int) -> Iterator[Rows]:
    """What the store wrote for the decisions among the entries ``[start, end)``, byte for byte, an append each."""
    connection = sqlite3.connect(database)
    seen = set()
    registration = []
    for entry in connection.execute("SELECT * FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx", (start, end)):
        if entry[2] is None:  # a registration, before its consent's first decision
            registration = [entry]
            continue
        consents = [
            row for item in registration for row in connection.execute("SELECT * FROM consent WHERE idx = ?", item[:1])
        ]
        attestations = []
        if entry[3] not in seen:
            seen.add(entry[3])
            attestations = connection.execute("SELECT * FROM attestation WHERE id = ?", (entry[3],)).fetchall()
        requests = connection.execute("SELECT * FROM request WHERE key = ?", (entry[7][:32],)).fetchall()
        yield Rows([*registration, entry], requests, consents, attestations)
        registration = []
    connection.close()


def fdatasync_ms(folder: Path) -> float:
    """p50 of one ``fdatasync`` after a block of a file has been overwritten: no metadata, the cheapest there is."""
    path = folder / "sync"
    took = []
    with path.open("wb", buffering=0) as file:
        file.write(bytes(_BLOCK))
        os.fsync(file.fileno())
        for number in range(SYNCS):
            os.pwrite(file.fileno(), number.to_bytes(4, "big") * (_BLOCK // 4), 0)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - begun)
    path.unlink()
    return 1000 * statistics.median(took)


def prove(receipts: Iterable[ReceiptParts], log: Log) -> None:
    """Return if each leads to a checkpoint that the log's trust file accepts; else raises TiergateError."""
    trust = TrustPolicy.parse(log.trust)
    for parts in receipts:
        head = trust.verify(parts.checkpoint.encode()).checkpoint
        verify_inclusion(parts.index, head.size, leaf_hash(parts.entry), list(parts.hashes), head.root)


class _Bench:
    """Store and floor side by side, on one disk."""

    def __init__(self, folder: Path, log: Log, store: SqliteStore, count: int) -> None:
        self._folder = folder
        self._log = log
        self._store = store
        self._count = count
        self._floor = Floor(folder / "floor.db")
        self._rows: list[Rows] = []
        self._written = (0, 0)

    async def appends(self, name: str) -> float:
        start, drafts = self._store.size(), [draft(f"many {name}", number) for number in range(self._count)]
        begun = time.perf_counter()
        await in_flight(drafts, self._store, MANY)
        took = time.perf_counter() - begun
        self._written = (start, self._store.size())
        return self._count / took

    async def floor(self, _name: str) -> float:
        begun = time.perf_counter()
        await _floor(self._rows, self._floor, MANY)
        return len(self._rows) / (time.perf_counter() - begun)

    async def p50_ms(self, name: str) -> float:
        drafts = [draft(f"few {name}", number) for number in range(self._count // 8)]
        return 1000 * statistics.median(await in_flight(drafts, self._store, FEW))

    async def fdatasync_ms(self, _name: str) -> float:
        return fdatasync_ms(self._folder)

    async def round(self, name: str, shift: int) -> Round:
        """Each of the four once, beginning with another one each time; then the proofs, outside of the clock."""
        steps = [self.appends, self.floor, self.p50_ms, self.fdatasync_ms]
        found = {}
        start = self._store.size()
        for step in [*steps[shift % 4 :], *steps[: shift % 4]]:
            found[step.__name__] = await step(name)
        step_by = max(1, (self._store.size() - start) // PROVED)
        prove(map(self._store.receipt, range(start, self._store.size(), step_by)), self._log)
        self.hand_over()
        return Round(**found)

    def hand_over(self) -> None:
        """The floor writes in the next round what the store has written in this one."""
        self._rows = list(rows_of(self._log.folder / DATA, *self._written))

    def close(self) -> None:
        self._floor.close()


async def measure(folder: Path, rounds: int, count: int) -> list[Round]:
    """All rounds. ``count``: appends at 256 in flight, an eighth of it at 16. Raises TiergateError."""
    log = Log.make(folder / "appends")
    store = await log.open()
    bench = _Bench(folder, log, store, count)
    found = []
    try:
        await bench.appends("warm")
        bench.hand_over()
        for number in range(rounds):
            found.append(await bench.round(str(number), number))
            last = found[-1]
            say(f"round {number + 1}/{rounds}  {last.appends:.0f} appends/s, floor {last.floor:.0f}/s;"
                f" p50 {last.p50_ms:.2f} ms, fdatasync {last.fdatasync_ms:.2f} ms")  # fmt: skip
    finally:
        bench.close()
        await store.close()
    return found
