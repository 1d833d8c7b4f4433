"""The reading half of the store: ``LogReader`` and ``ReportCursor`` of ``gateway.ports``, over committed state."""

from __future__ import annotations

import json
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

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


class Reading(ABC):
    """The part of a store that shows the log. The writing half sets what it shows: the newest head, and sealed ones."""

    _reader: sqlite3.Connection
    _reading: threading.Lock
    _cache: NodeCache
    _head: Head
    _sealed: tuple[Head, ...]
    """The last heads of sealed shards, oldest first; the newest shard's number is how many there are."""

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

    def _of(self, shard: int | None) -> tuple[int, Head]:
        """A shard's number and head; of the newest one by default. Raises RANGE_INVALID."""
        newest = len(self._sealed)
        number = newest if shard is None else shard
        self._check_range(0 <= number <= newest)
        return number, self._head if number == newest else self._sealed[number]

    def _tree_of(self, shard: int, connection: sqlite3.Connection) -> TreeReader:
        # proofs in a sealed shard are rare: they leave the nodes in memory to the one that grows
        cache = self._cache if shard == len(self._sealed) else NodeCache()
        return TreeReader(connection, cache, shard)

    # -- LogReader -----------------------------------------------------------------------------------------------

    def size(self, shard: int | None = None) -> int:
        """See ``LogReader``."""
        return self._of(shard)[1].size

    def end(self) -> int:
        """See ``LogReader``."""
        return first_of(len(self._sealed)) + self._head.size

    def checkpoint(self, shard: int | None = None) -> str:
        """See ``LogReader``."""
        return self._of(shard)[1].checkpoint

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """See ``LogReader``."""
        self._check_range(0 <= start <= end)
        number, head = self._of(located(start)[0])
        self._check_range(end <= first_of(number) + head.size)
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
        number, head = self._of(located(indices[0])[0] if indices else None)
        within = [index - first_of(number) for index in indices]
        self._check_range(all(0 <= index < head.size for index in within))
        with self._reads() as connection:
            rows = connection.execute(_SELECT_LEAVES, (json.dumps(list(indices)),)).fetchall()
            tree = self._tree_of(number, connection)
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
        number, head = self._of(shard)
        self._check_range(0 <= within < size <= head.size)
        return self._prove(number, head.size, lambda get: inclusion_proof(within, size, get))

    def consistency(self, first: int, second: int, shard: int | None = None) -> list[bytes]:
        """See ``LogReader``."""
        number, head = self._of(shard)
        self._check_range(0 < first <= second <= head.size)
        return self._prove(number, head.size, lambda get: consistency_proof(first, second, get))

    def _prove(self, shard: int, size: int, make: Callable[[Callable[[int, int], bytes]], list[bytes]]) -> list[bytes]:
        with self._reads() as connection:
            tree = self._tree_of(shard, connection)
            return make(lambda level, index: tree.subtree(level, index, size))

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
                "SELECT idx, attestation, leaf ->> '$.rung', leaf, CASE leaf ->> '$.consent' WHEN idx - 1 THEN"
                " (SELECT secret FROM consent WHERE consent.idx = entry.idx - 1 AND locked IS NULL) END FROM entry"
                " WHERE city = ? AND idx > coalesce((SELECT idx FROM report_cursor WHERE city = ?), -1) AND idx < ?"
                " AND attestation IS NOT NULL ORDER BY idx LIMIT ?",
                (city, city, end, limit),
            ).fetchall()
        return tuple(
            UnreportedUse(index, attestation, rung, leaf.encode("ascii"), bytes.fromhex(key) if key else None)
            for index, attestation, rung, leaf, key in rows
            if index // PLACES == rows[0][0] // PLACES  # a run is proved in one tree
        )

    async def acknowledge(self, city: CityId, index: int) -> None:
        """See ``ReportCursor``."""
        await self.perform(Acknowledge(city, index))
