"""The log's registrations of this city's consents, and all that a receipt of one consent is made of."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.domain.consent import EventKind
from gateway.domain.ids import ResidentRef

# Why one statement, and why the bytes are cut out of one long value, is said in ``attestations`` and ``reports``.
_KEEP = """
    INSERT INTO registrations (consent_id, log_index, entry, inclusion, opening, checkpoint)
    SELECT key, value ->> 0, substr(?2, value ->> 1, value ->> 2), substr(?2, value ->> 3, value ->> 4),
        substr(?2, value ->> 5, value ->> 6), ?3
    FROM json_each(?1)"""
_PARTS = """
    SELECT c.record, c.token_hash, c.replaced_by IS NOT NULL, r.log_index, r.entry, r.inclusion, r.opening, p.note,
        (SELECT MAX(log_index) FROM uses)
    FROM shown AS c
    LEFT JOIN registrations AS r ON r.consent_id = c.id
    LEFT JOIN checkpoints AS p ON p.id = r.checkpoint
    WHERE c.id = ? AND c.resident = ?"""


@dataclass(frozen=True, slots=True, repr=False)
class Registration:
    """A registration. ``inclusion``: the proof's hashes, joined. ``opening``: the key of its token commitment.

    No ``repr``: with the token's hash the opening says which entries of the log are of one person.
    """

    log_index: int
    entry: bytes
    inclusion: bytes
    opening: bytes


class KeptChange(NamedTuple):
    """A signed event about the consent, with the log's receipt once it is held."""

    kind: EventKind
    event: str
    entry: bytes | None
    proof: bytes | None


@dataclass(frozen=True, slots=True, repr=False)
class Kept:
    """What is kept of one consent. ``record``: JSON, None if it was granted before records were kept.

    ``replaced``: its end was that of one that a narrower or renewed one replaces.
    """

    record: str | None
    token_hash: bytes
    replaced: bool
    registration: Registration | None
    checkpoint: str | None
    reported: int | None
    changes: tuple[KeptChange, ...]


def keep_registrations(connection: sqlite3.Connection, found: Mapping[str, Registration], checkpoint: int) -> None:
    """Keep registrations by consent id, proved by the checkpoint of this row id. None of them is held yet."""
    rows: dict[str, Sequence[int]] = {}
    pieces: list[bytes] = []
    start = 1
    for consent_id, item in found.items():
        row = [item.log_index]
        for piece in (item.entry, item.inclusion, item.opening):
            row += start, len(piece)
            pieces.append(piece)
            start += len(piece)
        rows[consent_id] = row
    connection.execute(_KEEP, (json.dumps(rows), b"".join(pieces), checkpoint))


def kept_of(connection: sqlite3.Connection, resident: ResidentRef, consent_id: str) -> Kept | None:
    """What a receipt of a resident's consent is made of; None for an unknown one, and for somebody else's."""
    found = connection.execute(_PARTS, (consent_id, resident)).fetchone()
    if found is None:
        return None
    record, token_hash, replaced, log_index, *registration, checkpoint, reported = found
    held = None if log_index is None else Registration(log_index, *registration)
    changes = connection.execute(
        "SELECT kind, event, CASE WHEN log_index IS NOT NULL THEN entry END,"
        " CASE WHEN log_index IS NOT NULL THEN proof END FROM events WHERE consent_id = ? ORDER BY seq",
        (consent_id,),
    )
    return Kept(record, token_hash, bool(replaced), held, checkpoint, reported, tuple(map(KeptChange._make, changes)))
