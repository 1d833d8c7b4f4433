"""Opens a database file safely: one process per file, durable settings, one mapping of driver errors."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.errors import Reason, TiergateError

BUSY_TIMEOUT_MS = 2_000
"""How long a statement waits for a lock. Only a backup or a stray shell holds one: the lock file keeps others out."""
_STEPS = 100_000
"""Of SQLite's machine between two pauses, some milliseconds."""

_COMMON = (
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA foreign_keys=ON",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cell_size_check=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-8192",
)
# FULL: in WAL mode NORMAL may lose the last commits on power loss, and an answer follows its commit.
# secure_delete: erased rows are overwritten, not merely unlinked (PIPL 47).
_WRITER = ("PRAGMA synchronous=FULL", "PRAGMA secure_delete=ON", "PRAGMA journal_size_limit=67108864")


class DatabaseLock:
    """Holds ``<database>.lock`` for this process; a second holder, in whatever process, is refused (STORE_BUSY).

    The kernel drops the lock when the process ends, however it ends. Not for network file systems without ``flock``.
    """

    def __init__(self, database: Path) -> None:
        path = database.with_name(database.name + ".lock")
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise TiergateError(Reason.STORE_FAILED, f"cannot open {path.name}: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise TiergateError(Reason.STORE_BUSY, f"{database.name} is held by another process") from error

    def release(self) -> None:
        """Let go. The file stays: removing it would let two processes lock two files of one name."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def connect_writer(database: Path) -> sqlite3.Connection:
    """The one writing connection (WAL, synchronous=FULL, autocommit: transactions are explicit).

    The caller holds the file's :class:`DatabaseLock`. The file is created readable by its owner alone. The connection
    may be handed to one other thread. Raises STORE_FAILED or STORE_BUSY.
    """
    try:
        os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise TiergateError(Reason.STORE_FAILED, f"cannot open {database.name}: {error.strerror}") from error
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        _configure(connection, _COMMON)
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise TiergateError(Reason.STORE_FAILED, f"{database.name} cannot use write-ahead logging")
        _configure(connection, _WRITER)
    except sqlite3.Error as error:
        connection.close()
        raise map_sqlite_error(error) from error
    except TiergateError:
        connection.close()
        raise
    return connection


def connect_reader(database: Path) -> sqlite3.Connection:
    """A read-only connection, usable from several threads one at a time. Raises STORE_FAILED or STORE_BUSY."""
    try:
        connection = sqlite3.connect(
            f"{database.resolve().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
    except sqlite3.Error as error:
        raise map_sqlite_error(error) from error
    try:
        _configure(connection, (*_COMMON, "PRAGMA query_only=ON"))
    except sqlite3.Error as error:
        connection.close()
        raise map_sqlite_error(error) from error
    return connection


def let_signals_in(connection: sqlite3.Connection) -> None:
    """Have long statements pause for this process's signal handlers; one that raises ends the statement."""
    connection.set_progress_handler(lambda: 0, _STEPS)


def _configure(connection: sqlite3.Connection, pragmas: tuple[str, ...]) -> None:
    for pragma in pragmas:
        connection.execute(pragma)


def map_sqlite_error(error: sqlite3.Error) -> TiergateError:
    """The typed error for a driver error: STORE_BUSY while somebody holds a lock, STORE_FAILED for all else.

    The detail is SQLite's symbolic code; its text, which can quote values, is left out.
    """
    name: str = getattr(error, "sqlite_errorname", type(error).__name__)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return TiergateError(Reason.STORE_BUSY, name, retry_after_s=1)
    retry = 5 if name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_NOMEM", "SQLITE_CANTOPEN")) else None
    return TiergateError(Reason.STORE_FAILED, name, retry_after_s=retry)
