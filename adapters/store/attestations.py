"""The transaction of attestations: state, counts, requests and journal, decided together for a whole group.

Each step of a SQLite statement gives up the interpreter lock, and a thread that wants it back from a busy event loop
waits; so a group is read by one statement and written by three, however many attestations it holds.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from adapters.clock import DAY_S
from gateway.crypto.attestation import Attestation
from gateway.crypto.consent import new_id
from gateway.crypto.proof import PROOF_KEPT_S
from gateway.domain.ids import REQUEST_KEPT_S, BundleDigest, ResidentRef, require_open
from gateway.errors import Reason, TiergateError
from gateway.sqlite.rows import RowInsert

# JSON has no bytes: digests, 32 bytes each, are cut out of one long value by the number of their row.
_STANDING = """
    SELECT json_group_array(json_array(
        hex(r.body), r.bundle, r.rung, r.attestation, r.expires_at, c.resident,
        CASE WHEN c.id IS NULL THEN 'unknown' WHEN c.withdrawn_at_ms IS NOT NULL THEN 'ended'
             WHEN c.paused_at_ms IS NOT NULL THEN 'paused' WHEN f.resident IS NOT NULL THEN 'frozen' ELSE 'active' END,
        COALESCE(t.spent, 0), COALESCE((SELECT version FROM seen WHERE name = 'corrections'), 0), r.keep_until))
    FROM json_each(?1) AS asked
    LEFT JOIN requests AS r ON r.key = substr(?2, 64 * asked.key + 1, 32)
    LEFT JOIN tallies AS t ON t.token_hash = substr(?2, 64 * asked.key + 33, 32)
    LEFT JOIN consents AS c ON c.token_hash = substr(?2, 64 * asked.key + 33, 32) AND c.id = asked.value
    LEFT JOIN frozen AS f ON f.resident = c.resident"""
_WRITE_TALLIES = """
    INSERT INTO tallies (token_hash, spent)
    SELECT substr(?2, 32 * key + 1, 32), value FROM json_each(?1) WHERE true
    ON CONFLICT (token_hash) DO UPDATE SET spent = excluded.spent"""
_WRITE_REQUESTS = """
    INSERT INTO requests (key, body, bundle, rung, attestation, expires_at, keep_until)
    SELECT substr(?2, 64 * key + 1, 32), substr(?2, 64 * key + 33, 32), value ->> 0, value ->> 1, value ->> 2,
        value ->> 3, value ->> 4
    FROM json_each(?1) WHERE true
    ON CONFLICT (key) DO UPDATE SET bundle = excluded.bundle, rung = excluded.rung,
        attestation = excluded.attestation, expires_at = excluded.expires_at"""
_WRITE_JOURNAL = """
    INSERT INTO attestations (request, bundle, rung, id, consent_id, operator, scenario, at, reason)
    SELECT substr(?2, 64 * key + 1, 32), value ->> 0, value ->> 1, value ->> 5, value ->> 6, value ->> 7, value ->> 8,
        value ->> 9, value ->> 10
    FROM json_each(?1)"""
_TOMBSTONES = tuple(
    f"DELETE FROM {table} WHERE token_hash IN"  # noqa: S608 - constants
    " (SELECT token_hash FROM tombstones WHERE until <= ? ORDER BY until LIMIT ?)"
    for table in ("tallies", "tombstones")
)
_PROOFS = RowInsert("INSERT OR IGNORE INTO proofs (mark, until)", 2)
_MARKS = 256  # looked up by one statement


@dataclass(frozen=True, slots=True, repr=False)
class KnownRequest:
    """A request seen before: what it was made with and, until it ends, the attestation given (Unix seconds)."""

    body: bytes
    bundle: BundleDigest
    rung: int
    attestation: str | None
    expires_at: int
    keep_until: int

    def stands(self, bundle: BundleDigest, now_s: float) -> bool:
        """Whether its attestation can answer again: it lives, and is of the bundle now asked under."""
        return self.attestation is not None and self.bundle == bundle and self.expires_at > now_s


@dataclass(frozen=True, slots=True, repr=False)
class Standing:
    """What the store knows about one question. ``resident`` is None unless the consent is on record and active.

    ``reason``: "active", or why a decoy's record is read in place of a person's. ``corrections``: of the city so far.
    """

    known: KnownRequest | None
    resident: ResidentRef | None
    reason: str
    spent: int
    corrections: int


class Asked(NamedTuple):
    """What one question is looked up by: SHA-256 of the request, the consent's id, the token's hash."""

    request: bytes
    consent_id: str
    token_hash: bytes


def standings(connection: sqlite3.Connection, asked: Sequence[Asked]) -> list[Standing]:
    """The state of each question's request, consent and count, at one moment and by one statement."""
    consents = json.dumps([item.consent_id for item in asked])
    digests = b"".join([item.request + item.token_hash for item in asked])
    (found,) = connection.execute(_STANDING, (consents, digests)).fetchone()
    return [
        Standing(
            known=KnownRequest(bytes.fromhex(body), BundleDigest(bundle), rung, jws, end, kept) if body else None,
            resident=ResidentRef(resident) if reason == "active" else None,
            reason=reason,
            spent=spent,
            corrections=corrections,
        )
        for body, bundle, rung, jws, end, resident, reason, spent, corrections, kept in json.loads(found)
    ]


