"""The reading half of the store: ``LogReader`` and ``ReportCursor`` of ``gateway.ports``, over committed state."""

from __future__ import annotations

import json
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from gateway.consentlog.merkle import consistency_proof, inclusion_proof, inclusion_proofs
from gateway.consentlog.shard import PLACES, first_of, located
from gateway.domain.ids import BundleDigest, CityId
from gateway.errors import Reason, TiergateError
from gateway.ports import ReceiptParts, UnreportedUse
from gateway.sqlite.connect import map_sqlite_error
from gateway.storage.operations import Acknowledge, Operation
from gateway.storage.tree import Head, NodeCache, TreeReader

_RUN = 256
_SELECT_LEAVES = "SELECT idx, leaf FROM entry WHERE idx IN (SELECT value FROM json_each(?))"


class Tree(NamedTuple):
    """A shard as it is shown: its number, its head, and the nodes of its tree that are in memory."""

    number: int
    head: Head
    cache: NodeCache


class Shown(NamedTuple):
    """What the log is shown as. A reader takes it once: the next group, or a seal, replaces it as a whole."""

    sealed: tuple[Head, ...]
    """The last heads of sealed shards, oldest first; the newest shard's number is how many there are."""
    head: Head
    cache: NodeCache
    """Of the newest shard."""

    def of(self, shard: int | None) -> Tree:
        """A shard; the newest one by default. Raises RANGE_INVALID."""
        newest = len(self.sealed)
        if shard is None or shard == newest:
            return Tree(newest, self.head, self.cache)
        if not 0 <= shard < newest:
            raise TiergateError(Reason.RANGE_INVALID)
        # proofs in a sealed shard are rare: they leave the nodes in memory to the one that grows
        return Tree(shard, self.sealed[shard], NodeCache())


class Reading(ABC):
    """The part of a store that shows the log. The writing half sets what it shows."""

    _reader: sqlite3.Connection
    _reading: threading.Lock
    _shown: Shown

    @abstractmethod
    async def perform(self, operation: Operation) -> int:
        """Have the writer commit an operation. The store's own."""

    @contextmanager
    def _reads(self) -> Iterator[sqlite3.Connection]:
        with self._reading:
            try:
                yield self._reader
            except sqlite3.Error as error:
                raise map_sqlite_error(error) from error

    # -- LogReader -----------------------------------------------------------------------------------------------

    def size(self, shard: int | None = None) -> int:
        """See ``LogReader``."""
        return self._shown.of(shard).head.size

    def end(self) -> int:
        """See ``LogReader``."""
        shown = self._shown
        return first_of(len(shown.sealed)) + shown.head.size

    def checkpoint(self, shard: int | None = None) -> str:
        """See ``LogReader``."""
        return self._shown.of(shard).head.checkpoint

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """See ``LogReader``."""
        self._check_range(0 <= start <= end)
        tree = self._shown.of(located(start)[0])
        self._check_range(end <= first_of(tree.number) + tree.head.size)
        for first in range(start, end, _RUN):
            last = min(first + _RUN, end)
            with self._reads() as connection:
                rows = connection.execute(
                    "SELECT leaf FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx", (first, last)
                ).fetchall()
            if len(rows) != last - first:
                raise TiergateError(Reason.LOG_CORRUPT, f"entries missing in {first} to {last}")
            for (leaf,) in rows:
                yield leaf.encode("ascii")

    def receipt(self, index: int) -> ReceiptParts:
        """See ``LogReader``."""
        return self.receipts([index])[0]

    def receipts(self, indices: Sequence[int]) -> list[ReceiptParts]:
        """See ``LogReader``."""
        self._check_range(len({index // PLACES for index in indices}) <= 1)
        number, head, cache = self._shown.of(located(indices[0])[0] if indices else None)
        within = [index - first_of(number) for index in indices]
        self._check_range(all(0 <= index < head.size for index in within))
        with self._reads() as connection:
            rows = connection.execute(_SELECT_LEAVES, (json.dumps(list(indices)),)).fetchall()
            tree = TreeReader(connection, cache, number)
            proofs = inclusion_proofs(within, head.size, lambda level, index: tree.subtree(level, index, head.size))
        leaves = {index: leaf.encode("ascii") for index, leaf in rows}
        if not leaves.keys() >= set(indices):
            raise TiergateError(Reason.LOG_CORRUPT, "entries missing")
        return [
            ReceiptParts(index, leaves[index], tuple(proof), head.checkpoint)
            for index, proof in zip(indices, proofs, strict=True)
        ]

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """See ``LogReader``."""
        shard, within = located(index)
        tree = self._shown.of(shard)
        self._check_range(0 <= within < size <= tree.head.size)
        return self._prove(tree, lambda get: inclusion_proof(within, size, get))

    def consistency(self, first: int, second: int, shard: int | None = None) -> list[bytes]:
        """See ``LogReader``."""
        tree = self._shown.of(shard)
        self._check_range(0 < first <= second <= tree.head.size)
        return self._prove(tree, lambda get: consistency_proof(first, second, get))

    def _prove(self, tree: Tree, make: Callable[[Callable[[int, int], bytes]], list[bytes]]) -> list[bytes]:
        with self._reads() as connection:
            reader = TreeReader(connection, tree.cache, tree.number)
            return make(lambda level, index: reader.subtree(level, index, tree.head.size))

    @staticmethod
    def _check_range(inside: bool) -> None:  # noqa: FBT001 - a condition, not a flag
        if not inside:
            raise TiergateError(Reason.RANGE_INVALID)

    def bundle(self, digest: BundleDigest) -> bytes:
        """See ``LogReader``."""
        with self._reads() as connection:
            row = connection.execute("SELECT data FROM bundle WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            raise TiergateError(Reason.NOT_FOUND, "bundle")
        return bytes(row[0])

    # -- ReportCursor --------------------------------------------------------------------------------------------

    def unreported(self, city: CityId, limit: int) -> tuple[UnreportedUse, ...]:
        """See ``ReportCursor``."""
        end = self.end()
        with self._reads() as connection:
            rows = connection.execute(
                "SELECT idx, attestation, leaf ->> '$.rung', leaf, decided_at,"
                " CASE leaf ->> '$.consent' WHEN idx - 1 THEN"
                " (SELECT secret FROM consent WHERE consent.idx = entry.idx - 1 AND locked IS NULL) END FROM entry"
                " WHERE city = ? AND idx > coalesce((SELECT idx FROM report_cursor WHERE city = ?), -1) AND idx < ?"
                " AND attestation IS NOT NULL ORDER BY idx LIMIT ?",
                (city, city, end, limit),
            ).fetchall()
        return tuple(
            UnreportedUse(index, attestation, rung, leaf.encode("ascii"), at_ms, bytes.fromhex(key) if key else None)
            for index, attestation, rung, leaf, at_ms, key in rows
            if index // PLACES == rows[0][0] // PLACES  # a run is proved in one tree
        )

    async def acknowledge(self, city: CityId, index: int) -> None:
        """See ``ReportCursor``."""
        await self.perform(Acknowledge(city, index))
