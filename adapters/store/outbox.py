"""The durable outbox of consent events, in the order in which the withdrawals were recorded."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class PendingEvent(NamedTuple):
    """An event that the gateway has neither acknowledged nor refused; ``event`` is the signed token."""

    seq: int
    id: str
    event: str


class Settled(NamedTuple):
    """What became of an event: the gateway's log index, or the reason code of its refusal."""

    seq: int
    log_index: int | None
    refused: str | None


@dataclass(frozen=True, slots=True)
class SettleEvents:
    """Store what became of events. Nothing is deleted: a refused one stays as evidence."""

    events: Sequence[Settled]

    def run(self, connection: sqlite3.Connection) -> None:
        """Mark each event."""
        connection.executemany(
            "UPDATE events SET log_index = ?, refused = ? WHERE seq = ?",
            [(item.log_index, item.refused, item.seq) for item in self.events],
        )


def pending_events(connection: sqlite3.Connection, limit: int) -> list[PendingEvent]:
    """The oldest events still to be sent."""
    rows = connection.execute(
        "SELECT seq, id, event FROM events WHERE log_index IS NULL AND refused IS NULL ORDER BY seq LIMIT ?", (limit,)
    )
    return [PendingEvent(*row) for row in rows]


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
