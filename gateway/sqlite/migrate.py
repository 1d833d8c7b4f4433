"""Numbered migrations: each runs once, in a transaction of its own, counted by ``PRAGMA user_version``."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from gateway.errors import Reason, TiergateError
from gateway.sqlite.connect import map_sqlite_error


class Migration(NamedTuple):
    """One step of a schema. ``number`` counts from 1; ``sql`` is a script without transaction statements."""

    number: int
    name: str
    sql: str


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> int:
    """Bring the database to the newest schema; returns its number.

    A step that fails leaves the database at the step before. Raises STORE_FAILED: also for a database that is newer
    than this program, which is refused untouched.
    """
    if [step.number for step in migrations] != list(range(1, len(migrations) + 1)):
        raise TiergateError(Reason.INTERNAL, "migrations are not numbered 1, 2, 3 …")
    try:
        current: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if current > len(migrations):
            detail = f"the database has schema {current}, this program knows {len(migrations)}: use a newer program"
            raise TiergateError(Reason.STORE_FAILED, detail)
        for step in migrations[current:]:
            _apply(connection, step)
    except sqlite3.Error as error:
        raise map_sqlite_error(error) from error
    return len(migrations)


def _apply(connection: sqlite3.Connection, step: Migration) -> None:
    script = f"BEGIN IMMEDIATE;\n{step.sql}\n;PRAGMA user_version={step.number};\nCOMMIT;"
    try:
        connection.executescript(script)
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        code = map_sqlite_error(error)
        raise TiergateError(code.reason, f"migration {step.number} ({step.name}): {code.detail}") from error
