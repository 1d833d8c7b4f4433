"""Writes and reads of consents: record, decline, change, list."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from adapters.store.outbox import NewEvent, put_event
from gateway.domain.consent import Act, End, Life, State, after
from gateway.domain.ids import Bound, OperatorId, ResidentRef, ScenarioId
from gateway.errors import Reason, TiergateError

BOUND: Final[tuple[Bound, ...]] = ("none", "operator", "device")
"""By the number that stands in ``consents.bound``."""


@dataclass(frozen=True, slots=True, repr=False)
class ConsentRow:
    """One consent as granted. Times in Unix seconds; ``uses`` None: not counted. No ``repr``: it names a person."""

    id: str
    resident: ResidentRef
    operator: OperatorId
    scenario: ScenarioId
    purpose: str
    token_hash: bytes
    bound: Bound
    uses: int | None
    notice: str
    granted_at: int
    expires_at: int


@dataclass(frozen=True, slots=True, repr=False)
class ListedConsent:
    """A consent with what has become of it: its life, when it ended (Unix milliseconds), decisions reported."""

    row: ConsentRow
    life: Life
    ended_at_ms: int | None
    reported: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A change on record; ``log_index`` is the gateway's, once it has acknowledged the event."""

    at_ms: int
    event_id: str
    log_index: int | None


class DeviceKey(NamedTuple):
    """Keyed marks of a device's key, and of key and pairwise identifier together (32 bytes each).

    They name nobody, and outlast the consent: a key must not turn up with another operator after it was forgotten.
    """

    mark: bytes
    owner: bytes


@dataclass(frozen=True, slots=True, repr=False)
class RecordConsent:
    """Store a new consent, and whose the device's key is that it is bound to.

    ``record``: what its receipt says of the grant (JSON).
    """

    row: ConsentRow
    record: str | None = None
    device_key: DeviceKey | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        """Insert it; its id is random, so a clash is a fault that fails the group.

        Raises DEVICE_KEY_REUSED; CONSENT_STATE for a resident who has asked for erasure, until that is done.
        """
        row = self.row
        if connection.execute("SELECT 1 FROM erasures WHERE resident = ?", (row.resident,)).fetchone() is not None:
            raise TiergateError(Reason.CONSENT_STATE, "her erasure has been asked for")
        if self.device_key is not None:
            _keep_device_key(connection, self.device_key)
        connection.execute(
            "INSERT INTO consents (id, resident, operator, scenario, purpose, token_hash, bound, uses, notice,"
            " granted_at, expires_at, record) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                row.id,
                row.resident,
                row.operator,
                row.scenario,
                row.purpose,
                row.token_hash,
                BOUND.index(row.bound),
                row.uses,
                row.notice,
                row.granted_at,
                row.expires_at,
                self.record,
            ),
        )
        # asked again, she has changed her mind
        connection.execute(
            "DELETE FROM declined WHERE resident = ? AND operator = ? AND scenario = ?",
            (row.resident, row.operator, row.scenario),
        )
        note_act(connection, row.granted_at * 1000, row.resident, "grant", row.id)


def _keep_device_key(connection: sqlite3.Connection, key: DeviceKey) -> None:
    known = connection.execute("SELECT owner FROM device_keys WHERE mark = ?", (key.mark,)).fetchone()
    if known is None:
        connection.execute("INSERT INTO device_keys (mark, owner) VALUES (?,?)", key)
    elif known[0] != key.owner:
        raise TiergateError(Reason.DEVICE_KEY_REUSED)


@dataclass(frozen=True, slots=True, repr=False)
class Decline:
    """Remember that she refused, so that she is not asked for the same again before ``until`` (Unix seconds)."""

    resident: ResidentRef
    operator: OperatorId
    scenario: ScenarioId
    at_ms: int
    until: int

    def run(self, connection: sqlite3.Connection) -> None:
        """A second refusal counts anew."""
        connection.execute(
            "INSERT INTO declined (resident, operator, scenario, until) VALUES (?,?,?,?)"
            " ON CONFLICT (resident, operator, scenario) DO UPDATE SET until = excluded.until",
            (self.resident, self.operator, self.scenario, self.until),
        )
        note_act(connection, self.at_ms, self.resident, "decline", None)