def used_proofs(connection: sqlite3.Connection, marks: Sequence[bytes]) -> set[bytes]:
    """Those of the marks that are kept: of proofs that were taken before."""
    found: set[bytes] = set()
    for start in range(0, len(marks), _MARKS):
        some = marks[start : start + _MARKS]
        places = ",".join("?" * len(some))
        found.update(row[0] for row in connection.execute(f"SELECT mark FROM proofs WHERE mark IN ({places})", some))  # noqa: S608 - question marks alone
    return found


def require_same(known: KnownRequest | None, body: bytes, now_s: float) -> None:
    """Return for a new request, and for a known one of the same token and scenario that is still answered.

    Where a request's day alone is kept, the first answer counts as of its end. Raises REQUEST_CONFLICT, REQUEST_ENDED.
    """
    if known is None:
        return
    if known.body != body:
        raise TiergateError(Reason.REQUEST_CONFLICT)
    require_open(known.keep_until - REQUEST_KEPT_S, known.expires_at, now_s)


def require_uses(known: KnownRequest | None, uses: int | None, spent: int) -> None:
    """Return if a use is left or none is needed: a known request never spends another. Raises USES_EXHAUSTED."""
    if known is None and uses is not None and spent >= uses:
        raise TiergateError(Reason.USES_EXHAUSTED)


def require_unused(known: KnownRequest | None, *, used: bool) -> None:
    """Return unless a new request comes with a proof that was taken before (PROOF_REPLAYED)."""
    if known is None and used:
        raise TiergateError(Reason.PROOF_REPLAYED)


class Read(NamedTuple):
    """What a record gave: the rung, why (for the resident's explanation), and how many corrections there had been."""

    rung: int
    reason: str
    corrections: int


@dataclass(frozen=True, slots=True, repr=False)
class Attest:
    """Decide, count, record and sign one attestation.

    ``draft`` is complete but for id and rung. ``read``: what the person's own record gives, or a decoy's in its place;
    None when nothing was read because a stored attestation seemed to stand. ``uses``: the token's count.
    ``journal_at``: Unix seconds as coarse as the scenario asks. ``keep_until``: when the request may be forgotten.
    ``proof``: the mark of a proof that is good once (32 bytes).
    """

    request: bytes
    body: bytes
    consent_id: str
    uses: int | None
    draft: Attestation
    read: Read | None
    journal_at: int
    keep_until: int
    sign: Callable[[Attestation], str]
    proof: bytes | None = None

    def run(self, connection: sqlite3.Connection) -> str | None:
        """The attestation, stored or new. None: the platform must be read after all, nothing was written.

        Withdrawal, other uses and repeats are settled here, in the order of commits. Raises REQUEST_CONFLICT,
        REQUEST_ENDED or USES_EXHAUSTED.
        """
        (result,) = attest_all(connection, [self])
        if isinstance(result, TiergateError):
            raise result
        return result


def attest_all(connection: sqlite3.Connection, operations: Sequence[Attest]) -> list[str | TiergateError | None]:
    """What ``run`` of each gives or raises, in order: each sees what those before it did."""
    found = standings(connection, [Asked(item.request, item.consent_id, item.draft.token_hash) for item in operations])
    proofs = [item.proof for item in operations if item.proof is not None]
    group = _Group(used_proofs(connection, proofs))
    results: list[str | TiergateError | None] = []
    for operation, state in zip(operations, found, strict=True):
        try:
            results.append(group.attest(operation, state))
        except TiergateError as error:
            results.append(error)
    group.write(connection)
    return results


