"""The statements of a group: what it touches is read by one each, and written by one per table."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from gateway.domain.consent import EventKind
from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError
from gateway.sqlite.rows import RowInsert

SELECT_CONSENTS = """
    SELECT json_group_array(json_array(key, idx, secret, withdrawn, expires, paused, resumed, locked, token))
    FROM consent WHERE key IN (SELECT value FROM json_each(?))"""
SELECT_REQUESTS = """
    SELECT json_group_array(json_array(r.key, r.body, r.idx, e.leaf, r.at, r.until, e.decided_at))
    FROM request r JOIN entry e ON e.idx = r.idx WHERE r.key IN (SELECT value FROM json_each(?))"""
ENTRIES = RowInsert("INSERT INTO entry (idx, leaf, city, attestation, salt, decided_at, valid_until, request)", 8)
REQUESTS = RowInsert(
    "INSERT INTO request (key, body, idx, at, until)",
    5,
    "ON CONFLICT (key) DO UPDATE SET idx = excluded.idx, until = excluded.until",  # ``at`` stays that of the first
)
CONSENTS = RowInsert(
    "INSERT INTO consent (key, idx, secret, withdrawn, expires, paused, resumed, locked, token)",
    9,
    "ON CONFLICT (key) DO UPDATE SET idx = excluded.idx, withdrawn = excluded.withdrawn, expires = excluded.expires,"
    " paused = excluded.paused, resumed = excluded.resumed, locked = excluded.locked, token = excluded.token",
)
ATTESTATIONS = RowInsert("INSERT OR IGNORE INTO attestation (id, jws)", 2)
CHANGES: Mapping[EventKind, str] = {
    "withdrawal": "consent_withdrawn",
    "pause": "consent_paused",
    "resumption": "consent_resumed",
    "erasure": "erasure_requested",
}
"""What the log calls an event that changes a consent."""
CORRECTED = "corrected:"
"""Before a city's name, among the numbers that are remembered: the place of its newest correction."""


def require_decision(connection: sqlite3.Connection, index: int, city: CityId) -> None:
    """Return if the entry is a decision about a resident of ``city``: only decisions have a city beside them.

    Raises EVENT_INVALID.
    """
    found = connection.execute("SELECT city FROM entry WHERE idx = ?", (index,)).fetchone()
    if found is None or found[0] != city:
        raise TiergateError(Reason.EVENT_INVALID, "contest of no decision about a resident of this city")


def keep_bundle(connection: sqlite3.Connection, digest: str, index: int, data: bytes) -> None:
    """Keep a bundle's bytes, and the index of its newest publication."""
    connection.execute(
        "INSERT INTO bundle (digest, idx, data) VALUES (?, ?, ?) ON CONFLICT (digest) DO UPDATE SET idx = excluded.idx",
        (digest, index, data),
    )


def forget(connection: sqlite3.Connection, ended_ms: int, first_ms: int, limit: int) -> int:
    """Delete ``limit`` marks of proofs that ended and ``limit`` requests from before ``first_ms``; how many rows."""
    proofs = connection.execute(
        "DELETE FROM proof WHERE key IN (SELECT key FROM proof WHERE until < ? ORDER BY until LIMIT ?)",
        (ended_ms, limit),
    )
    requests = connection.execute(
        "DELETE FROM request WHERE key IN (SELECT key FROM request WHERE at < ? ORDER BY at LIMIT ?)",
        (first_ms, limit),
    )
    return proofs.rowcount + requests.rowcount


def corrections(numbers: Mapping[str, int]) -> dict[CityId, int]:
    """The place of each city's newest correction, of numbers by name."""
    found = {name.removeprefix(CORRECTED): at for name, at in numbers.items() if name.startswith(CORRECTED)}
    return {CityId(city): at for city, at in found.items()}


def remember(numbers: Mapping[str, int], connection: sqlite3.Connection) -> int:
    """Remember numbers by name, none of which ever falls; how many there were."""
    connection.executemany(
        "INSERT INTO seen (what, version) VALUES (?, ?)"
        " ON CONFLICT (what) DO UPDATE SET version = max(version, excluded.version)",
        list(numbers.items()),
    )
    return len(numbers)
