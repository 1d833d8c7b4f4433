"""The base of all sources: it bounds time, load and errors, whatever the city's code throws.

An implementation writes ``_read`` and ``_close``, and ``_read_now`` where it can answer without waiting; the public
methods here hold the promises of :class:`~adapters.sources.port.ScoreSource`. One read, in order: a reference that no
platform can know is answered with None; the breaker may refuse; what is to be had at once is taken; else a slot is
waited for and the platform is asked, both within the deadline; whatever comes out is turned into a record, None, or one
of the two reasons.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final

from adapters.score import ScoreRecord
from adapters.sources.options import SourceOptions
from adapters.sources.port import platform_fault
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason, TiergateError
from gateway.transport.breaker import Breaker

MAX_REF_LENGTH: Final = 128
_DETAIL_LENGTH: Final = 300

Answer = tuple[ScoreRecord | None]
"""What a platform said: a record, or that there is none."""


class GuardedSource(ABC):
    """A score source whose public methods keep the port's promises for the private ones of a subclass.

    ``clock`` is monotonic seconds and serves the breaker alone.
    """

    kind: ClassVar[str]

    def __init__(self, options: SourceOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._slots = asyncio.Semaphore(options.max_in_flight)
        self._breaker = Breaker(options.breaker_failures, options.breaker_open_s, clock)
        self._failed: set[ResidentRef] = set()  # since the last answer; no more than it takes to open the breaker
        self._closed = False

    @abstractmethod
    async def _read(self, resident: ResidentRef) -> ScoreRecord | None:
        """Ask the platform. May raise anything; ``bad_record`` and ``platform_fault`` say which of the two it is.

        Any other exception counts as a fault of the platform: a mistake in code is no ground to deny anybody.
        """

    def _read_now(self, _resident: ResidentRef) -> Answer | None:
        """The answer, if it is to be had without waiting; else None, and ``_read`` is asked. May raise as that may."""
        return None

    async def _ping(self) -> None:
        """Ask for a reference that the platform does not know: address, credentials and mapping are all used."""
        try:
            await self._read(ResidentRef(self._options.probe_ref))
        except TiergateError as error:
            if error.reason is not Reason.SOURCE_INVALID:
                raise

    @abstractmethod
    async def _close(self) -> None:
        """Give back what the source holds."""

    async def read(self, resident: ResidentRef) -> ScoreRecord | None:
        """Return the resident's record or None. Raises SOURCE_INVALID or PLATFORM_UNAVAILABLE alone."""
        if not _is_plausible(resident):
            return None
        wait_s = self._breaker.admit()
        if wait_s > 0:
            raise self._unavailable("not asked: the platform failed repeatedly", wait_s)
        settled = False
        try:
            self._refuse_closed()
            answer = self._read_now(resident)
            if answer is None:
                async with asyncio.timeout(self._options.deadline_s), self._slots:
                    self._refuse_closed()
                    answer = (await self._read(resident),)
            (record,) = answer
            if record is not None and not isinstance(record, ScoreRecord):
                raise platform_fault("the source returned something else than a record")
            settled = True
            self._answered()
            return record
        except Exception as error:  # noqa: BLE001  # the promise of this class: nothing else escapes
            settled = True
            fault = self._classified(error, resident)
        finally:
            if not settled:  # cancelled by the caller
                self._breaker.abandoned()
        # Raised outside the handler: drivers quote parameters and rows in their texts, and the frames of the failed
        # call hold the record, so neither may hang on the error as cause or context.
        raise fault

    async def ping(self) -> None:
        """Ask without the breaker. Raises PLATFORM_UNAVAILABLE with the fault's own text: no person is involved."""
        try:
            async with asyncio.timeout(self._options.deadline_s), self._slots:
                self._refuse_closed()
                await self._ping()
        except Exception as error:
            detail = error.detail if isinstance(error, TiergateError) else f"{type(error).__name__}: {error}"
            raise self._unavailable(detail[:_DETAIL_LENGTH]) from error

    async def close(self) -> None:
        """Give back connections and threads. A read after it raises PLATFORM_UNAVAILABLE."""
        if not self._closed:
            self._closed = True
            await self._close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise platform_fault("the source is closed")

    def _classified(self, error: Exception, resident: ResidentRef) -> TiergateError:
        """The fault for what ``_read`` threw, with our own texts and type names only, and the breaker told.

        Every resident who fails is one failure, however often, until the platform answers somebody: a few for whom it
        always fails must not close the city.
        """
        if isinstance(error, TiergateError) and error.reason is Reason.SOURCE_INVALID:
            self._answered()
            return TiergateError(Reason.SOURCE_INVALID, f"{self.kind}: {error.detail}")
        if self._breaker.tripped:
            self._breaker.failed()
        elif resident in self._failed:
            self._breaker.abandoned()
        else:
            self._failed.add(resident)
            self._breaker.failed()
        if isinstance(error, TimeoutError):
            return self._unavailable("no answer within the deadline")
        if isinstance(error, TiergateError) and error.reason is Reason.PLATFORM_UNAVAILABLE:
            return self._unavailable(error.detail)
        return self._unavailable(f"failed with {type(error).__name__}")

    def _answered(self) -> None:
        self._failed.clear()
        self._breaker.succeeded()

    def _unavailable(self, detail: str, retry_after_s: float | None = None) -> TiergateError:
        retry = self._options.breaker_open_s if retry_after_s is None else retry_after_s
        return TiergateError(Reason.PLATFORM_UNAVAILABLE, f"{self.kind}: {detail}", retry_after_s=retry)


def _is_plausible(resident: ResidentRef) -> bool:
    """Whether a platform could know the reference.

    ``.`` and ``..`` would change a URL's path; MySQL takes a name with a space at its end for the name without.
    """
    if not 0 < len(resident) <= MAX_REF_LENGTH or not resident.isprintable():
        return False
    return resident == resident.strip() and resident.strip(".") != ""
