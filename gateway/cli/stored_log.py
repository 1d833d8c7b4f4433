"""The log inside a database file that nobody serves: read alone, for checking backups."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from gateway.consentlog.fsck import CheckedLog, check_log
from gateway.consentlog.merkle import leaf_hash, root_of
from gateway.consentlog.tiles import TILE_WIDTH, Tile
from gateway.errors import Reason, TiergateError
from gateway.sqlite.connect import connect_reader, map_sqlite_error
from gateway.storage.tree import tile_id

_RUN = 1024


class StoredLog:
    """An entry source over a connection. Raises STORE_FAILED for a database that is not the gateway's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        try:
            row = connection.execute("SELECT size, checkpoint FROM head").fetchone()
        except sqlite3.Error as error:
            raise map_sqlite_error(error) from error
        self.size: int = row[0] if row else 0
        self._checkpoint: str = row[1] if row else ""

    def checkpoint(self) -> str:
        """See ``EntrySource``."""
        return self._checkpoint

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """See ``EntrySource``."""
        for first in range(start, end, _RUN):
            rows = self._connection.execute(
                "SELECT leaf FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx", (first, min(first + _RUN, end))
            )
            for (leaf,) in rows:
                yield leaf.encode("utf-8")

    def read_tile(self, tile: Tile) -> bytes:
        """Stored hashes of a tile. The last one of level 0 is not stored: its hashes follow from its entries."""
        first = tile.number * TILE_WIDTH
        if tile.level == 0 and tile.width < TILE_WIDTH:
            return b"".join(map(leaf_hash, self.entries(first, first + tile.width)))
        row = self._connection.execute(
            "SELECT hashes FROM tile WHERE id = ?", (tile_id(tile.level, tile.number),)
        ).fetchone()
        return bytes(row[0]) if row else b""

    def root(self, size: int) -> bytes:
        """Root of the first ``size`` entries, from the entries themselves."""
        return root_of(map(leaf_hash, self.entries(0, size)))


def check_database(database: Path, trust: bytes) -> CheckedLog:
    """Check a whole database: SQLite's own structure, then the log in it up to its signed checkpoint.

    Raises STORE_FAILED (no database of the gateway), LOG_CORRUPT, NOTE_INVALID, PROOF_OF_LOG_INVALID.
    """
    with closing(connect_reader(database)) as connection:
        try:
            (state,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if state != "ok":
                raise TiergateError(Reason.LOG_CORRUPT, f"{database.name} is damaged")
            log = StoredLog(connection)
            if log.size == 0:
                raise TiergateError(Reason.LOG_CORRUPT, f"{database.name} holds no log")
            return check_log(log, trust, log.read_tile)
        except sqlite3.Error as error:
            raise map_sqlite_error(error) from error