class _Group:
    """What a group has decided so far, to be written at its end; every error is raised before anything is noted."""

    def __init__(self, used_proofs: set[bytes]) -> None:
        self._used_proofs = used_proofs
        self._proofs: list[tuple[bytes, int]] = []
        self._known: dict[bytes, KnownRequest] = {}
        self._spent: dict[bytes, int] = {}
        self._rows: list[tuple[str | int, ...]] = []
        self._digests: list[bytes] = []

    def attest(self, asked: Attest, before: Standing) -> str | None:
        """See ``Attest.run``. ``before``: what stood when the group began."""
        draft = asked.draft
        known = self._known.get(asked.request, before.known)
        spent = self._spent.get(draft.token_hash, before.spent)
        require_same(known, asked.body, draft.issued_at)
        require_unused(known, used=asked.proof in self._used_proofs)
        require_uses(known, asked.uses, spent)
        active = before.resident is not None
        stands = known is not None and known.stands(draft.bundle, draft.issued_at)
        if known is not None and stands and (active or known.rung == 0):
            return known.attestation
        if not stands and (asked.read is None or asked.read.corrections != before.corrections):
            return None  # not read at all, or before the city corrected something
        rung, reason = 0, before.reason
        if active and asked.read is not None:
            rung, reason = asked.read.rung, asked.read.reason
        attestation = replace(draft, id=new_id(), rung=rung)
        signed = asked.sign(attestation)
        if asked.proof is not None:
            self._used_proofs.add(asked.proof)
            self._proofs.append((asked.proof, draft.issued_at + PROOF_KEPT_S))
        if known is None and asked.uses is not None:
            self._spent[draft.token_hash] = spent + 1
        keep_until = asked.keep_until if known is None else known.keep_until
        self._known[asked.request] = KnownRequest(asked.body, draft.bundle, rung, signed, draft.expires_at, keep_until)
        self._digests += asked.request, asked.body
        self._rows.append(
            (
                draft.bundle, rung, signed, draft.expires_at, asked.keep_until, attestation.id, asked.consent_id,
                draft.operator, draft.scenario, asked.journal_at, reason,
            )
        )  # fmt: skip
        return signed

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what was decided."""
        if self._spent:
            connection.execute(_WRITE_TALLIES, (json.dumps(list(self._spent.values())), b"".join(self._spent)))
        if self._rows:
            rows = (json.dumps(self._rows), b"".join(self._digests))
            connection.execute(_WRITE_REQUESTS, rows)
            connection.execute(_WRITE_JOURNAL, rows)
        _PROOFS.run(connection, self._proofs)


@dataclass(frozen=True, slots=True)
class Tidy:
    """Forget what has served: attestations that ended, requests past their day, proofs and codes past their time.

    ``limit`` rows of each kind per run, so that no transaction is long.
    """

    now_s: int
    limit: int = 500

    def run(self, connection: sqlite3.Connection) -> int:
        """Number of rows changed."""
        before = connection.total_changes
        connection.execute(
            # what is left is for telling a repeated request; its exact time would be one of a movement
            "UPDATE requests SET attestation = NULL, expires_at = expires_at - expires_at % ? WHERE rowid IN"
            " (SELECT rowid FROM requests WHERE attestation IS NOT NULL AND expires_at <= ?"
            " ORDER BY expires_at LIMIT ?)",
            (DAY_S, self.now_s, self.limit),
        )
        connection.execute(
            "DELETE FROM requests WHERE rowid IN (SELECT rowid FROM requests WHERE keep_until <= ?"
            " ORDER BY keep_until LIMIT ?)",
            (self.now_s, self.limit),
        )
        connection.execute(
            "DELETE FROM proofs WHERE mark IN (SELECT mark FROM proofs WHERE until < ? ORDER BY until LIMIT ?)",
            (self.now_s, self.limit),
        )
        connection.execute(
            "DELETE FROM handles WHERE rowid IN (SELECT rowid FROM handles WHERE keep_until <= ?"
            " ORDER BY keep_until LIMIT ?)",
            (self.now_s, self.limit),
        )
        for statement in _TOMBSTONES:
            connection.execute(statement, (self.now_s, self.limit))
        connection.execute("DELETE FROM misses WHERE until_ms <= ?", (self.now_s * 1000,))  # a few: one per operator
        return connection.total_changes - before
