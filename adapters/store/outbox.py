"""The durable outbox of consent events, in the order in which the changes were recorded."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from gateway.domain.consent import EventKind


class NewEvent(NamedTuple):
    """An event to be sent: its id, kind, the consent that it names if it names one, and the signed token."""

    id: str
    kind: EventKind
    consent_id: str | None
    event: str


def put_event(connection: sqlite3.Connection, event: NewEvent, ordering: str | None = None) -> None:
    """Put an event at the end of the outbox, in the caller's transaction.

    It waits for those before it of the same ``ordering``: by default its consent; all corrections are of one.
    """
    connection.execute(
        "INSERT INTO events (id, kind, consent_id, event, ordering) VALUES (?,?,?,?,?)",
        (*event, ordering or event.consent_id or event.kind),
    )


class PendingEvent(NamedTuple):
    """An event that the gateway has neither acknowledged nor refused; ``event`` is the signed token.

    ``held``: a correction that has not been marked as sent yet, which others may still join.
    """

    seq: int
    id: str
    event: str
    held: bool


class Settled(NamedTuple):
    """What became of an event: its index in the log with the verified receipt, or the reason code of its refusal."""

    seq: int
    log_index: int | None
    refused: str | None
    entry: bytes | None = None
    proof: bytes | None = None
    checkpoint_size: int | None = None


_SETTLE = "UPDATE events SET log_index = ?, refused = ?, entry = ?, proof = ?, checkpoint_size = ? WHERE seq = ?"


_ENTITLED_SINCE = """
    SELECT count(*) FROM events AS e JOIN uses AS u ON u.consent_id = e.consent_id
    WHERE e.seq IN (SELECT value FROM json_each(?)) AND e.kind IN ('withdrawal', 'erasure')
    AND u.log_index > e.log_index AND u.outcome = 'entitled'"""


class SettledRun(NamedTuple):
    """Events (``seq``) that are not settled, and how many entitled uses are held of after a place that now is."""

    unlinked: list[int]
    entitled_since: int


@dataclass(frozen=True, slots=True)
class SettleEvents:
    """Store what became of events. Nothing is deleted: a refused one stays as evidence.

    One whose entry does not name the consent's registration, which this city holds, is not settled: whoever reads the
    log would take the consent for one that goes on.
    What was acknowledged is kept beside it as evidence, without an index.
    """

    events: Sequence[Settled]

    def run(self, connection: sqlite3.Connection) -> SettledRun:
        """Mark each event."""
        seqs = [item.seq for item in self.events]
        connection.executemany(_SETTLE, [(*item[1:], item.seq) for item in self.events])
        found = unlinked(connection, seqs=seqs)
        connection.executemany("UPDATE events SET log_index = NULL WHERE seq = ?", [(seq,) for seq in found])
        (late,) = connection.execute(_ENTITLED_SINCE, (json.dumps(seqs),)).fetchone()
        return SettledRun(found, late)


@dataclass(frozen=True, slots=True)
class MarkSent:
    """Mark events as on their way, before they are sent; or as still here, once the gateway has put them off."""

    seqs: Sequence[int]
    sent: bool = True

    def run(self, connection: sqlite3.Connection) -> None:
        """Mark each."""
        connection.executemany("UPDATE events SET sent = ? WHERE seq = ?", [(self.sent, seq) for seq in self.seqs])


def unlinked(
    connection: sqlite3.Connection, *, seqs: Collection[int] = (), consents: Collection[str] = ()
) -> list[int]:
    """Those of the events (``seq``), and of all about the consents, whose entry is not linked to the registration held.

    It names the one before it; one that was logged before the consent's first check has nothing to name. Once the
    consent's end is settled, or its token had ended before, nothing more can be decided on it, and nothing is asked
    for: the gateway may have dropped its key.
    """
    rows = connection.execute(
        "SELECT e.seq FROM (SELECT seq FROM events WHERE seq IN (SELECT value FROM json_each(?))"
        " UNION SELECT seq FROM events WHERE consent_id IN (SELECT value FROM json_each(?))) AS named"
        " JOIN events AS e ON e.seq = named.seq JOIN registrations AS r ON r.consent_id = e.consent_id"
        " JOIN consents AS c ON c.id = e.consent_id WHERE e.log_index IS NOT NULL"
        " AND CAST(e.entry AS TEXT) ->> '$.consent' IS NOT CASE WHEN r.log_index < e.log_index THEN r.log_index END"
        " AND COALESCE(c.withdrawn_at_ms, 0) < 1000 * c.expires_at AND NOT EXISTS"
        " (SELECT 1 FROM events WHERE consent_id = e.consent_id AND seq < e.seq"
        " AND kind IN ('withdrawal', 'erasure') AND log_index IS NOT NULL)",
        (json.dumps(list(seqs)), json.dumps(list(consents))),
    )
    return [seq for (seq,) in rows]


def pending_events(connection: sqlite3.Connection, limit: int) -> list[PendingEvent]:
    """The oldest events still to be sent, of each consent and each case the first alone, and one correction at most.

    What the gateway puts off must not be overtaken: the next event of a consent or case waits until it is settled. And
    corrections are taken a few a minute, however many there are: they must not fill the run.
    """
    rows = connection.execute(
        "SELECT seq, id, event, kind = 'correction' AND sent = 0 FROM events AS e"
        " WHERE log_index IS NULL AND refused IS NULL AND NOT EXISTS"
        " (SELECT 1 FROM events WHERE ordering = e.ordering AND seq < e.seq"
        " AND log_index IS NULL AND refused IS NULL) ORDER BY seq LIMIT ?",
        (limit,),
    )
    return [PendingEvent(seq, event_id, event, bool(held)) for seq, event_id, event, held in rows]


def is_pending(connection: sqlite3.Connection, event_id: str) -> bool:
    """Whether an event is still to be sent; False for an unknown one."""
    found = connection.execute(
        "SELECT 1 FROM events WHERE id = ? AND log_index IS NULL AND refused IS NULL", (event_id,)
    ).fetchone()
    return found is not None


def count_pending(connection: sqlite3.Connection) -> int:
    """How many events are still to be sent."""
    found: int = connection.execute(
        "SELECT COUNT(*) FROM events WHERE log_index IS NULL AND refused IS NULL"
    ).fetchone()[0]
    return found


class Place(NamedTuple):
    """An event's index in the log, and the size of the checkpoint in its receipt; None until that is held."""

    log_index: int | None
    checkpoint_size: int | None


