"""What the gateway does beside answering: forgetting request ids, erasing what has been kept long enough."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Gauge

from gateway.config import Retention
from gateway.consentlog.entry import decode
from gateway.consentlog.shard import first_of, located
from gateway.domain.directory import Directory
from gateway.errors import TiergateError
from gateway.ports import Clock, LogReader
from gateway.storage.eraser import Eraser
from gateway.storage.sqlite_store import SqliteStore

EVERY_S = 600.0
_log = structlog.get_logger("gateway")


def shard_age_s(log: LogReader, clock: Clock) -> float:
    """Seconds since the newest shard was begun; NaN before it is."""
    if not log.size():
        return math.nan
    first = first_of(located(log.end())[0])
    (genesis,) = log.entries(first, first + 1)
    return (clock.now_ms() - decode(genesis).time) / 1000


class Housekeeping:
    """One background task. Forgetting and erasing go in small steps between the groups of decisions.

    What is erased is gone for good, and a clock that runs ahead would say so of everything: so it is done only before
    the end of the directory in force, a time that the authorities have set.
    """

    def __init__(
        self,
        store: SqliteStore,
        database: Path,
        clock: Clock,
        retention: Retention,
        registry: CollectorRegistry,
        directory: Callable[[], Directory],
    ) -> None:
        self._store = store
        age = Gauge("tiergate_shard_age_seconds", "Since the newest shard of the log was begun.", registry=registry)
        age.set_function(lambda: shard_age_s(store, clock))
        self._clock = clock
        self._eraser = Eraser(store, database, clock, retention.days)
        self._hour = retention.rewrite_hour
        self._directory = directory

    async def run(self) -> None:
        """Every ten minutes, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            with contextlib.suppress(TiergateError):  # the log's own trouble is reported where it is used
                await self.once()

    async def once(self) -> None:
        """All that is due now. Raises what the store raises: what is left is done the next time."""
        while await self._store.forget_requests():
            pass  # each step is a group of its own, and decisions come between
        if self._clock.now_ms() < self._directory().expires * 1000:
            done = await self._eraser.due()
            if done.entries or done.consents:
                _log.info("erased", log_size=self._store.size())
        else:
            _log.warning("nothing erased by age: the directory has expired, or the clock is ahead")
        await self._eraser.empty(rewrite=self._clock.now_ms() // 3_600_000 % 24 == self._hour)