@dataclass(frozen=True, slots=True, repr=False)
class ChangeConsent:
    """Pause, resume, withdraw or replace a consent, and put the signed event into the outbox, together.

    ``event`` is signed beforehand; it is dropped when there is nothing to change. ``now_ms`` is read inside the
    transaction: whatever was attested before it was attested by then, and ends a lifetime after it at the latest.
    ``successor`` is set for what replaces; ``fits`` is asked with the consent and its life before anything is written,
    and raises what stands in its way.
    """

    resident: ResidentRef
    consent_id: str
    act: Act
    now_ms: Callable[[], int]
    event: NewEvent
    successor: RecordConsent | None = None
    fits: Callable[[ConsentRow, Life], None] | None = None

    def run(self, connection: sqlite3.Connection) -> Changed:
        """The change, this one or the one that it repeats.

        Raises CONSENT_UNKNOWN, also for another resident's consent; CONSENT_STATE; what ``fits`` raises.
        """
        found = connection.execute(f"{_CONSENTS} WHERE c.id = ? AND c.resident = ?", (self.consent_id, self.resident))
        listed = next(map(_listed, found), None)
        if listed is None:
            raise TiergateError(Reason.CONSENT_UNKNOWN)
        at_ms = self.now_ms()
        before: State = listed.life.state(at_ms / 1000)
        target = after(before, self.act)
        if target == before:
            return last_change(connection, self.consent_id)
        if self.fits is not None:
            self.fits(listed.row, listed.life)
        if self.successor is not None:
            self.successor.run(connection)
        ended = at_ms if target in {"withdrawn", "replaced"} else None
        paused = at_ms if target == "paused" else None
        connection.execute(
            "UPDATE consents SET withdrawn_at_ms = ?, paused_at_ms = ?, replaced_by = ? WHERE id = ?",
            (ended, paused, None if self.successor is None else self.successor.row.id, self.consent_id),
        )
        put_event(connection, self.event)
        note_act(connection, at_ms, self.resident, self.act, self.consent_id)
        return Changed(at_ms, self.event.id, None)


def last_change(connection: sqlite3.Connection, consent_id: str) -> Changed:
    """The newest change of a consent that has been paused, resumed or ended."""
    at_ms, event_id, log_index = connection.execute(
        "SELECT (SELECT COALESCE(withdrawn_at_ms, paused_at_ms, 0) FROM consents WHERE id = e.consent_id),"
        " id, log_index FROM events AS e WHERE consent_id = ? ORDER BY seq DESC LIMIT 1",
        (consent_id,),
    ).fetchone()
    return Changed(at_ms, event_id, log_index)


def note_act(
    connection: sqlite3.Connection, at_ms: int, resident: ResidentRef, act: str, consent_id: str | None
) -> None:
    """Keep in the journal what was done."""
    connection.execute(
        "INSERT INTO acts (at_ms, resident, act, consent_id) VALUES (?,?,?,?)", (at_ms, resident, act, consent_id)
    )


def consents_of(connection: sqlite3.Connection, resident: ResidentRef, limit: int) -> list[ListedConsent]:
    """A resident's consents, newest first."""
    found = connection.execute(f"{_CONSENTS} WHERE c.resident = ? ORDER BY c.seq DESC LIMIT ?", (resident, limit))
    return [_listed(row) for row in found]


def consent_of(connection: sqlite3.Connection, resident: ResidentRef, consent_id: str) -> ListedConsent | None:
    """One of her consents; None for somebody else's too."""
    found = connection.execute(f"{_CONSENTS} WHERE c.id = ? AND c.resident = ?", (consent_id, resident))
    return next(map(_listed, found), None)


def declined_until(
    connection: sqlite3.Connection, resident: ResidentRef, operator: OperatorId, scenario: ScenarioId
) -> int:
    """Until when (Unix seconds) she is not to be asked for this again; 0 if she has not refused."""
    found = connection.execute(
        "SELECT until FROM declined WHERE resident = ? AND operator = ? AND scenario = ?",
        (resident, operator, scenario),
    ).fetchone()
    return 0 if found is None else int(found[0])


_CONSENTS = (
    "SELECT c.id, c.resident, c.operator, c.scenario, c.purpose, c.token_hash, c.bound, c.uses, c.notice,"
    " c.granted_at, c.expires_at, c.withdrawn_at_ms, c.paused_at_ms, c.replaced_by, COALESCE(t.spent, 0),"
    " (SELECT COUNT(*) FROM uses WHERE consent_id = c.id)"
    " FROM shown AS c LEFT JOIN tallies AS t ON t.token_hash = c.token_hash"
)


def _listed(found: tuple[Any, ...]) -> ListedConsent:
    row = _row(found[:11])
    ended_at_ms, paused_at_ms, replaced_by, spent, reported = found[11:]
    ended: End | None = None if ended_at_ms is None else "withdrawn" if replaced_by is None else "replaced"
    life = Life(row.expires_at, row.uses, spent, paused=paused_at_ms is not None, ended=ended)
    return ListedConsent(row, life, ended_at_ms, reported)


def _row(found: tuple[Any, ...]) -> ConsentRow:
    return ConsentRow(
        id=found[0],
        resident=ResidentRef(found[1]),
        operator=OperatorId(found[2]),
        scenario=ScenarioId(found[3]),
        purpose=found[4],
        token_hash=found[5],
        bound=BOUND[found[6]],
        uses=found[7],
        notice=found[8],
        granted_at=found[9],
        expires_at=found[10],
    )
