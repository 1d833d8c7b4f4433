"""What a witness remembers, in one SQLite file beside its evidence: of each log the newest checkpoint that it cosigned.

The file belongs to one key. A key whose file is lost must not go on: it would cosign a second history. So the file is
made together with the key, and never again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

from gateway.consentlog.note import VerifierKey
from gateway.consentlog.witness import Fork, Newest
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.sqlite.connect import DatabaseLock, connect_reader, connect_writer, map_sqlite_error
from gateway.sqlite.migrate import Migration, migrate
from gateway.witness.evidence import EvidenceFolder

DATABASE, EVIDENCE = "witness.db", "evidence"
MIGRATIONS = (
    Migration(
        1,
        "logs",
        """
        CREATE TABLE witness (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            vkey TEXT NOT NULL
        );
        CREATE TABLE log (
            origin TEXT PRIMARY KEY,
            size INTEGER NOT NULL,
            note BLOB NOT NULL,
            at INTEGER NOT NULL
        ) WITHOUT ROWID;
        """,
    ),
)


class LogRow(NamedTuple):
    """A log as remembered: the size and note cosigned last, and when (POSIX seconds)."""

    origin: str
    size: int
    note: bytes
    at_s: int


class SqliteWitnessState:
    """Implements ``WitnessState``. ``found`` is told of every fork that is not kept already."""

    def __init__(self, state_dir: Path, key: VerifierKey, *, unproven_kept: int, found: Callable[[Fork], None]) -> None:
        """Open what :meth:`create` made. Raises CONFIG_INVALID, KEY_INVALID, STORE_BUSY or STORE_FAILED."""
        database = state_dir / DATABASE
        if not database.exists():
            remedy = "a key that has cosigned and lost its state is to be retired: `tiergate witness init` a new one"
            raise ProblemsError(Reason.CONFIG_INVALID, [Problem(str(database), "", "does not exist", remedy)])
        self._lock = DatabaseLock(database)
        try:
            self._connection = connect_writer(database)
            migrate(self._connection, MIGRATIONS)
            row = self._connection.execute("SELECT vkey FROM witness").fetchone()
            if row is None or row[0] != str(key):
                problem = Problem(str(database), "", "belongs to another key", "put back the key that it was made with")
                raise ProblemsError(Reason.KEY_INVALID, [problem])
        except BaseException:
            self._lock.release()
            raise
        self._evidence = EvidenceFolder(state_dir / EVIDENCE, unproven_kept)
        self._found = found

    @classmethod
    def create(cls, state_dir: Path, key: VerifierKey) -> None:
        """Make the state of a new key. Raises CONFIG_INVALID if there is one, STORE_BUSY or STORE_FAILED."""
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = state_dir / DATABASE
        if database.exists():
            raise ProblemsError(Reason.CONFIG_INVALID, [Problem(str(database), "", "exists", "one key, one state")])
        with DatabaseLock(database):
            connection = connect_writer(database)
            try:
                migrate(connection, MIGRATIONS)
                connection.execute("INSERT INTO witness (one, vkey) VALUES (1, ?)", (str(key),))
            except sqlite3.Error as error:
                raise map_sqlite_error(error) from error
            finally:
                connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()
        self._lock.release()

    def newest(self, origin: str) -> Newest | None:
        """See ``WitnessState``."""
        try:
            row = self._connection.execute("SELECT note, at FROM log WHERE origin = ?", (origin,)).fetchone()
        except sqlite3.Error as error:
            raise map_sqlite_error(error) from error
        return None if row is None else Newest(bytes(row[0]), row[1])

    def advance(self, origin: str, before: bytes | None, note: bytes, size: int, at_s: int) -> None:
        """See ``WitnessState``: one statement, committed with fsync when it returns.

        What was unproven of this very head is no evidence any more.
        """
        try:
            changed = self._connection.execute(
                "INSERT INTO log (origin, size, note, at) VALUES (?, ?, ?, ?) ON CONFLICT (origin) DO UPDATE"
                " SET size = excluded.size, note = excluded.note, at = excluded.at WHERE log.note = ?",
                (origin, size, note, at_s, before or b""),
            ).rowcount
        except sqlite3.Error as error:
            raise map_sqlite_error(error) from error
        if changed != 1:
            raise TiergateError(Reason.STORE_BUSY, "another request was faster", retry_after_s=1)
        self._evidence.settle(origin, note)

    def keep(self, fork: Fork) -> None:
        """See ``WitnessState``."""
        try:
            new = self._evidence.keep(fork)
        except TiergateError:
            self._found(fork)  # an alarm does not wait for a disk
            raise
        if new:
            self._found(fork)


def read_rows(state_dir: Path) -> list[LogRow]:
    """All logs as remembered, also while the witness runs. Raises STORE_FAILED or STORE_BUSY."""
    connection = connect_reader(state_dir / DATABASE)
    try:
        rows = connection.execute("SELECT origin, size, note, at FROM log ORDER BY origin").fetchall()
    except sqlite3.Error as error:
        raise map_sqlite_error(error) from error
    finally:
        connection.close()
    return [LogRow(origin, size, bytes(note), at_s) for origin, size, note, at_s in rows]
