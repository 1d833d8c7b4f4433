"""Report every decision to its home city, from a cursor on the log (PIPL 45; DESIGN: use report).

A city's reports go out in log order, each run proved by one checkpoint, and are repeated until the city has
acknowledged them. A city whose oldest unreported decision is older than ``MAX_LAG_S`` gets no cached answers until it
has caught up: what its residents cannot see must not go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError
from gateway.ports import Clock, LogReader, ReceiptParts, ReportCursor, UnreportedUse

MAX_LAG_S = 300
RUN = 256
PAUSE_S = 2.0
MAX_PAUSE_S = 30.0
LOOK_FOR_CITIES_S = 10.0
CALM_PAUSE_S = 0.2
CALM_LAG_S = 20


@dataclass(frozen=True, slots=True)
class ProvedUse:
    """One use with its proof in the run's checkpoint; of a consent's first one also the registration's."""

    use: UnreportedUse
    receipt: ReceiptParts
    registration: ReceiptParts | None = None


class ReportReceiver(Protocol):
    """A home city's report service."""

    def encode(self, uses: Sequence[ProvedUse]) -> bytes:
        """A run as it is sent; all proofs lead to the checkpoint of the first. Called in a thread."""
        ...

    async def deliver(self, run: bytes) -> int:
        """Deliver a run; the log index up to which the city now holds its reports. Raises HOME_CITY_UNAVAILABLE."""
        ...


@dataclass(frozen=True, slots=True)
class _Run:
    """What is next to be reported, and since when; ``message`` is empty when there is nothing."""

    since_ms: int | None
    first: int
    last: int
    full: bool
    message: bytes


class ReportUses:
    """The reporter of one gateway: one task per city."""

    def __init__(
        self,
        *,
        clock: Clock,
        log: LogReader,
        cursor: ReportCursor,
        cities: Mapping[CityId, ReportReceiver],
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
        self._looked: dict[CityId, float] = {}
        self._begun = clock.monotonic()

    def may_cache(self, city: CityId) -> bool:
        """Whether the city's reports are recent enough for cached answers; not if nobody could look for as long."""
        looked = self._looked.get(city, self._begun)
        return city not in self._late and self._clock.monotonic() - looked <= MAX_LAG_S

    async def run(self) -> None:
        """Report until cancelled. A city that comes into the directory is taken up, one that leaves it is dropped."""
        running: dict[CityId, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                for city in self._cities:
                    if city not in running or running[city].done():
                        running[city] = tasks.create_task(self._run_city(city))
                await self._sleep(LOOK_FOR_CITIES_S)

    async def _run_city(self, city: CityId) -> None:
        pause = PAUSE_S
        while city in self._cities:
            try:
                pause = await self.report_once(city)
            except Exception as error:  # noqa: BLE001 - one city's trouble, whatever it is, must not end the others'
                failure = TiergateError(Reason.INTERNAL, f"reporting: {type(error).__name__}")
                self._alarm(city, error if isinstance(error, TiergateError) else failure)
                pause = min(max(pause, PAUSE_S) * 2, MAX_PAUSE_S)
            await self._sleep(pause)

    async def report_once(self, city: CityId) -> float:
        """Deliver one run of a city's reports; seconds to pause before the next. Keeps ``may_cache`` up to date.

        While the oldest is younger than ``CALM_LAG_S`` the runs keep a distance: checks come first.
        Raises HOME_CITY_UNAVAILABLE, also for a city that takes a run and acknowledges nothing of it: to send it again
        at once would go on for ever.
        """
        receiver = self._cities[city]
        run = await asyncio.to_thread(self._next, city, receiver)
        age_s = 0.0 if run.since_ms is None else (self._clock.now_ms() - run.since_ms) / 1000
        (self._late.add if age_s > MAX_LAG_S else self._late.discard)(city)
        self._looked[city] = self._clock.monotonic()
        if not run.message:
            return PAUSE_S
        held = await receiver.deliver(run.message)
        if held < run.first:
            raise TiergateError(Reason.HOME_CITY_UNAVAILABLE, "none of the reports of a run was acknowledged")
        await self._cursor.acknowledge(city, min(held, run.last))
        if not run.full:
            return PAUSE_S
        return CALM_PAUSE_S if age_s < CALM_LAG_S else 0.0

    def _next(self, city: CityId, receiver: ReportReceiver) -> _Run:
        """Read, prove and encode the next run: everything that takes time, in one go and off the event loop."""
        uses = self._cursor.unreported(city, RUN)
        if not uses:
            return _Run(None, -1, -1, full=False, message=b"")
        indices = {use.index for use in uses} | {use.index - 1 for use in uses if use.opening is not None}
        receipts = {parts.index: parts for parts in self._log.receipts(sorted(indices))}
        proved = [
            ProvedUse(use, receipts[use.index], None if use.opening is None else receipts[use.index - 1])
            for use in uses
        ]
        message = receiver.encode(proved)
        return _Run(uses[0].decided_at_ms, uses[0].index, uses[-1].index, full=len(uses) == RUN, message=message)
