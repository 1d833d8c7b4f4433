"""Erasure of a resident (PIPL 47): a request locks at once; deletion follows, by retention or by an authority's order.

- From the lock's commit on every consent of hers MUST be answered as one that has ended, by a decoy's record (I3,
  ``tests/unit/adapters/test_erasure.py``), and nothing of hers is shown, changed or added. Storage is all that is left.
- Of each consent the gateway is told by an event of its own, in the order of the outbox.
- After the deletion no byte of hers is in the database's files, but for a freeze, which the city lifts, and until its
  token ends the tally of an erased consent, by which an operator could else tell it from another (the same file).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from adapters.store.consents import Changed, note_act
from adapters.store.outbox import NewEvent, put_event
from adapters.store.unreported import ERASED, look_again
from gateway.crypto.consent import new_id
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason, TiergateError

_DELETE = (
    "DELETE FROM unreported WHERE consent_id IN (SELECT id FROM consents WHERE resident = ?)",
    "DELETE FROM attestations WHERE consent_id IN (SELECT id FROM consents WHERE resident = ?)",
    "DELETE FROM registrations WHERE consent_id IN (SELECT id FROM consents WHERE resident = ?)",
    "DELETE FROM events WHERE consent_id IN (SELECT id FROM consents WHERE resident = ?)",
    "DELETE FROM handles WHERE token_hash IN (SELECT token_hash FROM consents WHERE resident = ?)",
    "DELETE FROM case_steps WHERE case_id IN (SELECT id FROM cases WHERE resident = ?)",
    "DELETE FROM cases WHERE resident = ?",
    "DELETE FROM declined WHERE resident = ?",
    "DELETE FROM acts WHERE resident = ?",
    "DELETE FROM erasures WHERE resident = ?",
)
"""In this order, and the consents last."""


class Order(NamedTuple):
    """An authority's order to delete before retention ends: who gave it (a slug), SHA-256 of it (64 hex digits)."""

    ordered_by: str
    digest: str


@dataclass(frozen=True, slots=True, repr=False)
class LockResident:
    """Lock a resident who has asked for erasure: end each consent of hers, and tell the gateway of each.

    ``events`` are signed beforehand, by consent. ``now_ms`` is read inside the transaction.
    """

    resident: ResidentRef
    now_ms: Callable[[], int]
    events: Mapping[str, NewEvent]

    def run(self, connection: sqlite3.Connection) -> Changed:
        """The lock, this one or the one that it repeats, with the last event about it (none: an empty id).

        Raises BUSY when a consent has come since the events were signed: to be tried again.
        """
        known = asked_at_ms(connection, self.resident)
        if known is not None:
            return Changed(known, _last_event(connection, self.resident), None)
        hers = consents_to_lock(connection, self.resident)
        if not self.events.keys() >= set(hers):
            raise TiergateError(Reason.BUSY, "a consent was given meanwhile", retry_after_s=0)
        at_ms = self.now_ms()
        connection.execute("INSERT INTO erasures (resident, asked_at_ms) VALUES (?,?)", (self.resident, at_ms))
        connection.execute(
            "UPDATE consents SET withdrawn_at_ms = ? WHERE resident = ? AND withdrawn_at_ms IS NULL",
            (at_ms, self.resident),
        )
        for consent_id in hers:
            put_event(connection, self.events[consent_id])
        note_act(connection, at_ms, self.resident, "erase", None)
        return Changed(at_ms, self.events[hers[-1]].id if hers else "", None)


@dataclass(frozen=True, slots=True, repr=False)
class DeleteResident:
    """Delete everything of a locked resident. ``order``: None when retention has ended. ``now_ms``: Unix milliseconds.

    Reports of her uses stay, because they are the log's own entries, and with them what was attested; they lead to
    nobody any more.
    """

    resident: ResidentRef
    now_ms: int
    order: Order | None = None

    def run(self, connection: sqlite3.Connection) -> int:
        """How many consents were deleted.

        Raises CONSENT_STATE unless she is locked, while the gateway has not taken every event about her consents, and
        while a case of hers is open.
        """
        if asked_at_ms(connection, self.resident) is None:
            raise TiergateError(Reason.CONSENT_STATE, "nobody has asked for this erasure")
        _require_settled(connection, self.resident)
        hers = (self.resident,)
        now_s = self.now_ms // 1000
        connection.execute(
            "INSERT INTO tombstones (token_hash, until) SELECT token_hash, expires_at FROM consents"
            " WHERE resident = ? AND expires_at > ? AND token_hash IN (SELECT token_hash FROM tallies)",
            (self.resident, now_s),
        )
        connection.execute(
            "DELETE FROM tallies WHERE token_hash IN (SELECT token_hash FROM consents WHERE resident = ?)"
            " AND token_hash NOT IN (SELECT token_hash FROM tombstones)",
            hers,
        )
        connection.execute(
            "UPDATE requests SET attestation = NULL, rung = 0 WHERE key IN (SELECT request FROM attestations"
            " WHERE consent_id IN (SELECT id FROM consents WHERE resident = ?))",
            hers,
        )
        _disown_uses(connection, self.resident)
        for statement in _DELETE:
            connection.execute(statement, hers)
        look_again(connection)
        count = connection.execute("DELETE FROM consents WHERE resident = ?", hers).rowcount
        connection.execute(
            "INSERT INTO erased (at_ms, consents, ordered_by, order_digest) VALUES (?,?,?,?)",
            (self.now_ms, count, *(self.order or (None, None))),
        )
        return count


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """The files have been written anew since every deletion of before."""

    def run(self, connection: sqlite3.Connection) -> None:
        """Note it."""
        connection.execute("UPDATE erased SET scrubbed = 1 WHERE scrubbed = 0")


