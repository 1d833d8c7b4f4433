"""Erasure from outside the transaction: finds what is due or ordered, has it deleted in steps, then empties the files.

Reads go over a connection of their own, in a thread: neither checks nor auditors wait for a search.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from gateway.consentlog.shard import first_of, located
from gateway.errors import Reason, TiergateError
from gateway.ports import Clock
from gateway.sqlite.connect import connect_reader, map_sqlite_error
from gateway.sqlite.scrub import scrub
from gateway.storage.erasing import ENDED, STEP, entries_of
from gateway.storage.operations import DropConsents, EndConsent, Rewritten, Shred, Sweep
from gateway.storage.sqlite_store import SqliteStore

DAY_MS = 86_400_000
ATTESTED_MS = 300_000
"""Decisions of one attestation lie this close together at most: it goes when the last of them may go."""
_LOOK = 65_536
ResultT = TypeVar("ResultT")


class Erased(NamedTuple):
    """What a run has erased: log entries looked at by age, and keys of consents."""

    entries: int
    consents: int


class Eraser:
    """Erases from one store. ``retention_days``: how long the private payload of a decision is kept."""

    def __init__(self, store: SqliteStore, database: Path, clock: Clock, retention_days: int) -> None:
        self._store = store
        self._database = database
        self._clock = clock
        self._kept_ms = retention_days * DAY_MS + ATTESTED_MS

    async def due(self) -> Erased:
        """Erase all whose retention has ended, step by step. Raises LOG_UNAVAILABLE or BUSY; may be run again."""
        before_ms = self._clock.now_ms() - self._kept_ms
        entries = consents = 0
        while looked := await self._store.perform(Sweep(self._clock.now_ms(), before_ms)):
            entries += looked
        while keys := await self._read(
            lambda connection: connection.execute(
                f"SELECT key FROM consent WHERE {ENDED} LIMIT {STEP}",  # noqa: S608 - constants
                {"ended_ms": before_ms},
            ).fetchall()
        ):
            found = tuple(key for (key,) in keys)
            consents += await self._store.perform(DropConsents(found, self._clock.now_ms(), before_ms))
        return Erased(entries, consents)

    async def order(self, index: int, ordered_by: str, order: str) -> int:
        """Erase one consent now, by order of an authority (a slug; ``order``: digest of the order, 64 hex digits).

        ``index``: the log entry of its registration, or of an event about it. Returns the index of the ``erasure``
        entry. Raises NOT_FOUND. Interrupted, it may be run again: nothing is logged before all is deleted.
        """
        row = await self._read(
            lambda connection: connection.execute(
                "SELECT key, idx FROM consent WHERE ?1 IN (idx, withdrawn, paused, resumed, locked)"
                " OR key = (SELECT consent FROM event WHERE idx = ?1)",
                (index,),
            ).fetchone()
        )
        if row is None:
            raise TiergateError(Reason.NOT_FOUND, "no consent is registered at this index, or it has been erased")
        key, registered = row
        decisions, end = 0, self._store.end()
        for place, last in () if registered is None else self._spans(registered, end):
            found = await self._read(partial(_found, registered, place, last))
            decisions += sum(kind == "decision" for _, kind in found)
            indices = [item for item, _ in found]
            for start in range(0, len(indices), STEP):
                await self._store.perform(Shred(tuple(indices[start : start + STEP])))
        return await self._store.perform(EndConsent(key, end, decisions, ordered_by, order, self._clock.now_ms()))

    def _spans(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Where there are entries in ``[start, end)``, in steps, shard by shard."""
        for shard in range(located(start)[0], located(end)[0] + 1):
            stop = min(end, first_of(shard) + self._store.size(shard))
            for place in range(max(start, first_of(shard)), stop, _LOOK):
                yield place, min(place + _LOOK, stop)

    async def empty(self, *, rewrite: bool) -> bool:
        """Have nothing of what was erased left in the files; whether anything had been erased since the last time.

        ``rewrite``: write the whole file anew, for which nothing can be decided meanwhile. Raises STORE_BUSY.
        """
        (waiting,) = await self._read(lambda connection: connection.execute("SELECT rewrite FROM sweep").fetchone())
        if waiting:
            await asyncio.to_thread(scrub, self._database, rewrite=rewrite)
            if rewrite:
                await self._store.perform(Rewritten())
        return bool(waiting)

    async def _read(self, query: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        def run() -> ResultT:
            with closing(connect_reader(self._database)) as connection:
                try:
                    return query(connection)
                except sqlite3.Error as error:
                    raise map_sqlite_error(error) from error

        return await asyncio.to_thread(run)


def _found(consent: int, start: int, end: int, connection: sqlite3.Connection) -> list[tuple[int, str]]:
    return list(entries_of(connection, consent, start, end))
