"""Looking up single rows of committed state, on the event loop: hints for a check under way, never the last word."""

from __future__ import annotations

import sqlite3

from gateway.domain.ids import BundleDigest, require_open
from gateway.errors import Reason, TiergateError
from gateway.ports import KnownRequest
from gateway.sqlite.connect import map_sqlite_error
from gateway.storage.rows import short, stored_decision


def known_request(
    connection: sqlite3.Connection, request: bytes, body: bytes, consent: bytes, bundle: BundleDigest, now_ms: int
) -> KnownRequest | None:
    """See ``DecisionStore``. Raises REQUEST_CONFLICT, REQUEST_ENDED, STORE_BUSY or STORE_FAILED."""
    try:
        row = connection.execute(
            "SELECT r.body, r.idx, e.leaf, (SELECT COALESCE(withdrawn, paused, locked) FROM consent WHERE key = ?),"
            " r.at, r.until, (SELECT jws FROM attestation WHERE id = e.attestation), e.decided_at"
            " FROM request r JOIN entry e ON e.idx = r.idx WHERE r.key = ?",
            (short(consent), short(request)),
        ).fetchone()
    except sqlite3.Error as error:
        raise map_sqlite_error(error) from error
    if row is None:
        return None
    if row[0] != body[:16].hex():
        raise TiergateError(Reason.REQUEST_CONFLICT)
    require_open(row[4] / 1000, row[5] / 1000, now_ms / 1000)
    stored = stored_decision(row[2], row[1], row[4] if row[7] is None else row[7], row[5])
    stands = stored.rung == 0 or row[3] is None
    running = stored.valid_until_ms > now_ms
    usable = stands and running and stored.bundle == bundle
    return KnownRequest(stored if usable else None, running, row[6] or "")


def proof_used(connection: sqlite3.Connection, proof: bytes) -> bool:
    """Whether a proof that is good once has been taken. Raises STORE_BUSY or STORE_FAILED."""
    try:
        return connection.execute("SELECT 1 FROM proof WHERE key = ?", (short(proof),)).fetchone() is not None
    except sqlite3.Error as error:
        raise map_sqlite_error(error) from error
