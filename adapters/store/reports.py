"""Writes of use reports: every decision that the gateway made with one of this city's attestations."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from adapters.store.outbox import silenced, unlinked
from adapters.store.registrations import Registration, keep_registrations
from gateway.consentlog.entry import decode
from gateway.consentlog.receipt import opens
from gateway.errors import TiergateError

Mark = Literal[
    "unattributed",
    "better_than_attested",
    "lower_than_attested",
    "entitled_though_silent",
    "of_another_question",
    "on_ended_attestation",
    "fork",
    "registration_wrong",
    "event_unlinked",
]
"""What is wrong with a report that was taken all the same: it is evidence, and must not hold up those behind it."""

# A run is looked up by one statement and kept by another; why is said in ``attestations``. The bytes of entries and
# proofs are cut out of one long value: JSON has none.
_LOOK_UP = """
    SELECT json_group_array(json_array(
        hex(u.entry), hex(c.token_hash), r.log_index, a.consent_id,
        EXISTS (SELECT 1 FROM events AS e WHERE e.consent_id = a.consent_id), a.at, a.operator, a.scenario, a.bundle,
        a.rung))
    FROM json_each(?1) AS asked
    LEFT JOIN uses AS u ON u.log_index = asked.value ->> 0
    LEFT JOIN attestations AS a ON a.id = asked.value ->> 1
    LEFT JOIN consents AS c ON c.id = a.consent_id
    LEFT JOIN registrations AS r ON r.consent_id = c.id"""
_KEEP = """
    INSERT INTO uses (log_index, attestation_id, consent_id, outcome, entry, inclusion, checkpoint)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, substr(?2, value ->> 4, value ->> 5),
        substr(?2, (value ->> 4) + (value ->> 5), value ->> 6), ?3
    FROM json_each(?1)"""


@dataclass(frozen=True, slots=True)
class UseRow:
    """One verified report. ``inclusion`` is the proof's hashes, joined; ``rung`` is the log entry's.

    ``attested``: an attestation of before the first of the two (Unix seconds) had ended when this was decided, one of
    after the second had not been made. ``consent``: log index of the registration that the decision names.

    ``registration`` is proved, but its opening has not been tried: that takes the token's hash.
    """

    log_index: int
    attestation_id: str
    operator: str
    scenario: str
    bundle: str
    outcome: str
    rung: int
    entry: bytes
    inclusion: bytes
    attested: tuple[int, int]
    consent: int
    registration: Registration | None = None


@dataclass(frozen=True, slots=True)
class TakeReports:
    """Keep a run of reports with the checkpoint that proves them. Taking one again changes nothing."""

    rows: Sequence[UseRow]
    checkpoint: str

    def run(self, connection: sqlite3.Connection) -> list[Mark]:
        """What is wrong with reports not seen before, one mark per finding."""
        marks: list[Mark] = []
        new: list[tuple[UseRow, str | None]] = []
        registrations: dict[str, Registration] = {}
        asked = json.dumps([(row.log_index, row.attestation_id) for row in self.rows])
        (found,) = connection.execute(_LOOK_UP, (asked,)).fetchone()
        for row, (present, token_hash, held, consent_id, *attested) in zip(self.rows, json.loads(found), strict=True):
            if present:
                if present != row.entry.hex().upper():  # two entries under one index, both proved: two histories
                    marks.append("fork")
                continue
            marks += ["unattributed"] if consent_id is None else _odd(connection, row, consent_id, *attested)
            new.append((row, consent_id))
            if not token_hash:
                continue  # an erased consent has none, and keeps no registration
            known = registrations.get(consent_id)
            named = held if known is None else known.log_index
            if row.registration is not None:
                if named is None and _opens(row.registration, bytes.fromhex(token_hash)):
                    registrations[consent_id] = row.registration
                else:
                    marks.append("registration_wrong")
            elif row.rung and named not in {None, row.consent}:  # registered anew, nothing silences it in the log
                marks.append("registration_wrong")
        if new:
            checkpoint = _checkpoint(connection, self.checkpoint)
            _keep(connection, new, checkpoint)
            if registrations:
                keep_registrations(connection, registrations, checkpoint)
                marks += ["event_unlinked" for _ in unlinked(connection, consents=registrations)]
        return marks


def _odd(
    connection: sqlite3.Connection, row: UseRow, consent_id: str, changed: int, at: int, *attested: str | int
) -> Iterator[Mark]:
    """How a decision differs from what was attested, and from what the city told of a consent that has ``changed``.

    ``attested``: operator, scenario, bundle and rung.
    """
    *question, rung = attested
    if row.rung and changed and silenced(connection, consent_id, row.log_index, certainly=True) is not None:
        yield "entitled_though_silent"
    if not row.attested[0] <= at <= row.attested[1]:
        yield "on_ended_attestation"
    if question != [row.operator, row.scenario, row.bundle]:
        yield "of_another_question"
    elif row.rung > int(rung):
        yield "better_than_attested"
    elif row.rung < int(rung) and silenced(connection, consent_id, row.log_index) is None:
        yield "lower_than_attested"


def _opens(found: Registration, token_hash: bytes) -> bool:
    """Whether the registration's commitment opens to the consent's token."""
    try:
        opens(found.opening, token_hash, decode(found.entry))
    except TiergateError:
        return False
    return True


def _keep(connection: sqlite3.Connection, new: Sequence[tuple[UseRow, str | None]], checkpoint: int) -> None:
    rows: list[tuple[str | int | None, ...]] = []
    pieces: list[bytes] = []
    start = 1
    for row, consent_id in new:
        entry, inclusion = len(row.entry), len(row.inclusion)
        rows.append((row.log_index, row.attestation_id, consent_id, row.outcome, start, entry, inclusion))
        pieces += row.entry, row.inclusion
        start += entry + inclusion
    connection.execute(_KEEP, (json.dumps(rows), b"".join(pieces), checkpoint))


def _checkpoint(connection: sqlite3.Connection, note: str) -> int:
    connection.execute("INSERT INTO checkpoints (note) VALUES (?) ON CONFLICT (note) DO NOTHING", (note,))
    found: int = connection.execute("SELECT id FROM checkpoints WHERE note = ?", (note,)).fetchone()[0]
    return found


def reported_index(connection: sqlite3.Connection) -> int | None:
    """Log index of the newest report held; None before the first."""
    found: int | None = connection.execute("SELECT MAX(log_index) FROM uses").fetchone()[0]
    return found


@dataclass(frozen=True, slots=True, repr=False)
class HeldUse:
    """A reported use of a resident's consent. ``attested``: the rung that this city gave; ``reason``: why."""

    log_index: int
    consent_id: str
    purpose: str
    entry: bytes
    inclusion: bytes
    checkpoint: str
    attested: int
    reason: str | None


def uses_of(
    connection: sqlite3.Connection, resident: str, consent_id: str | None, before: int | None, limit: int
) -> list[HeldUse]:
    """Uses of a resident's consents (of one, if ``consent_id`` is given) before a log index, newest first."""
    rows = connection.execute(
        "SELECT u.log_index, u.consent_id, c.purpose, u.entry, u.inclusion, p.note, a.rung, a.reason"
        " FROM shown AS c JOIN uses AS u ON u.consent_id = c.id JOIN checkpoints AS p ON p.id = u.checkpoint"
        " JOIN attestations AS a ON a.id = u.attestation_id"
        " WHERE c.resident = ?1 AND (?2 IS NULL OR c.id = ?2) AND (?3 IS NULL OR u.log_index < ?3)"
        " ORDER BY u.log_index DESC LIMIT ?4",
        (resident, consent_id, before, limit),
    )
    return [HeldUse(*row) for row in rows]
