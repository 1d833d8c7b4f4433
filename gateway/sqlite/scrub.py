"""Leaves nothing of what was deleted in a database's files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from gateway.errors import Reason, TiergateError
from gateway.sqlite.connect import connect_writer, map_sqlite_error


def scrub(database: Path, *, rewrite: bool) -> None:
    """Empty the write-ahead log, which holds pages as they were; with ``rewrite`` also write the database anew.

    Deleting overwrites (``secure_delete``), but the tree of pages may have been rearranged before and have left copies
    in its gaps: only writing it anew is sure. The caller's process holds the lock of the database. Raises STORE_BUSY
    while somebody reads an older state (a backup): to be tried again.
    """
    with closing(connect_writer(database)) as connection:
        try:
            if rewrite:
                connection.execute("VACUUM")
            (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise map_sqlite_error(error) from error
    if busy:
        raise TiergateError(Reason.STORE_BUSY, "the write-ahead log is being read", retry_after_s=1)
