"""From a resident's reference to a tier level: one read of the city's platform, mapped by the city's concordance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog

from adapters.alarms import AlarmKind, Alarms, Metrics
from adapters.clock import Clock
from adapters.reference import Reference
from adapters.score import Gap
from adapters.sources.port import ScoreSource
from gateway.domain.ids import ResidentRef
from gateway.domain.tier import Concordance
from gateway.errors import Reason, TiergateError

MAX_AHEAD = timedelta(days=1)
RETRY_AFTER_S = 5.0
CHECK_INTERVAL_S = 300.0

_log = structlog.get_logger(__name__)


class Reading(NamedTuple):
    """A tier level (0 to 3) and where it comes from: "score", "no_score", "decoy", or the record's fault."""

    level: int
    reason: str


class Platform:
    """The score platform of this city, behind a deadline in seconds.

    What is wrong with one record is level 0 and an alarm; what is wrong with the platform is an error for everybody.
    """

    def __init__(
        self,
        source: ScoreSource,
        *,
        decoy: ResidentRef,
        deadline_s: float,
        alarms: Alarms,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._source = source
        self._decoy = decoy
        self._deadline_s = deadline_s
        self._alarms = alarms
        self._metrics = metrics
        self._clock = clock

    async def level(self, resident: ResidentRef | None, concordance: Concordance, now_s: float) -> Reading:
        """Tier level (0 to 3) of a resident, and why. None: a decoy's record is read and mapped alike, and means 0.

        Raises PLATFORM_UNAVAILABLE.
        """
        started = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._deadline_s):
                level, fault = await self._read(resident or self._decoy, concordance, now_s)
        except TimeoutError as error:
            detail = "no answer within the adapter's deadline"
            raise TiergateError(Reason.PLATFORM_UNAVAILABLE, detail, retry_after_s=RETRY_AFTER_S) from error
        self._metrics.platform_s.observe(self._clock.monotonic() - started)
        if resident is None:
            return Reading(0, "decoy")
        if fault is not None:
            self._alarms.alarm(fault)
        return Reading(level or 0, fault or ("no_score" if level is None else "score"))

    async def gap(self, resident: ResidentRef, concordance: Concordance, level: int) -> Gap | None:
        """How far her record is from a tier level today, in a word; None without a usable score.

        For herself alone. Raises PLATFORM_UNAVAILABLE.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                record = await self._source.read(resident)
            return None if record is None else record.score.gap(concordance, level)
        except TimeoutError as error:
            detail = "no answer within the adapter's deadline"
            raise TiergateError(Reason.PLATFORM_UNAVAILABLE, detail, retry_after_s=RETRY_AFTER_S) from error
        except TiergateError as error:
            if error.reason is not Reason.SOURCE_INVALID:
                raise
            return None

    async def check_decoy(self, concordance: Concordance, now_s: float) -> None:
        """Alarm unless the decoy's record is as usable as a resident's: else answers would differ in their path.

        Raises PLATFORM_UNAVAILABLE.
        """
        level, fault = await self._read(self._decoy, concordance, now_s)
        if fault is not None or level is None:
            self._alarms.alarm("decoy_unusable")

    async def keep_checking(self, reference: Callable[[], Reference]) -> None:
        """Say early what the first question would otherwise find: platform away, decoy unusable, rules out of force.

        ``reference`` gives the files in force now. Ends when it is cancelled.
        """
        while True:
            now_s = self._clock.now_ms() / 1000
            try:
                await self.ping()
                await self.check_decoy(reference().concordance(now_s), now_s)
            except TiergateError as error:
                _log.warning("platform_check_failed", reason=error.reason.value, detail=error.detail)
            await asyncio.sleep(CHECK_INTERVAL_S)

    async def ping(self) -> None:
        """Raises PLATFORM_UNAVAILABLE unless the platform can answer."""
        await self._source.ping()

    async def close(self) -> None:
        """Close the source."""
        await self._source.close()

    async def _read(
        self, resident: ResidentRef, concordance: Concordance, now_s: float
    ) -> tuple[int | None, AlarmKind | None]:
        """Level (None: the city knows no score), and what is wrong with the record if something is."""
        try:
            record = await self._source.read(resident)
            if record is None:
                return None, None
            now = datetime.fromtimestamp(now_s, UTC)
            level = record.score.map(concordance)
        except TiergateError as error:
            if error.reason is not Reason.SOURCE_INVALID:
                raise
            return 0, "bad_record"
        if record.as_of > now + MAX_AHEAD:
            return 0, "record_from_the_future"
        if record.as_of < now - timedelta(days=concordance.max_age_days):
            return 0, "stale_record"
        return level, None