def must_scrub(connection: sqlite3.Connection) -> bool:
    """Whether something was deleted since the files were last written anew."""
    return connection.execute("SELECT 1 FROM erased WHERE scrubbed = 0").fetchone() is not None


def _require_settled(connection: sqlite3.Connection, resident: ResidentRef) -> None:
    # of a consent that the gateway has erased before, it acknowledges what no entry can name any more
    pending = connection.execute(
        "SELECT 1 FROM events AS e WHERE consent_id IN (SELECT id FROM consents WHERE resident = ?)"
        " AND log_index IS NULL AND refused IS NULL AND NOT EXISTS"
        " (SELECT 1 FROM events WHERE consent_id = e.consent_id AND log_index IS NULL AND entry IS NOT NULL)",
        (resident,),
    ).fetchone()
    if pending is not None:
        raise TiergateError(Reason.CONSENT_STATE, "the gateway has not been told of every consent yet")
    case = connection.execute(
        "SELECT 1 FROM cases WHERE resident = ? AND step IN ('opened', 'flagged', 'forwarded')", (resident,)
    ).fetchone()
    if case is not None:
        raise TiergateError(Reason.CONSENT_STATE, "a case of hers is open")


def _disown_uses(connection: sqlite3.Connection, resident: ResidentRef) -> None:
    """Have what the log holds anyway lead to nobody: each use names an attestation of its own, without id and request.

    An auditor who reconciles journal and log still finds what was attested. Journal rows are final: they are deleted,
    and written anew.
    """
    rows = connection.execute(
        "SELECT u.log_index, u.outcome, u.entry, u.inclusion, u.checkpoint, a.operator, a.scenario, a.bundle, a.rung,"
        " a.at FROM uses AS u JOIN attestations AS a ON a.id = u.attestation_id"
        " WHERE u.consent_id IN (SELECT id FROM consents WHERE resident = ?) ORDER BY u.log_index",
        (resident,),
    ).fetchall()
    named = [(new_id(), row) for row in rows]
    connection.executemany("DELETE FROM uses WHERE log_index = ?", [row[:1] for row in rows])
    connection.executemany(
        "INSERT INTO attestations (id, consent_id, operator, scenario, bundle, rung, at, request)"
        " VALUES (?,?,?,?,?,?,?,zeroblob(32))",
        [(name, ERASED, *row[5:]) for name, row in named],
    )
    connection.executemany(
        "INSERT INTO uses (attestation_id, log_index, outcome, entry, inclusion, checkpoint) VALUES (?,?,?,?,?,?)",
        [(name, *row[:5]) for name, row in named],
    )


def asked_at_ms(connection: sqlite3.Connection, resident: ResidentRef) -> int | None:
    """When she asked for erasure (Unix milliseconds); None if she has not, or all of hers is deleted."""
    row = connection.execute("SELECT asked_at_ms FROM erasures WHERE resident = ?", (resident,)).fetchone()
    return None if row is None else int(row[0])


def consents_to_lock(connection: sqlite3.Connection, resident: ResidentRef) -> list[str]:
    """Ids of all consents of hers, ended ones too, oldest first."""
    rows = connection.execute("SELECT id FROM consents WHERE resident = ? ORDER BY seq", (resident,))
    return [consent_id for (consent_id,) in rows]


def due_for_deletion(connection: sqlite3.Connection, before_ms: int) -> list[ResidentRef]:
    """Residents who asked before this moment (Unix milliseconds)."""
    rows = connection.execute("SELECT resident FROM erasures WHERE asked_at_ms < ?", (before_ms,))
    return [ResidentRef(resident) for (resident,) in rows]


def _last_event(connection: sqlite3.Connection, resident: ResidentRef) -> str:
    row = connection.execute(
        "SELECT id FROM events WHERE kind = 'erasure'"
        " AND consent_id IN (SELECT id FROM consents WHERE resident = ?) ORDER BY seq DESC LIMIT 1",
        (resident,),
    ).fetchone()
    return "" if row is None else str(row[0])
