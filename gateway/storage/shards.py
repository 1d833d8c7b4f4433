"""The shards of a stored log: the last heads of those that are sealed, the head of the newest, and roots of all."""

from __future__ import annotations

import sqlite3

from gateway.consentlog.merkle import Frontier
from gateway.consentlog.shard import located
from gateway.sqlite.connect import map_sqlite_error
from gateway.storage.tree import Head, NodeCache, TreeReader


def stored_shards(connection: sqlite3.Connection) -> tuple[tuple[Head, ...], Head]:
    """Heads of sealed shards, oldest first, and the newest shard's (of size 0 before its first entry).

    Raises STORE_FAILED or STORE_BUSY.
    """
    try:
        known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sealed'").fetchone()  # since version 7
        sealed = connection.execute("SELECT size, checkpoint FROM sealed ORDER BY number").fetchall() if known else []
        row = connection.execute("SELECT size, checkpoint FROM head").fetchone()
    except sqlite3.Error as error:
        raise map_sqlite_error(error) from error
    return tuple(Head(*found) for found in sealed), Head(*row) if row else Head(0, "")


def origin_of(checkpoint: str) -> str:
    """The origin that one of our own checkpoints names (its first line)."""
    return checkpoint.partition("\n")[0]


def root_at(connection: sqlite3.Connection, end: int) -> bytes:
    """Root of a shard's tree when ``end`` was the place after its last entry."""
    shard, size = located(end)
    sealed, newest = stored_shards(connection)
    now = (sealed[shard] if shard < len(sealed) else newest).size
    tree = TreeReader(connection, NodeCache(), shard)
    return Frontier.from_subtrees(size, lambda level, index: tree.subtree(level, index, now)).root()
