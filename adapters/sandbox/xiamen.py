"""A synthetic Xiamen score platform: a SQL database with the table and column names of its own."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from adapters.sandbox.residents import Resident, stored

TABLE = (
    "CREATE TABLE egret_score ("
    "resident_no VARCHAR(64) PRIMARY KEY, resident_name VARCHAR(128), "
    "egret_points VARCHAR(32), computed_on VARCHAR(32))"
)
"""The same text for every database that the tests use; points are text, as in tables that grew out of an import."""


def rows(people: Sequence[Resident]) -> list[tuple[str, str, str | None, str]]:
    """The table's rows. ``computed_on`` is ISO 8601 in China's local time, without an offset."""
    return [
        (ref, name, None if points is None else str(points), as_of.replace(tzinfo=None).isoformat(" "))
        for ref, name, points, as_of in stored(people)
    ]


def seed(people: Sequence[Resident], file: Path) -> None:
    """Make the database, or replace the one that is there, as a whole. Raises OSError, sqlite3.Error."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.part")
    partial.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(partial)) as connection:
        connection.execute(TABLE)
        connection.executemany("INSERT INTO egret_score VALUES (?, ?, ?, ?)", rows(people))
        connection.commit()
    partial.replace(file)
