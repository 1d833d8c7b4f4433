"""The port that every score source fills, and the two ways in which one may fail."""

from __future__ import annotations

from typing import Protocol

from adapters.score import ScoreRecord
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason, TiergateError


class ScoreSource(Protocol):
    """A city's score platform, read one resident at a time.

    Exactly two reasons escape, whatever the platform does: SOURCE_INVALID for one bad record (the adapter makes it
    rung 0 and raises an alarm inside the city) and PLATFORM_UNAVAILABLE, with ``retry_after_s``, for a fault of the
    platform as a whole. No detail, cause or context of either holds anything of a record.
    NOT promised: that a score is fresh (the caller compares ``as_of`` with the concordance's maximum age), nor that
    two reads of one resident agree.
    """

    async def read(self, resident: ResidentRef) -> ScoreRecord | None:
        """Return the resident's record, or None if the city does not know her or has no score for her."""
        ...

    async def ping(self) -> None:
        """Return if the platform can answer; raise PLATFORM_UNAVAILABLE, with the fault's own text, if not."""
        ...

    async def close(self) -> None:
        """Give back connections and threads. Calling it twice is harmless."""
        ...


def bad_record(detail: str) -> TiergateError:
    """One record that cannot be used. ``detail`` is a constant text: it never quotes the record."""
    return TiergateError(Reason.SOURCE_INVALID, detail)


def platform_fault(detail: str) -> TiergateError:
    """The platform as a whole cannot answer. ``detail`` says what is wrong, never about whom it was asked."""
    return TiergateError(Reason.PLATFORM_UNAVAILABLE, detail)
