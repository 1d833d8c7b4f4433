"""The transaction of one attestation: state, count, request and journal, decided together."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.crypto.attestation import Attestation
from gateway.crypto.consent import new_id
from gateway.domain.ids import BundleDigest, ResidentRef
from gateway.errors import Reason, TiergateError

# one statement, so that the reader sees one moment, and takes SQLite's locks once
_STANDING = (
    "SELECT r.body, r.bundle, r.rung, r.attestation, r.expires_at,"
    " CASE WHEN c.withdrawn_at_ms IS NULL THEN c.resident END, COALESCE(t.spent, 0) FROM (SELECT 1)"
    " LEFT JOIN requests AS r ON r.key = ?"
    " LEFT JOIN consents AS c ON c.id = ? AND c.token_hash = ?"
    " LEFT JOIN tallies AS t ON t.token_hash = ?"
)


@dataclass(frozen=True, slots=True, repr=False)
class KnownRequest:
    """A request seen before: what it was made with and, until it ends, the attestation given."""

    body: bytes
    bundle: BundleDigest
    rung: int
    attestation: str | None
    expires_at: int

    def stands(self, bundle: BundleDigest, now_s: float) -> bool:
        """Whether its attestation can answer again: it lives, and is of the bundle now asked under."""
        return self.attestation is not None and self.bundle == bundle and self.expires_at > now_s


@dataclass(frozen=True, slots=True, repr=False)
class Standing:
    """What the store knows about one question. ``resident`` is None unless the consent is on record and active."""

    known: KnownRequest | None
    resident: ResidentRef | None
    spent: int


def standing(connection: sqlite3.Connection, request: bytes, consent_id: str, token_hash: bytes) -> Standing:
    """The state of the question's request, consent and count."""
    found = connection.execute(_STANDING, (request, consent_id, token_hash, token_hash)).fetchone()
    return Standing(
        known=None if found[0] is None else KnownRequest(found[0], BundleDigest(found[1]), *found[2:5]),
        resident=None if found[5] is None else ResidentRef(found[5]),
        spent=found[6],
    )


def require_same(known: KnownRequest | None, body: bytes) -> None:
    """Return unless the request id was used for another token or scenario (REQUEST_CONFLICT)."""
    if known is not None and known.body != body:
        raise TiergateError(Reason.REQUEST_CONFLICT)


def require_uses(known: KnownRequest | None, uses: int | None, spent: int) -> None:
    """Return if a use is left or none is needed: a known request never spends another. Raises USES_EXHAUSTED."""
    if known is None and uses is not None and spent >= uses:
        raise TiergateError(Reason.USES_EXHAUSTED)


@dataclass(frozen=True, slots=True, repr=False)
class Attest:
    """Decide, count, record and sign one attestation.

    ``draft`` is complete but for id and rung. ``rung``: what the person's own record gives, 0 when a decoy was read
    instead, None when nothing was read because a stored attestation seemed to stand. ``uses``: the token's count.
    ``journal_at``: Unix seconds as coarse as the scenario asks. ``keep_until``: when the request may be forgotten.
    """

    request: bytes
    body: bytes
    consent_id: str
    uses: int | None
    draft: Attestation
    rung: int | None
    journal_at: int
    keep_until: int
    sign: Callable[[Attestation], str]

    def run(self, connection: sqlite3.Connection) -> str | None:
        """The attestation, stored or new. None: the platform must be read after all, nothing was written.

        Withdrawal, other uses and repeats are settled here, in the order of commits. Raises REQUEST_CONFLICT or
        USES_EXHAUSTED.
        """
        draft = self.draft
        found = standing(connection, self.request, self.consent_id, draft.token_hash)
        require_same(found.known, self.body)
        require_uses(found.known, self.uses, found.spent)
        active = found.resident is not None
        if found.known is not None and found.known.stands(draft.bundle, draft.issued_at):
            if active or found.known.rung == 0:
                return found.known.attestation
        elif self.rung is None:
            return None
        rung = (self.rung or 0) if active else 0
        attestation = replace(draft, id=new_id(), rung=rung)
        signed = self.sign(attestation)
        if found.known is None and self.uses is not None:
            connection.execute(
                "INSERT INTO tallies (token_hash, spent) VALUES (?,1)"
                " ON CONFLICT (token_hash) DO UPDATE SET spent = spent + 1",
                (draft.token_hash,),
            )
        connection.execute(
            "INSERT INTO requests (key, body, bundle, rung, attestation, expires_at, keep_until) VALUES (?,?,?,?,?,?,?)"
            " ON CONFLICT (key) DO UPDATE SET bundle = excluded.bundle, rung = excluded.rung,"
            " attestation = excluded.attestation, expires_at = excluded.expires_at",
            (self.request, self.body, draft.bundle, rung, signed, draft.expires_at, self.keep_until),
        )
        connection.execute(
            "INSERT INTO attestations (id, consent_id, operator, scenario, bundle, rung, at, request)"
            " VALUES (?,?,?,?,?,?,?,?)",
            (
                attestation.id,
                self.consent_id,
                draft.operator,
                draft.scenario,
                draft.bundle,
                rung,
                self.journal_at,
                self.request,
            ),
        )
        return signed


@dataclass(frozen=True, slots=True)
class Tidy:
    """Forget what has served: attestations that ended, requests past their day.

    ``limit`` rows of each kind per run, so that no transaction is long.
    """

    now_s: int
    limit: int = 500

    def run(self, connection: sqlite3.Connection) -> int:
        """Number of rows changed."""
        before = connection.total_changes
        connection.execute(
            "UPDATE requests SET attestation = NULL WHERE rowid IN (SELECT rowid FROM requests"
            " WHERE attestation IS NOT NULL AND expires_at <= ? ORDER BY expires_at LIMIT ?)",
            (self.now_s, self.limit),
        )
        connection.execute(
            "DELETE FROM requests WHERE rowid IN (SELECT rowid FROM requests WHERE keep_until <= ?"
            " ORDER BY keep_until LIMIT ?)",
            (self.now_s, self.limit),
        )
        return connection.total_changes - before
