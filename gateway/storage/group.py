"""One group of operations inside one transaction: the only code that changes the log (DESIGN: the consent log).

1  Read what the group touches: consents, requests, each by one statement.
2  Decide operation by operation, in order; later ones see what earlier ones of the group did.
3  Append the leaves, insert the rows, store completed tiles.
4  Sign one checkpoint for the whole group. The caller commits, and only then releases results.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.entry import VERSION, Value, encode
from gateway.consentlog.note import SignerKey, sign_note
from gateway.domain.consent import EventKind
from gateway.domain.decision import Decision
from gateway.domain.evaluate import logged_from
from gateway.domain.ids import CityId, require_open
from gateway.errors import Reason, TiergateError
from gateway.ports import ConsentEvent, DecisionDraft
from gateway.storage.decisions import write_decision
from gateway.storage.directory_log import listed_of, log_directory
from gateway.storage.erasing import erase, erased
from gateway.storage.operations import (
    BY_TOMBSTONE,
    Acknowledge,
    Aside,
    ConsentState,
    Erasing,
    ForgetRequests,
    Genesis,
    GroupRows,
    Operation,
    PublishBundle,
    RecordDecisions,
    RecordDirectory,
    RecordEvent,
    RecordFact,
    Recording,
    Result,
)
from gateway.storage.proofs import PROOFS, keep_proof, used_proofs
from gateway.storage.rows import commitment, short, stands_after, stored_decision
from gateway.storage.statements import (
    ATTESTATIONS,
    CHANGES,
    CONSENTS,
    CORRECTED,
    ENTRIES,
    REQUESTS,
    SELECT_CONSENTS,
    SELECT_REQUESTS,
    forget,
    keep_bundle,
    remember,
    require_decision,
)
from gateway.storage.tree import Head, TreeWriter


class GroupTransaction:
    """Applies groups. Lives on the writer thread; ``connection`` is the one the group's transaction is open on."""

    def __init__(self, tree: TreeWriter, signer: SignerKey, corrected: dict[CityId, int]) -> None:
        """``corrected``: index of the newest committed correction by city."""
        self._corrected = corrected
        self._correcting: dict[CityId, int] = {}
        self._tree = tree
        self._signer = signer
        self._head: Head | None = None
        self._rows = GroupRows()
        self._consents: dict[str, ConsentState] = {}
        self._requests: dict[str, tuple[str, int, Decision]] = {}
        self._proofs: set[bytes] = set()
        self._known_attestations: dict[str, None] = {}

    @property
    def head(self) -> Head | None:
        """The head that the last group signed; None when it appended nothing."""
        return self._head

    def apply(self, connection: sqlite3.Connection, operations: Sequence[Operation]) -> list[Result | Exception]:
        """Apply a group inside an open transaction; one result or error per operation."""
        self._rows = GroupRows()
        self._correcting = {}
        self._head = None
        before = self._tree.size
        # before anything is read or collected: what they delete nothing else in the group may hold
        done = {
            place: self._erase(connection, item) for place, item in enumerate(operations) if isinstance(item, Erasing)
        }
        self._load(connection, operations)
        results: list[Result | Exception] = [
            done[place] if isinstance(operation, Erasing) else self._one(connection, operation)
            for place, operation in enumerate(operations)
        ]
        self._insert(connection)
        if self._tree.size != before:
            self._sign(connection)
        return results

    def _load(self, connection: sqlite3.Connection, operations: Sequence[Operation]) -> None:
        consents: set[str] = set()
        requests: list[str] = []
        for operation in operations:
            if isinstance(operation, RecordDecisions):
                consents.update(short(draft.consent) for draft in operation.drafts)
                requests.extend(short(draft.request) for draft in operation.drafts)
            elif isinstance(operation, RecordEvent) and operation.event.consent is not None:
                consents.add(short(operation.event.consent))
        self._consents = {}
        self._requests = {}
        if consents:
            (found,) = connection.execute(SELECT_CONSENTS, (json.dumps(list(consents)),)).fetchone()
            for key, index, secret, *state in json.loads(found):
                self._consents[key] = ConsentState(index, bytes.fromhex(secret), *state)
            for key in erased(connection, consents - self._consents.keys()):
                self._consents[key] = ConsentState(None, os.urandom(32), None, locked=BY_TOMBSTONE)
        if requests:
            (found,) = connection.execute(SELECT_REQUESTS, (json.dumps(requests),)).fetchone()
            for key, body, index, leaf, first, until, at in json.loads(found):
                self._requests[key] = body, first, stored_decision(leaf, index, first if at is None else at, until)
        self._proofs = used_proofs(connection, operations)

    def _erase(self, connection: sqlite3.Connection, operation: Erasing) -> Result | Exception:
        try:
            return erase(connection, operation, self._append)
        except TiergateError as error:  # found before anything was changed
            return error

    def _one(self, connection: sqlite3.Connection, operation: Recording) -> Result | Exception:
        match operation:
            case RecordDecisions(drafts):
                return [self._decide(draft) for draft in drafts]
            case RecordEvent(event):
                try:
                    return self._event(connection, event)
                except TiergateError as error:  # found before anything was appended
                    return error
            case RecordFact(kind, at_ms, fields):
                return self._append(at_ms, kind, **fields)
            case PublishBundle():
                return self._publish(connection, operation)
            case RecordDirectory(directory, at_ms):
                return log_directory(connection, listed_of(directory), directory.version, self._append, at_ms)
            case Genesis(origin, deployment, at_ms):
                if self._tree.size == 0:
                    self._append(at_ms, "genesis", origin=origin, deployment=deployment)
                return self._tree.first
            case Acknowledge(city, index):
                connection.execute(
                    "INSERT INTO report_cursor (city, idx) VALUES (?, ?)"
                    " ON CONFLICT (city) DO UPDATE SET idx = max(idx, excluded.idx)",
                    (city, index),
                )
                return index
            case Aside(run):
                return run(connection)
            case ForgetRequests(now_ms, kept_ms, limit):
                return forget(connection, now_ms, now_ms - kept_ms, limit)

    def _decide(self, draft: DecisionDraft) -> Decision | TiergateError:
        request, body = short(draft.request), draft.body[:16].hex()
        key = short(draft.consent)
        consent = self._consents.get(key)
        # read here, inside the transaction: a withdrawal that is committed has won (I7)
        rung = 0 if consent is not None and consent.silent else draft.rung
        corrected = self._correcting.get(draft.city, self._corrected.get(draft.city, -1))
        first, seen = draft.decided_at_ms, self._requests.get(request)
        if seen is not None:
            if seen[0] != body:
                return TiergateError(Reason.REQUEST_CONFLICT)
            _, first, stored = seen
            try:
                require_open(first / 1000, stored.valid_until_ms / 1000, draft.decided_at_ms / 1000)
            except TiergateError as error:
                return error
            lives = stored.valid_until_ms > draft.decided_at_ms and stored.bundle == draft.bundle
            if lives and stored.rung == rung and stands_after(stored, corrected):
                return stored
        if seen is None and draft.proof in self._proofs:
            return TiergateError(Reason.PROOF_REPLAYED)
        if draft.asked_at_size <= corrected:
            return TiergateError(Reason.ATTESTATION_INVALID, "attested before a correction")
        if consent is not None and consent.resumed is not None and draft.asked_at_size <= consent.resumed:
            return TiergateError(Reason.ATTESTATION_INVALID, "attested while the consent was paused")
        if consent is None or consent.index is None:
            consent = self._register(key, consent, draft)
        keep_proof(draft, self._proofs, self._rows)
        decision = write_decision(self._tree, self._rows, draft, consent, rung, keep=self._known_attestations)
        self._requests[request] = body, first, decision
        self._rows.requests[request] = request, body, decision.log_index, first, draft.valid_until_ms
        return decision

    def _register(self, key: str, known: ConsentState | None, draft: DecisionDraft) -> ConsentState:
        state = known or ConsentState(None, os.urandom(32), None)
        state.index = self._append(
            logged_from(draft.decided_at_ms, draft.grain_ms),  # no finer than the decision that it stands beside
            "consent_registered",
            city=draft.city,
            operator=draft.operator,
            token=commitment(state.secret, draft.token_hash),
            bound=draft.bound,
            expires=draft.consent_expires_s,
        )
        state.expires, state.token = draft.consent_expires_s, draft.token_hash.hex()
        self._consents[key] = state
        self._rows.consents[key] = state.row(key)
        return state

    def _event(self, connection: sqlite3.Connection, event: ConsentEvent) -> int:
        row = connection.execute(
            "SELECT idx FROM event WHERE city = ? AND id = ?", (event.city, event.event_id)
        ).fetchone()
        if row is not None:
            if event.kind == "correction":
                # its commit may have been reported as failed although it was durable: then nobody was told
                self._mark_corrected(event.city, int(row[0]))
            return int(row[0])
        at_ms, common = event.received_at_ms, {"city": event.city, "event": event.digest.hex()}
        key: str | None = None
        if event.consent is not None:
            index, key = self._change_consent(event.kind, short(event.consent), at_ms, common)
        elif event.contested is not None:
            decision, step = event.contested
            require_decision(connection, decision, event.city)
            index = self._append(at_ms, "contest", decision=decision, step=step, **common)
        else:
            index = self._append(at_ms, "correction", **common)
            self._mark_corrected(event.city, index)
            remember({f"{CORRECTED}{event.city}": index}, connection)
        connection.execute(
            "INSERT INTO event (city, id, idx, consent) VALUES (?, ?, ?, ?)", (event.city, event.event_id, index, key)
        )
        return index

    def _mark_corrected(self, city: CityId, index: int) -> None:
        """A correction never gives way to an older one that is repeated."""
        self._correcting[city] = max(index, self._correcting.get(city, -1), self._corrected.get(city, -1))

    def _change_consent(
        self, kind: EventKind, key: str, at_ms: int, common: Mapping[str, str]
    ) -> tuple[int, str | None]:
        """The entry's index, and by which key the event is kept with the consent."""
        state = self._consents.get(key) or ConsentState(None, os.urandom(32), None)
        link: Mapping[str, Value] = {} if state.index is None else {"consent": state.index}
        index = self._append(at_ms, CHANGES[kind], **common, **link)
        state.change(kind, index)
        self._consents[key] = state
        if state.index is None and state.locked == BY_TOMBSTONE:
            return index, None  # a row would tie the entry to the token again
        self._rows.consents[key] = state.row(key)
        return index, key

    def _publish(self, connection: sqlite3.Connection, operation: PublishBundle) -> int:
        row = connection.execute("SELECT idx FROM bundle WHERE digest = ?", (operation.digest,)).fetchone()
        if row is not None and row[0] >= self._tree.first:  # a new shard restates what is in force
            return int(row[0])
        index = self._append(operation.at_ms, "policy_published", bundle=operation.digest, version=operation.version)
        keep_bundle(connection, operation.digest, index, operation.data)
        return index

    def _append(self, at_ms: int, kind: str, /, **fields: Value) -> int:
        leaf = encode({"v": VERSION, "type": kind, "time": at_ms, **fields})
        index = self._tree.append(leaf)
        self._rows.entries.append((index, leaf.decode("ascii"), None, None, None, None, None, None))
        return index

    def _insert(self, connection: sqlite3.Connection) -> None:
        rows = self._rows
        ENTRIES.run(connection, rows.entries)
        REQUESTS.run(connection, list(rows.requests.values()))
        CONSENTS.run(connection, list(rows.consents.values()))
        ATTESTATIONS.run(connection, list(rows.attestations.values()))
        PROOFS.run(connection, rows.proofs)

    def _sign(self, connection: sqlite3.Connection) -> None:
        self._tree.store_tiles(connection)
        body = Checkpoint(self._signer.name, self._tree.size, self._tree.root()).body()
        self._head = Head(self._tree.size, sign_note(body, [self._signer]).decode())
        connection.execute(
            "INSERT INTO head (one, size, checkpoint) VALUES (1, ?, ?)"
            " ON CONFLICT (one) DO UPDATE SET size = excluded.size, checkpoint = excluded.checkpoint",
            (self._head.size, self._head.checkpoint),
        )

    def committed(self) -> None:
        """The group is durable: remember its corrections, and which attestations need not be stored again."""
        self._corrected.update(self._correcting)
        known = self._known_attestations
        known.update(dict.fromkeys(self._rows.attestations))
        for key in [key for key, _ in zip(known, range(len(known) - 65_536), strict=False)]:
            del known[key]
