"""What an append and a proof cost on logs of different sizes."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.log.appends import MANY, PROVED, in_flight, prove
from bench.log.importing import bulk_import
from bench.log.material import Log, draft, fill
from bench.run import say
from gateway.storage.sqlite_store import SqliteStore

REAL_MAX = 1_000_000
"""Larger logs begin with this many entries or fewer by real appends, and the rest is imported."""
NEWEST = 1000
"""So many entries count as new: those that receipts and use reports are made for."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one thing took on a log of one size in one round, in microseconds: by the clock, and of the processor."""

    wall: float
    cpu: float


Costs = dict[str, Cost]
"""Of an append at 256 in flight (``append``), of a receipt of a new entry (``new``) and of any (``any``).

A receipt is an entry with its inclusion proof and the checkpoint.
"""


class _Clock:
    """Times a number of things that are alike."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __enter__(self) -> Self:
        self._begun = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        wall, cpu = time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]
        self.cost = Cost(1e6 * wall / self._count, 1e6 * cpu / self._count)


class _Sized:
    """One log, open."""

    def __init__(self, size: int, store: SqliteStore, log: Log) -> None:
        self.size = size
        self.store = store
        self.log = log

    async def costs(self, name: str, appends: int, receipts: int, rng: random.Random) -> Costs:
        drafts = [draft(f"{self.size} {name}", number) for number in range(appends)]
        with _Clock(appends) as appended:
            await in_flight(drafts, self.store, MANY)
        head = self.store.size()
        new = self._receipts([rng.randrange(head - NEWEST, head) for _ in range(receipts)])
        anywhere = self._receipts([rng.randrange(head) for _ in range(receipts)])
        return {"append": appended.cost, "new": new, "any": anywhere}

    def _receipts(self, indices: Sequence[int]) -> Cost:
        with _Clock(len(indices)) as clock:
            found = [self.store.receipt(index) for index in indices]
        prove(found[:PROVED], self.log)
        return clock.cost


async def _make(folder: Path, size: int) -> _Sized:
    say(f"a log of {size} entries, {'imported' if size > REAL_MAX else 'by real appends'}")
    log = Log.make(folder / str(size))
    store = await log.open()
    if size > REAL_MAX:
        await fill(store, "first", NEWEST)
        await store.close()
        bulk_import(log, size)
        store = await log.open()
    else:
        await fill(store, "fill", size)
    return _Sized(size, store, log)


async def measure(
    folder: Path, sizes: Sequence[int], rounds: int, appends: int, receipts: int
) -> dict[int, list[Costs]]:
    """Costs by size, one per round; a round measures every size once and begins with another one each time."""
    rng = random.Random(1)
    logs: list[_Sized] = []
    found: dict[int, list[Costs]] = {size: [] for size in sizes}
    try:
        for size in sizes:
            logs.append(await _make(folder, size))
            await logs[-1].costs("warm", appends, receipts, rng)
        for number in range(rounds):
            shift = number % len(logs)
            for one in [*logs[shift:], *logs[:shift]]:
                costs = await one.costs(str(number), appends, receipts, rng)
                found[one.size].append(costs)
                words = "  ".join(f"{name} {cost.wall:.0f} µs ({cost.cpu:.0f})" for name, cost in costs.items())
                say(f"round {number + 1}/{rounds}  {one.size:>9} entries  {words}")
    finally:
        for one in logs:
            await one.store.close()
    return found
