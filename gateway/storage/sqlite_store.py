"""The SQLite store: ``DecisionStore`` of ``gateway.ports``; ``LogReader`` and ``ReportCursor`` are in ``reading``."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from gateway.consentlog.note import SignerKey
from gateway.consentlog.shard import number_of
from gateway.domain.decision import Decision
from gateway.domain.ids import REQUEST_KEPT_S, BundleDigest
from gateway.errors import Reason, TiergateError
from gateway.ports import Clock, ConsentEvent, DecisionDraft, KnownRequest
from gateway.sqlite.connect import DatabaseLock, connect_reader, connect_writer
from gateway.sqlite.copies import remove_unfinished
from gateway.sqlite.migrate import migrate
from gateway.sqlite.writer import GroupWriter
from gateway.storage.facts import Facts
from gateway.storage.group import GroupTransaction
from gateway.storage.lookups import known_request, proof_used
from gateway.storage.mark import HighWaterMark
from gateway.storage.operations import (
    Aside,
    ForgetRequests,
    Genesis,
    Operation,
    PublishBundle,
    RecordDecisions,
    RecordEvent,
    Result,
)
from gateway.storage.reading import Reading, Shown
from gateway.storage.rows import stands_after
from gateway.storage.schema import MIGRATIONS
from gateway.storage.sealing import Policy, commit_seal, require_keys
from gateway.storage.shards import origin_of, root_at, stored_shards
from gateway.storage.statements import corrections, remember
from gateway.storage.tree import NodeCache, TreeWriter


class SqliteStore(Facts, Reading):
    """One consent log in one file, used by one process (a second one is refused with STORE_BUSY)."""

    def __init__(self, database: Path, mark: Path, signer: SignerKey, clock: Clock) -> None:
        """Open or create. ``signer.name`` is the newest shard's origin; ``mark``: the file of the high-water mark.

        Removes what a restore that was killed left beside it. Raises STORE_BUSY, STORE_FAILED, LOG_CORRUPT, LOG_BEHIND;
        KEY_INVALID for the key of another shard.
        """
        self._clock = clock
        self._lock = DatabaseLock(database)
        try:
            remove_unfinished(database.parent, database.name)
            self._connection = connect_writer(database)
            migrate(self._connection, MIGRATIONS)
            self._reader = connect_reader(database)
            # for single rows on the event loop, which must not wait for a long read in another thread
            self._lookup = connect_reader(database)
            self._signer = signer
            self._coming: SignerKey | None = None
            self._cache = NodeCache()
            self._corrected = corrections(self.seen())
            self._load()
            self._mark = HighWaterMark(mark, signer.name, [origin_of(head.checkpoint) for head in self._sealed])
            try:
                self._mark.check(self._tree.end, lambda end: root_at(self._connection, end))
                self._mark.prepare(self._tree.end)
                self._settle()
            except BaseException:
                self._mark.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        self._reading = threading.Lock()
        self._writer: GroupWriter[Operation, Result] = GroupWriter(
            self._connection, self._apply, after_commit=self._after_commit, on_rollback=self._reload
        )

    async def start(self, deployment: str) -> None:
        """Start the writer and make sure that the log has its first entry."""
        self._writer.start()
        await self.perform(Genesis(self._signer.name, deployment, self._clock.now_ms()))

    async def close(self) -> None:
        """Finish what was submitted, then release the file."""
        await self._writer.close()
        with self._reading:  # a thread may be in the middle of a read, and SQLite would not survive losing it there
            self._reader.close()
        self._lookup.close()
        self._mark.close()
        self._lock.release()

    async def seal(self, coming: SignerKey, policies: Sequence[Policy], directory_version: int) -> None:
        """Seal the newest shard and go on in the next, which ``coming`` signs; see ``gateway.storage.sealing``.

        What was submitted before and after is decided in the one shard or in the other, and nothing waits for longer
        than for one more group. To be repeated after any error: nothing has been done then, or it is finished by that.
        Raises KEY_INVALID for a key that does not follow; LOG_UNAVAILABLE.
        """

        def seal(connection: sqlite3.Connection) -> None:
            if coming.verifier == self._signer.verifier:
                return  # an attempt that was reported as failed
            require_keys(self._signer, coming, len(self._sealed), self._committed)
            self._coming = coming
            keys, now_ms = (self._signer, coming), self._clock.now_ms()
            commit_seal(connection, self._tree, keys, policies, directory_version, now_ms)
            self._reload()

        try:
            await self._writer.alone(seal)
        except TiergateError as error:
            _unavailable(error)
            raise

    # -- writer thread -------------------------------------------------------------------------------------------

    def _load(self) -> None:
        """Memory from the database: at start, and whenever a commit's fate is the database's to tell."""
        self._sealed, self._committed = stored_shards(self._connection)
        coming = self._coming
        if coming is not None and origin_of(self._committed.checkpoint) == coming.name:
            self._mark.follow(coming.name)
            self._signer, self._coming, self._cache = coming, None, NodeCache()
        number, origin = len(self._sealed), self._signer.name
        if number_of(origin) != number or (self._committed.size and origin_of(self._committed.checkpoint) != origin):
            raise TiergateError(Reason.KEY_INVALID, f"the log key is of {origin}, which is not the log's newest shard")
        self._tree = TreeWriter(self._connection, self._cache, number, self._committed.size)
        self._group = GroupTransaction(self._tree, self._signer, self._corrected)

    def _reload(self) -> None:
        self._load()
        self._settle()

    def _settle(self) -> None:
        """Make the mark of the newest committed head durable, and only then show that head. Raises STORE_FAILED."""
        marked, end = 0 if self._mark.mark is None else self._mark.mark.size, self._tree.first + self._committed.size
        if end != marked:
            self._mark.advance(end, self._tree.root())
        self._shown = Shown(self._sealed, self._committed, self._cache)

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
            _unavailable(error)
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
        stored = None if found is None else found.decision
        if found is None or stored is None:
            return found
        marked = stored.log_index < self.end()  # else its mark is not durable yet
        stands = stands_after(stored, self._corrected.get(stored.home_city, -1))
        return found if marked and stands else replace(found, decision=None)

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
        """Drop some requests first decided over 24 hours ago, some marks of ended proofs; how many, 0 when all are."""
        return await self.perform(ForgetRequests(self._clock.now_ms(), REQUEST_KEPT_S * 1000))

    async def aside(self, run: Callable[[sqlite3.Connection], int]) -> int:
        """Run statements beside the log on the writer; durable when it returns. Raises LOG_UNAVAILABLE."""
        return await self.perform(Aside(run))


def _unavailable(error: TiergateError) -> None:
    """Return unless it is trouble with the files. Raises LOG_UNAVAILABLE: what it is for those who need the log."""
    if error.reason in {Reason.STORE_BUSY, Reason.STORE_FAILED, Reason.LOG_CORRUPT, Reason.LOG_BEHIND}:
        retry = error.retry_after_s or 5.0
        raise TiergateError(Reason.LOG_UNAVAILABLE, error.detail, retry_after_s=retry) from error
