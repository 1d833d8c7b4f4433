"""The floor: plain SQLite group commits. No tree, no signature, no mark, no idempotency; finished rows go in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from gateway.sqlite.connect import connect_writer
from gateway.sqlite.migrate import migrate
from gateway.storage.schema import MIGRATIONS
from gateway.storage.statements import ATTESTATIONS, CONSENTS, ENTRIES, REQUESTS


class Rows(NamedTuple):
    """What one append adds to each table."""

    entries: Sequence[Sequence[Any]]
    requests: Sequence[Sequence[Any]]
    consents: Sequence[Sequence[Any]]
    attestations: Sequence[Sequence[Any]]


class Floor:
    """A database with the product's schema, pragmas and statements; one transaction for all that wait."""

    def __init__(self, database: Path) -> None:
        self._connection = connect_writer(database)
        migrate(self._connection, MIGRATIONS)
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[tuple[Rows, asyncio.Future[None]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def append(self, rows: Rows) -> None:
        """Durable when it returns."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.ensure_future(self._work())
        await future

    async def _work(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, [rows for rows, _ in group])
            for _, future in group:
                future.set_result(None)

    def _commit(self, group: list[Rows]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        for insert, place in ((ENTRIES, 0), (REQUESTS, 1), (CONSENTS, 2), (ATTESTATIONS, 3)):
            insert.run(self._connection, [row for rows in group for row in rows[place]])
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        self._thread.shutdown()
        self._connection.close()
