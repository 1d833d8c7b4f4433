"""Writes and reads of consents: record, withdraw, list."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from gateway.domain.ids import OperatorId, ResidentRef, ScenarioId
from gateway.errors import Reason, TiergateError


@dataclass(frozen=True, slots=True, repr=False)
class ConsentRow:
    """One consent as granted. Times in Unix seconds; ``uses`` None: not counted. No ``repr``: it names a person."""

    id: str
    resident: ResidentRef
    operator: OperatorId
    scenario: ScenarioId
    purpose: str
    token_hash: bytes
    bound: bool
    uses: int | None
    notice: str
    granted_at: int
    expires_at: int


@dataclass(frozen=True, slots=True, repr=False)
class ListedConsent:
    """A consent with what has become of it: uses spent, decisions reported, withdrawal (Unix milliseconds)."""

    row: ConsentRow
    withdrawn_at_ms: int | None
    spent: int
    reported: int


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A withdrawal on record; ``log_index`` is the gateway's, once it has acknowledged the event."""

    at_ms: int
    event_id: str
    log_index: int | None


@dataclass(frozen=True, slots=True, repr=False)
class RecordConsent:
    """Store a new consent."""

    row: ConsentRow

    def run(self, connection: sqlite3.Connection) -> None:
        """Insert it; its id is random, so a clash is a fault that fails the group."""
        row = self.row
        connection.execute(
            "INSERT INTO consents (id, resident, operator, scenario, purpose, token_hash, bound, uses, notice,"
            " granted_at, expires_at) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            (
                row.id,
                row.resident,
                row.operator,
                row.scenario,
                row.purpose,
                row.token_hash,
                int(row.bound),
                row.uses,
                row.notice,
                row.granted_at,
                row.expires_at,
            ),
        )


@dataclass(frozen=True, slots=True, repr=False)
class Withdraw:
    """End a consent and put the signed event into the outbox, together.

    ``event`` is signed beforehand; it is dropped when the consent was withdrawn before.
    """

    resident: ResidentRef
    consent_id: str
    at_ms: int
    event_id: str
    event: str

    def run(self, connection: sqlite3.Connection) -> Withdrawal:
        """The withdrawal, this one or the first. Raises CONSENT_UNKNOWN, also for another resident's consent."""
        found = connection.execute(
            "SELECT withdrawn_at_ms FROM consents WHERE id = ? AND resident = ?", (self.consent_id, self.resident)
        ).fetchone()
        if found is None:
            raise TiergateError(Reason.CONSENT_UNKNOWN)
        if found[0] is not None:
            return withdrawal_of(connection, self.consent_id, found[0])
        connection.execute("UPDATE consents SET withdrawn_at_ms = ? WHERE id = ?", (self.at_ms, self.consent_id))
        connection.execute(
            "INSERT INTO events (id, consent_id, event) VALUES (?,?,?)", (self.event_id, self.consent_id, self.event)
        )
        return Withdrawal(self.at_ms, self.event_id, None)


def withdrawal_of(connection: sqlite3.Connection, consent_id: str, at_ms: int) -> Withdrawal:
    """The recorded withdrawal of a consent that was withdrawn at ``at_ms``."""
    event_id, log_index = connection.execute(
        "SELECT id, log_index FROM events WHERE consent_id = ?", (consent_id,)
    ).fetchone()
    return Withdrawal(at_ms, event_id, log_index)


def consents_of(connection: sqlite3.Connection, resident: ResidentRef, limit: int) -> list[ListedConsent]:
    """A resident's consents, newest first."""
    rows = connection.execute(
        "SELECT c.id, c.resident, c.operator, c.scenario, c.purpose, c.token_hash, c.bound, c.uses, c.notice,"
        " c.granted_at, c.expires_at, c.withdrawn_at_ms, COALESCE(t.spent, 0),"
        " (SELECT COUNT(*) FROM uses WHERE consent_id = c.id)"
        " FROM consents AS c LEFT JOIN tallies AS t ON t.token_hash = c.token_hash"
        " WHERE c.resident = ? ORDER BY c.seq DESC LIMIT ?",
        (resident, limit),
    )
    return [
        ListedConsent(_row(found[:11]), withdrawn_at_ms=found[11], spent=found[12], reported=found[13])
        for found in rows
    ]


Columns = tuple[str, str, str, str, str, bytes, int, int | None, str, int, int]


def _row(found: Columns) -> ConsentRow:
    return ConsentRow(
        id=found[0],
        resident=ResidentRef(found[1]),
        operator=OperatorId(found[2]),
        scenario=ScenarioId(found[3]),
        purpose=found[4],
        token_hash=found[5],
        bound=bool(found[6]),
        uses=found[7],
        notice=found[8],
        granted_at=found[9],
        expires_at=found[10],
    )
