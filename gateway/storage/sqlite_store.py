"""The SQLite store: implements ``DecisionStore``, ``LogReader`` and ``ReportCursor`` of ``gateway.ports``."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from gateway.consentlog.merkle import consistency_proof, inclusion_proof, inclusion_proofs
from gateway.consentlog.note import SignerKey
from gateway.domain.decision import Decision
from gateway.domain.ids import BundleDigest, CityId
from gateway.errors import Reason, TiergateError
from gateway.ports import Clock, ConsentEvent, DecisionDraft, KnownRequest, ReceiptParts, UnreportedUse
from gateway.sqlite.connect import DatabaseLock, connect_reader, connect_writer, map_sqlite_error
from gateway.sqlite.migrate import migrate
from gateway.sqlite.writer import GroupWriter
from gateway.storage.facts import Facts
from gateway.storage.group import GroupTransaction
from gateway.storage.lookups import known_request, proof_used
from gateway.storage.mark import HighWaterMark
from gateway.storage.operations import (
    Acknowledge,
    Aside,
    ForgetRequests,
    Genesis,
    Operation,
    PublishBundle,
    RecordDecisions,
    RecordEvent,
    Result,
)
from gateway.storage.schema import MIGRATIONS
from gateway.storage.statements import remember
from gateway.storage.tree import Head, NodeCache, TreeReader, TreeWriter

REQUEST_KEPT_MS = 24 * 3600 * 1000
_RUN = 256
_SELECT_LEAVES = "SELECT idx, leaf FROM entry WHERE idx IN (SELECT value FROM json_each(?))"


class SqliteStore(Facts):
    """One consent log in one file, used by one process (a second one is refused with STORE_BUSY)."""

    def __init__(self, database: Path, mark: Path, signer: SignerKey, clock: Clock) -> None:
        """Open or create. ``signer.name`` is the log's origin; ``mark``: the file of its high-water mark.

        Raises STORE_BUSY, STORE_FAILED, LOG_CORRUPT, LOG_BEHIND.
        """
        self._clock = clock
        self._lock = DatabaseLock(database)
        try:
            self._connection = connect_writer(database)
            migrate(self._connection, MIGRATIONS)
            self._reader = connect_reader(database)
            # for single rows on the event loop, which must not wait for a long read in another thread
            self._lookup = connect_reader(database)
            self._origin = signer.name
            self._cache = NodeCache()
            self._signer = signer
            # of this process alone: what an earlier one had been attested is not kept
            self._corrected: dict[CityId, int] = {}
            self._mark = HighWaterMark(mark, signer.name)
            self._load()
            self._mark.check(self._tree.size, self._tree.root_at)
            self._mark.prepare(self._tree.size)
            self._settle()
        except BaseException:
            self._lock.release()
            raise
        self._reading = threading.Lock()
        self._tree_reader = TreeReader(self._reader, self._cache)
        self._writer: GroupWriter[Operation, Result] = GroupWriter(
            self._connection, self._apply, after_commit=self._after_commit, on_rollback=self._reload
        )

    async def start(self, deployment: str) -> None:
        """Start the writer and make sure that the log has its first entry."""
        self._writer.start()
        await self.perform(Genesis(self._origin, deployment, self._clock.now_ms()))

    async def close(self) -> None:
        """Finish what was submitted, then release the file."""
        await self._writer.close()
        with self._reading:  # a thread may be in the middle of a read, and SQLite would not survive losing it there
            self._reader.close()
        self._lookup.close()
        self._mark.close()
        self._lock.release()

    # -- writer thread -------------------------------------------------------------------------------------------

    def _load(self) -> None:
        """Memory from the database: at start, and whenever a commit's fate is the database's to tell."""
        self._tree = TreeWriter(self._connection, self._cache)
        self._group = GroupTransaction(self._tree, self._signer, self._corrected)
        row = self._connection.execute("SELECT size, checkpoint FROM head").fetchone()
        self._committed = Head(row[0], row[1]) if row else Head(0, "")

    def _reload(self) -> None:
        self._load()
        self._settle()

    def _settle(self) -> None:
        """Make the mark of the newest committed head durable, and only then show that head. Raises STORE_FAILED."""
        marked = 0 if self._mark.mark is None else self._mark.mark.size
        if self._committed.size != marked:
            self._mark.advance(self._committed.size, self._tree.root())
        self._head = self._committed

    def _apply(self, connection: sqlite3.Connection, operations: Sequence[Operation]) -> Sequence[Result | Exception]:
        return self._group.apply(connection, operations)

    def _after_commit(self, _operations: Sequence[Operation], _results: Sequence[Result | Exception]) -> None:
        self._tree.committed()
        self._group.committed()
        if self._group.head is not None:
            self._committed = self._group.head
        self._settle()

    # -- DecisionStore -------------------------------------------------------------------------------------------

    async def _submit(self, operation: Operation) -> Result:
        try:
            return await self._writer.submit(operation)
        except TiergateError as error:
            if error.reason in {Reason.STORE_BUSY, Reason.STORE_FAILED, Reason.LOG_CORRUPT}:
                retry = error.retry_after_s or 5.0
                raise TiergateError(Reason.LOG_UNAVAILABLE, error.detail, retry_after_s=retry) from error
            raise

    async def perform(self, operation: Operation) -> int:
        """Run one operation that gives a number; durable when it returns. Raises LOG_UNAVAILABLE and its own."""
        result = await self._submit(operation)
        if not isinstance(result, int):
            raise TiergateError(Reason.INTERNAL, "operation gave no index")
        return result

    async def record_many(self, drafts: Sequence[DecisionDraft]) -> list[Decision | TiergateError]:
        """See ``DecisionStore``."""
        result = await self._submit(RecordDecisions(tuple(drafts)))
        if isinstance(result, int):
            raise TiergateError(Reason.INTERNAL, "operation gave no decisions")
        return result

    def known_request(
        self, request: bytes, body: bytes, consent: bytes, bundle: BundleDigest, now_ms: int
    ) -> KnownRequest | None:
        """See ``DecisionStore``."""
        found = known_request(self._lookup, request, body, consent, bundle, now_ms)
        if found is not None and found.decision is not None and found.decision.log_index >= self._head.size:
            return replace(found, decision=None)  # its mark is not durable yet
        return found

    def proof_used(self, proof: bytes) -> bool:
        """See ``DecisionStore``."""
        return proof_used(self._lookup, proof)

    async def record_event(self, event: ConsentEvent) -> int:
        """See ``DecisionStore``."""
        return await self.perform(RecordEvent(event))

    async def publish_bundle(self, digest: BundleDigest, version: int, data: bytes, at_ms: int) -> None:
        """See ``DecisionStore``."""
        await self.perform(PublishBundle(digest, version, data, at_ms))

    def seen(self) -> dict[str, int]:
        """Highest numbers remembered, by name."""
        return dict(self._lookup.execute("SELECT what, version FROM seen").fetchall())

    async def see(self, numbers: Mapping[str, int]) -> None:
        """Remember numbers before what they belong to is worked by; none of them ever falls."""
        await self.aside(partial(remember, numbers))

    async def forget_requests(self) -> int:
        """Drop requests older than 24 hours, and marks of proofs that ended; returns how many requests."""
        return await self.perform(ForgetRequests(self._clock.now_ms(), REQUEST_KEPT_MS))

    async def aside(self, run: Callable[[sqlite3.Connection], int]) -> int:
        """Run statements beside the log on the writer; durable when it returns. Raises LOG_UNAVAILABLE."""
        return await self.perform(Aside(run))

    # -- LogReader -----------------------------------------------------------------------------------------------

    @contextmanager
    def _reads(self) -> Iterator[sqlite3.Connection]:
        with self._reading:
            try:
                yield self._reader
            except sqlite3.Error as error:
                raise map_sqlite_error(error) from error

    def size(self) -> int:
        """See ``LogReader``."""
        return self._head.size

    def checkpoint(self) -> str:
        """See ``LogReader``."""
        return self._head.checkpoint

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """See ``LogReader``."""
        self._check_range(start <= end <= self._head.size and start >= 0)
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
        head = self._head
        self._check_range(all(0 <= index < head.size for index in indices))
        with self._reads() as connection:
            rows = connection.execute(_SELECT_LEAVES, (json.dumps(list(indices)),)).fetchall()
            proofs = inclusion_proofs(
                indices, head.size, lambda level, index: self._tree_reader.subtree(level, index, head.size)
            )
        leaves = {index: leaf.encode("ascii") for index, leaf in rows}
        if not leaves.keys() >= set(indices):
            raise TiergateError(Reason.LOG_CORRUPT, "entries missing")
        return [
            ReceiptParts(index, leaves[index], tuple(proof), head.checkpoint)
            for index, proof in zip(indices, proofs, strict=True)
        ]

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """See ``LogReader``."""
        self._check_range(0 <= index < size <= self._head.size)
        return self._prove(lambda get: inclusion_proof(index, size, get))

    def consistency(self, first: int, second: int) -> list[bytes]:
        """See ``LogReader``."""
        self._check_range(0 < first <= second <= self._head.size)
        return self._prove(lambda get: consistency_proof(first, second, get))

    def _prove(self, make: Callable[[Callable[[int, int], bytes]], list[bytes]]) -> list[bytes]:
        size = self._head.size
        with self._reads():
            return make(lambda level, index: self._tree_reader.subtree(level, index, size))

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

    def bundle_digests(self) -> list[BundleDigest]:
        """See ``LogReader``."""
        with self._reads() as connection:
            rows = connection.execute("SELECT digest FROM bundle ORDER BY idx").fetchall()
        return [BundleDigest(row[0]) for row in rows]

    # -- ReportCursor --------------------------------------------------------------------------------------------

    def unreported(self, city: CityId, limit: int) -> tuple[UnreportedUse, ...]:
        """See ``ReportCursor``."""
        size = self._head.size
        with self._reads() as connection:
            rows = connection.execute(
                "SELECT idx, attestation, leaf ->> '$.rung', leaf, CASE leaf ->> '$.consent' WHEN idx - 1 THEN"
                " (SELECT secret FROM consent WHERE consent.idx = entry.idx - 1 AND locked IS NULL) END FROM entry"
                " WHERE city = ? AND idx > coalesce((SELECT idx FROM report_cursor WHERE city = ?), -1) AND idx < ?"
                " AND attestation IS NOT NULL ORDER BY idx LIMIT ?",
                (city, city, size, limit),
            ).fetchall()
        return tuple(
            UnreportedUse(index, attestation, rung, leaf.encode("ascii"), bytes.fromhex(key) if key else None)
            for index, attestation, rung, leaf, key in rows
        )

    async def acknowledge(self, city: CityId, index: int) -> None:
        """See ``ReportCursor``."""
        await self.perform(Acknowledge(city, index))
