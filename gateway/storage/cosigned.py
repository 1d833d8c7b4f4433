"""The newest checkpoint that witnesses have cosigned, kept in the gateway's database beside the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from gateway.errors import TiergateError
from gateway.ports import Cosigned
from gateway.sqlite.connect import connect_reader, map_sqlite_error

_KEEP = (
    "INSERT INTO cosigned (one, size, checkpoint, at) VALUES (1, ?, ?, ?) ON CONFLICT (one) DO UPDATE SET"
    " size = excluded.size, checkpoint = excluded.checkpoint, at = excluded.at WHERE excluded.size >= cosigned.size"
)
Apply = Callable[[Callable[[sqlite3.Connection], int]], Awaitable[int]]


class CosignedCheckpoints:
    """Implements ``CosignedStore`` of the collector."""

    def __init__(self, database: Path, apply: Apply, require: Callable[[bytes], object]) -> None:
        """``apply`` runs statements on the writer; ``require`` raises for a checkpoint that is not acceptable any more.

        One that was kept under another policy is not published under this one. Raises STORE_FAILED or STORE_BUSY.
        """
        self._apply = apply
        self._newest = read_cosigned(database)
        if self._newest is not None:
            try:
                require(self._newest.checkpoint.encode())
            except TiergateError:
                self._newest = None

    def newest(self) -> Cosigned | None:
        """See ``CosignedStore``."""
        return self._newest

    async def keep(self, cosigned: Cosigned) -> None:
        """See ``CosignedStore``."""
        await self._apply(lambda connection: connection.execute(_KEEP, tuple(cosigned)).rowcount)
        if self._newest is None or cosigned.size >= self._newest.size:
            self._newest = cosigned


class SealedCheckpoints:
    """The last checkpoints of sealed shards, with their cosignatures, as far as the quorum has given them."""

    def __init__(self, database: Path, apply: Apply, require: Callable[[bytes], object]) -> None:
        """See ``CosignedCheckpoints``."""
        self._apply = apply
        self._kept: dict[int, Cosigned] = {}
        self.missing: list[int] = []
        connection = connect_reader(database)
        try:
            rows = connection.execute("SELECT number, size, cosigned, at FROM sealed ORDER BY number").fetchall()
        except sqlite3.Error as error:
            raise map_sqlite_error(error) from error
        finally:
            connection.close()
        for number, size, cosigned, at in rows:
            try:
                require((cosigned or "").encode())
                self._kept[number] = Cosigned(size, cosigned, at)
            except TiergateError:
                self.missing.append(number)

    def get(self, number: int) -> Cosigned | None:
        """A shard's; None before it is cosigned."""
        return self._kept.get(number)

    def of(self, number: int) -> CosignedShard:
        """One shard's, to keep."""
        return CosignedShard(self, number)

    async def keep(self, number: int, cosigned: Cosigned) -> None:
        """Keep one, durably."""
        row = (cosigned.checkpoint, cosigned.at_ms, number)
        await self._apply(
            lambda connection: (
                connection.execute("UPDATE sealed SET cosigned = ?, at = ? WHERE number = ?", row).rowcount
            )
        )
        self._kept[number] = cosigned


class CosignedShard(NamedTuple):
    """Implements ``CosignedStore`` for the last checkpoint of one sealed shard."""

    shards: SealedCheckpoints
    number: int

    def newest(self) -> Cosigned | None:
        """See ``CosignedStore``."""
        return self.shards.get(self.number)

    async def keep(self, cosigned: Cosigned) -> None:
        """See ``CosignedStore``."""
        await self.shards.keep(self.number, cosigned)


def read_cosigned(database: Path) -> Cosigned | None:
    """What is kept, also while the gateway runs; None if there is nothing. Raises STORE_FAILED or STORE_BUSY."""
    connection = connect_reader(database)
    try:
        row = connection.execute("SELECT size, checkpoint, at FROM cosigned").fetchone()
    except sqlite3.Error as error:
        raise map_sqlite_error(error) from error
    finally:
        connection.close()
    return None if row is None else Cosigned(*row)
