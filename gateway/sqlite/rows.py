"""Many rows by few statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

_CHUNKS = (128, 32, 8, 2, 1)  # few sizes, so that every statement stays prepared; 128 rows of 5 are 640 of 32766 values


class RowInsert:
    """An INSERT of a fixed number of columns, for any number of rows.

    Each statement step gives up the interpreter lock, and a thread that wants it back from a busy event loop waits, so
    rows go in by chunks and not one by one.
    """

    def __init__(self, into: str, columns: int, conflict: str = "") -> None:
        """``into``: ``INSERT INTO table (columns)``; ``conflict``: an ON CONFLICT clause, if any. Constants only."""
        row = f"({', '.join('?' * columns)})"
        self._statements = [(size, f"{into} VALUES {', '.join([row] * size)} {conflict}") for size in _CHUNKS]

    def run(self, connection: sqlite3.Connection, rows: Sequence[Sequence[object]]) -> None:
        """Insert ``rows`` in order. Raises sqlite3.Error."""
        start = 0
        for size, statement in self._statements:
            while len(rows) - start >= size:
                connection.execute(statement, [value for row in rows[start : start + size] for value in row])
                start += size
