"""The stored Merkle tree: full tiles and the right edge, and the head that readers see.

Level-0 tiles are stored when they are full; the hashes of the last, partial one follow from its entries. Higher tiles
are stored from their first hash on. A full tile's hashes are followed by the nodes above them inside the tile, height
by height, up to its two halves: a proof then reads what it names, and hashes nothing (32 bytes more per entry). Nodes
completed lately are kept in memory (about 200 bytes each).
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass

from gateway.consentlog.merkle import CompletedNode, Frontier, leaf_hash, node_hash
from gateway.consentlog.shard import PLACES, first_of
from gateway.consentlog.tiles import TILE_HEIGHT, TILE_WIDTH
from gateway.errors import Reason, TiergateError

_RECENT_NODES = 65_536
_HASH = 32
_NODES = 2 * TILE_WIDTH - 2
"""Hashes of a full tile as it is stored: 256 of the tile, 128 above them, and so on to 2."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest committed tree of a shard: its size and signed checkpoint."""

    size: int
    checkpoint: str


def tile_id(level: int, index: int, shard: int = 0) -> int:
    """Row id of a tile: tile levels 0 to 7 in the upper bits, then ten bits of the shard's number, the index below."""
    return level << 56 | shard << 40 | index


def _above(row: list[bytes]) -> list[bytes]:
    """The nodes above a row of them."""
    return [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]


def _with_nodes(hashes: bytes | bytearray) -> bytes:
    """A full tile with the nodes inside it; a partial one as it is."""
    if len(hashes) != TILE_WIDTH * _HASH:
        return bytes(hashes)
    row = [bytes(hashes[i : i + _HASH]) for i in range(0, len(hashes), _HASH)]
    stored = [*row]
    while len(row) > 2:
        row = _above(row)
        stored += row
    return b"".join(stored)


def tile_hashes(stored: bytes) -> bytes:
    """The hashes of a stored tile alone; nothing if the nodes behind them do not follow from them."""
    hashes = stored[: TILE_WIDTH * _HASH]
    return hashes if stored in {hashes, _with_nodes(hashes)} else b""


