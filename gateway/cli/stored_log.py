"""The log inside a database file that nobody serves: read alone, for checking backups."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from gateway.consentlog.fsck import CheckedLog, check_log
from gateway.consentlog.merkle import leaf_hash, root_of
from gateway.consentlog.shard import first_of, located
from gateway.consentlog.tiles import TILE_WIDTH, Tile
from gateway.errors import Reason, TiergateError
from gateway.sqlite.connect import connect_reader, let_signals_in, map_sqlite_error
from gateway.storage.shards import origin_of, stored_shards
from gateway.storage.tree import tile_hashes, tile_id

_RUN = 1024


class StoredLog:
    """An entry source over a connection: the newest shard, or one of the sealed.

    Raises STORE_FAILED for a database that is not the gateway's.
    """

    def __init__(self, connection: sqlite3.Connection, shard: int | None = None) -> None:
        self._connection = connection
        self._sealed, self._newest = stored_shards(connection)
        self.shard = len(self._sealed) if shard is None else shard
        head = self._newest if self.shard == len(self._sealed) else self._sealed[self.shard]
        self._first = first_of(self.shard)
        self.size, self._checkpoint = head.size, head.checkpoint
        self.end = self._first + head.size
        """The log index after its last entry."""

    @property
    def origins(self) -> list[str]:
        """Origins of the shards before it, oldest first."""
        return [origin_of(head.checkpoint) for head in self._sealed[: self.shard]]

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
        first = self._first + tile.number * TILE_WIDTH
        if tile.level == 0 and tile.width < TILE_WIDTH:
            return b"".join(map(leaf_hash, self.entries(first, first + tile.width)))
        row = self._connection.execute(
            "SELECT hashes FROM tile WHERE id = ?", (tile_id(tile.level, tile.number, self.shard),)
        ).fetchone()
        return tile_hashes(row[0]) if row else b""

    def root(self, end: int) -> bytes:
        """Root of the shard that a log index is in, when it ended there: from the entries themselves."""
        return root_of(map(leaf_hash, self.entries(first_of(located(end)[0]), end)))


def check_database(database: Path, trust: bytes) -> CheckedLog:
    """Check a whole database: SQLite's own structure, then the log in it, shard by shard; what the newest holds.

    Raises STORE_FAILED (no database of the gateway), LOG_CORRUPT, NOTE_INVALID, PROOF_OF_LOG_INVALID.
    """
    with closing(connect_reader(database)) as connection:
        let_signals_in(connection)
        try:
            (state,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if state != "ok":
                raise TiergateError(Reason.LOG_CORRUPT, f"{database.name} is damaged")
            newest = StoredLog(connection)
            if newest.size == 0:
                raise TiergateError(Reason.LOG_CORRUPT, f"{database.name} holds no log")
            checked: CheckedLog | None = None
            for shard in range(newest.shard):
                log = StoredLog(connection, shard)
                checked = check_log(log, trust, log.read_tile, checked)
            return check_log(newest, trust, newest.read_tile, checked)
        except sqlite3.Error as error:
            raise map_sqlite_error(error) from error