def event_place(connection: sqlite3.Connection, event_id: str) -> Place:
    """Where the log has an event; nowhere for an unknown one."""
    found = connection.execute(
        "SELECT log_index, checkpoint_size FROM events WHERE id = ? AND log_index IS NOT NULL", (event_id,)
    ).fetchone()
    return Place(None, None) if found is None else Place(*found)


Silence = Literal["ended", "paused"]


def silenced(
    connection: sqlite3.Connection, consent_id: str, log_index: int, *, certainly: bool = False
) -> Silence | None:
    """Why the log's decision at an index may be lower than attested: what this city had told about the consent before.

    An event whose place in the log is not known yet may have come before it: a pause or an end counts, the end of a
    pause does not; and the other way round if it is asked why the decision must be no higher than the base offer,
    ``certainly``. None: this city knows of no reason.
    """
    paused = False
    told = connection.execute(
        "SELECT kind, log_index FROM events WHERE consent_id = ?1 AND refused IS NULL"
        " AND (log_index IS NULL OR log_index < ?2) ORDER BY seq",
        (consent_id, log_index),
    )
    for kind, place in told:
        if place is None and (kind == "resumption") != certainly:
            continue
        if kind in {"withdrawal", "erasure"}:
            return "ended"
        if kind in {"pause", "resumption"}:
            paused = kind == "pause"
    return "paused" if paused else None