class NodeCache:
    """Hashes of complete subtrees. Complete subtrees never change, so an entry can only be absent, never wrong."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._lock = threading.Lock()  # the writer adds while readers look up and evict

    def get(self, level: int, index: int) -> bytes | None:
        """The hash, if it is held."""
        return self._nodes.get((level, index))

    def put(self, nodes: list[CompletedNode]) -> None:
        """Keep nodes of a committed tree; the oldest make room."""
        with self._lock:
            held = self._nodes
            for level, index, value in nodes:
                held[level, index] = value
            for key in [key for key, _ in zip(held, range(len(held) - _RECENT_NODES), strict=False)]:
                del held[key]


class TreeWriter:
    """The writer's side: appends leaves, writes tiles; used on the writer thread alone."""

    def __init__(self, connection: sqlite3.Connection, cache: NodeCache, shard: int, size: int) -> None:
        """Load the right edge of a shard's committed tree. Raises LOG_CORRUPT when entries and tiles disagree."""
        self._cache = cache
        self._shard, self.first = shard, first_of(shard)
        (stored,) = connection.execute(
            "SELECT count(*) FROM entry WHERE idx >= ? AND idx < ?",
            (self.first + size - size % TILE_WIDTH, self.first + PLACES),
        ).fetchone()
        if stored != size % TILE_WIDTH:
            raise TiergateError(Reason.LOG_CORRUPT, f"{stored} entries in the last tile of a tree of {size}")
        self._reader = TreeReader(connection, cache, shard)
        self._committed = self._edge(size, size)
        self._frontier = self._committed.copy()
        self._root: bytes | None = None
        self._completed: list[CompletedNode] = []

    def _edge(self, at: int, size: int) -> Frontier:
        return Frontier.from_subtrees(at, lambda level, index: self._reader.subtree(level, index, size))

    @property
    def size(self) -> int:
        """Number of leaves, those of the open transaction included."""
        return self._frontier.size

    @property
    def end(self) -> int:
        """The place after the last leaf."""
        return self.first + self._frontier.size

    def append(self, leaf: bytes) -> int:
        """Add an entry; returns its place."""
        place = self.end
        self._root = None
        self._frontier.append(leaf_hash(leaf), self._completed)
        return place

    def root(self) -> bytes:
        """Root with everything appended so far; a group asks twice, to sign it and for the mark."""
        if self._root is None:
            self._root = self._frontier.root()
        return self._root

    def store_tiles(self, connection: sqlite3.Connection) -> None:
        """Write the tiles that the open transaction has completed or extended."""
        by_tile: dict[int, bytearray] = {}
        # only full level-0 tiles are stored: everything below is still in the entry rows
        full_leaves = self._frontier.size - self._frontier.size % TILE_WIDTH
        leaves = {index: value for level, index, value in self._completed if level == 0 and index < full_leaves}
        if leaves:
            for number in range(min(leaves) // TILE_WIDTH, full_leaves // TILE_WIDTH):
                start = number * TILE_WIDTH
                hashes = bytearray()
                for index in range(start, start + TILE_WIDTH):
                    known = leaves.get(index)
                    hashes += known if known is not None else self._stored_leaf(connection, index)
                by_tile[tile_id(0, number, self._shard)] = hashes
        for level, index, value in self._completed:
            if level and level % TILE_HEIGHT == 0:
                row = tile_id(level // TILE_HEIGHT, index // TILE_WIDTH, self._shard)
                if row not in by_tile:
                    found = connection.execute("SELECT hashes FROM tile WHERE id = ?", (row,)).fetchone()
                    by_tile[row] = bytearray(found[0] if found else b"")
                by_tile[row] += value
        if by_tile:
            connection.executemany(
                "INSERT INTO tile (id, hashes) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET hashes = excluded.hashes",
                [(row, _with_nodes(hashes)) for row, hashes in by_tile.items()],
            )

    def _stored_leaf(self, connection: sqlite3.Connection, index: int) -> bytes:
        known = self._cache.get(0, index)
        if known is not None:
            return known
        return leaf_hash(_leaf(connection, self.first + index))

    def committed(self) -> None:
        """The transaction is durable: its nodes may be read."""
        self._cache.put(self._completed)
        self._completed = []
        self._committed = self._frontier.copy()

    def rolled_back(self) -> None:
        """Forget what the transaction appended."""
        self._completed = []
        self._root = None
        self._frontier.restore(self._committed)


def _leaf(connection: sqlite3.Connection, index: int) -> bytes:
    row = connection.execute("SELECT leaf FROM entry WHERE idx = ?", (index,)).fetchone()
    if row is None:
        raise TiergateError(Reason.LOG_CORRUPT, f"entry {index} is missing")
    return str(row[0]).encode("ascii")


class TreeReader:
    """The readers' side: hashes of complete subtrees of a shard's committed trees. ``cache`` is of that shard alone."""

    def __init__(self, connection: sqlite3.Connection, cache: NodeCache, shard: int) -> None:
        self._connection = connection
        self._cache = cache
        self._shard, self._first = shard, first_of(shard)
        self._full = -1, b""  # the full tile that was read last: most of a proof is in one

    def subtree(self, level: int, index: int, size: int) -> bytes:
        """Hash of the complete subtree ``(level, index)`` in a tree of ``size`` leaves.

        From memory, else from the tile that holds it, else from the entries. Raises LOG_CORRUPT for a missing part.
        """
        known = self._cache.get(level, index)
        if known is not None:
            return known
        tile_level, height = divmod(level, TILE_HEIGHT)
        first, count = index << height, 1 << height
        number, place = divmod(first, TILE_WIDTH)
        if tile_level == 0 and (number + 1) * TILE_WIDTH > size:
            hashes = self._leaves(first, count)
        else:
            data = self._tile(tile_level, number)
            if len(data) == _NODES * _HASH:
                at = (2 * TILE_WIDTH - (2 * TILE_WIDTH >> height) + (place >> height)) * _HASH
                found = data[at : at + _HASH]
                if tile_level:  # a tile of leaves is as rarely asked for as any other
                    self._cache.put([(level, index, found)])
                return found
            part = data[place * _HASH : (place + count) * _HASH]
            hashes = [part[i : i + _HASH] for i in range(0, len(part), _HASH)]
        if len(hashes) != count:
            raise TiergateError(Reason.LOG_CORRUPT, f"subtree {level}/{index} is incomplete")
        while len(hashes) > 1:
            hashes = _above(hashes)
        self._cache.put([(level, index, hashes[0])])
        return hashes[0]

    def _leaves(self, first: int, count: int) -> list[bytes]:
        rows = self._connection.execute(
            "SELECT leaf FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx",
            (self._first + first, self._first + first + count),
        ).fetchall()
        return [leaf_hash(row[0].encode("ascii")) for row in rows]

    def _tile(self, level: int, number: int) -> bytes:
        row_id = tile_id(level, number, self._shard)
        if self._full[0] != row_id:
            row = self._connection.execute("SELECT hashes FROM tile WHERE id = ?", (row_id,)).fetchone()
            data: bytes = row[0] if row else b""
            if len(data) != _NODES * _HASH:
                return data
            self._full = row_id, data
        return self._full[1]
