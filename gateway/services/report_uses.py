"""Report every decision to its home city, from a cursor on the log (PIPL 45; DESIGN: use report).

A city's reports go out in log order, each run proved by one checkpoint, and are repeated until the city has
acknowledged them. A city whose oldest unreported decision is older than ``MAX_LAG_S`` gets no cached answers until it
has caught up: what its residents cannot see must not go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.ids import CityId
from gateway.errors import TiergateError
from gateway.ports import Clock, LogReader, ReceiptParts, ReportCursor, UnreportedUse

MAX_LAG_S = 300
RUN = 128
PAUSE_S = 2.0
MAX_PAUSE_S = 30.0
_SKIP = 4096  # other cities' entries to pass before the cursor is moved for nothing else


@dataclass(frozen=True, slots=True)
class ProvedUse:
    """One use with its proof in the run's checkpoint."""

    use: UnreportedUse
    receipt: ReceiptParts


class ReportReceiver(Protocol):
    """A home city's report service."""

    async def report(self, uses: list[ProvedUse], checkpoint: str) -> int:
        """Deliver a run; the log index up to which the city now holds its reports. Raises HOME_CITY_UNAVAILABLE."""
        ...


class ReportUses:
    """The reporter of one gateway: one task per city."""

    def __init__(
        self,
        *,
        clock: Clock,
        log: LogReader,
        cursor: ReportCursor,
        cities: Callable[[], Mapping[CityId, ReportReceiver]],
        alarm: Callable[[CityId, TiergateError], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._log = log
        self._cursor = cursor
        self._cities = cities
        self._alarm = alarm
        self._sleep = sleep
        self._late: set[CityId] = set()
        self._reported: dict[CityId, int] = {}

    def may_cache(self, city: CityId) -> bool:
        """Whether the city's reports are recent enough for cached answers."""
        return city not in self._late

    async def run(self) -> None:
        """Report until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for city in self._cities():
                tasks.create_task(self._run_city(city))

    async def _run_city(self, city: CityId) -> None:
        pause = PAUSE_S
        while True:
            try:
                more = await self.report_once(city)
                pause = 0.0 if more else PAUSE_S
            except TiergateError as error:
                self._alarm(city, error)
                pause = min(max(pause, PAUSE_S) * 2, MAX_PAUSE_S)
            await self._sleep(pause)

    async def report_once(self, city: CityId) -> bool:
        """Deliver one run of a city's reports; True when there may be more. Keeps ``may_cache`` up to date."""
        receiver = self._cities().get(city)
        oldest = await asyncio.to_thread(self._cursor.oldest_unreported_ms, city)
        late = oldest is not None and self._clock.now_ms() - oldest > MAX_LAG_S * 1000
        (self._late.add if late else self._late.discard)(city)
        run = await asyncio.to_thread(self._cursor.unreported, city, RUN)
        if not run.uses:
            if run.upto - self._reported.get(city, 0) > _SKIP:
                await self._cursor.acknowledge(city, run.upto)
                self._reported[city] = run.upto
            return False
        if receiver is None:
            return False
        receipts = await asyncio.to_thread(self._log.receipts, [use.index for use in run.uses])
        proved = [ProvedUse(use, receipt) for use, receipt in zip(run.uses, receipts, strict=True)]
        held = await receiver.report(proved, receipts[0].checkpoint)
        last = run.uses[-1].index
        await self._cursor.acknowledge(city, min(held, last))
        self._reported[city] = min(held, last)
        return len(run.uses) == RUN
