"""A SQLite file of scores, read on the event loop: a row takes microseconds, handing it to a thread hundreds of them.

The loop waits for no more than ``BUDGET_S``. A query that takes longer is stopped, as one that fails is given up; the
caller then asks in a thread, with all the time of the deadline, and the next ``PAUSE`` reads go there at once.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from gateway.domain.ids import ResidentRef

BUDGET_S: Final = 0.002
PAUSE: Final = 100
_STEPS: Final = 1000  # of SQLite's machine, between two looks at the clock: some 20 µs


class SqliteFile:
    """One read-only connection. It is opened anew when ``path`` has become another file or was written to.

    A kept connection would else go on reading a file that was replaced by a newer one.
    """

    def __init__(self, path: Path, query: sa.TextClause) -> None:
        compiled = query.compile(dialect=SQLiteDialect_pysqlite(paramstyle="qmark"))
        self._sql = str(compiled)
        self._times = len(compiled.positiontup or ())
        self._path = path.absolute()
        self._connection: sqlite3.Connection | None = None
        self._seen: tuple[int, int, int] | None = None
        self._limit = 0.0
        self._pause = 0

    def rows(self, resident: ResidentRef) -> tuple[list[str], list[tuple[object, ...]]] | None:
        """The names of the columns and at most two rows; None if they are not to be had at once, for whatever cause."""
        if self._pause:
            self._pause -= 1
            return None
        try:
            connection = self._current()
            self._limit = time.monotonic() + BUDGET_S
            cursor = connection.execute(self._sql, (resident,) * self._times)
            names, rows = [column[0] for column in cursor.description or ()], cursor.fetchmany(2)
            cursor.close()  # or a third row would keep the file locked
        except (OSError, sqlite3.Error):
            self.close()
            self._pause = PAUSE
            return None
        return names, rows

    def close(self) -> None:
        """Close the connection; the next read opens another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._seen = None

    def _current(self) -> sqlite3.Connection:
        found = self._path.stat()
        seen = found.st_dev, found.st_ino, found.st_mtime_ns
        if self._connection is None or seen != self._seen:
            self.close()
            self._connection = open_read_only(self._path, timeout_s=0)
            self._connection.set_progress_handler(lambda: time.monotonic() > self._limit, _STEPS)
            self._seen = seen
        return self._connection


def open_read_only(path: Path, *, timeout_s: float) -> sqlite3.Connection:
    """A connection for any one thread at a time; it waits ``timeout_s`` for a lock. Raises sqlite3.Error.

    Text that is not UTF-8 is read with replacements, so that it is its record's fault and not the platform's.
    """
    uri = path.absolute().as_uri() + "?mode=ro"  # as_uri escapes ? and #
    connection = sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    return connection
