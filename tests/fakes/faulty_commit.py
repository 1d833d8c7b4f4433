"""A database whose next commit is durable and reported as failed: what a write error after the fact looks like."""

from __future__ import annotations

import sqlite3
from typing import Any

from gateway.sqlite.writer import GroupWriter


class _Liar:
    """The connection, but one COMMIT raises after it has been carried out."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lies = 1

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        done = self._connection.execute(statement, *parameters)
        if statement == "COMMIT" and self._lies:
            self._lies = 0
            raise sqlite3.OperationalError("scripted")
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def next_commit_lies(writer: GroupWriter[Any, Any]) -> None:
    """The writer's next commit is durable, and everybody is told that it failed."""
    writer._connection = _Liar(writer._connection)  # type: ignore[assignment]  # all that is used of it is there
