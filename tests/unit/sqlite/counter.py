"""A real little store behind a group writer, for the tests of the writer."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.errors import Reason, TiergateError
from gateway.sqlite.connect import connect_reader, connect_writer
from gateway.sqlite.writer import GroupWriter


@dataclass
class Store:
    """A counter table: an operation inserts its text and gets its row number; some texts misbehave on purpose."""

    path: Path
    groups: list[list[str]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    released: list[list[int | Exception]] = field(default_factory=list)
    rollbacks: int = 0
    rollback_failures: int = 0
    mark_fails: bool = False
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()
        self.connection = connect_writer(self.path)
        self.connection.execute("PRAGMA busy_timeout=0")
        self.connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, x TEXT UNIQUE)")

    def apply(self, connection: sqlite3.Connection, operations: Sequence[str]) -> Sequence[int | Exception]:
        self.gate.wait()
        self.threads.add(threading.get_ident())
        self.groups.append(list(operations))
        results: list[int | Exception] = []
        for text in operations:
            if text == "refuse":
                results.append(TiergateError(Reason.REQUEST_CONFLICT, "refused alone"))
                continue
            if text == "raise":
                raise RuntimeError("a value that must not travel")
            if text == "typed":
                raise TiergateError(Reason.LOG_UNAVAILABLE, "typed", retry_after_s=3)
            number = connection.execute("INSERT INTO t (x) VALUES (?)", (text,)).lastrowid
            assert number is not None
            results.append(number)
        return results[:-1] if "short" in operations else results

    def after_commit(self, operations: Sequence[str], results: Sequence[int | Exception]) -> None:
        assert not self.connection.in_transaction
        self.released.append(list(results))
        if self.mark_fails:
            raise TiergateError(Reason.LOG_UNAVAILABLE, "mark")

    def on_rollback(self) -> None:
        if self.rollback_failures:
            self.rollback_failures -= 1
            raise sqlite3.OperationalError("cannot re-read")
        self.rollbacks += 1

    def rows(self) -> list[str]:
        reader = connect_reader(self.path)
        found = [row[0] for row in reader.execute("SELECT x FROM t ORDER BY n")]
        reader.close()
        return found


async def outcomes(writer: GroupWriter[str, int], *texts: str) -> list[int | Reason]:
    """What each of several operations submitted in one turn came to."""
    results = await asyncio.gather(*(writer.submit(text) for text in texts), return_exceptions=True)
    found: list[int | Reason] = []
    for result in results:
        assert isinstance(result, int | TiergateError)
        found.append(result.reason if isinstance(result, TiergateError) else result)
    return found
