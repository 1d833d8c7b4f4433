"""Attestations that no use report names although it is time: found in runs, remembered, shown to the resident."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import NamedTuple

ERASED = "erased"
"""What an attestation names in place of its consent, once that is deleted; no consent has such an id."""
WATCHED, WATCHED_FROM = "unreported_to", "unreported_from"
"""In ``seen``: the last attestation (``seq``) looked at; the log index that a later one's decision is above."""

# A decision on an attestation comes later in the log than everything that was reported before the attestation: so of
# a consent's uses only the newest are looked at, by the index that its view has.
_LATE = """
    SELECT seq, consent_id FROM
        (SELECT seq, id, consent_id FROM attestations WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3) AS a
    WHERE consent_id <> ?5 AND NOT EXISTS (SELECT 1 FROM uses
        WHERE consent_id = a.consent_id AND log_index > ?4 AND attestation_id = a.id)"""
_HERS = """
    SELECT a.consent_id, a.operator, a.scenario, a.at
    FROM shown AS c JOIN unreported AS n ON n.consent_id = c.id JOIN attestations AS a ON a.seq = n.seq
    WHERE c.resident = ?1 AND (?2 IS NULL OR c.id = ?2)
        AND NOT EXISTS (SELECT 1 FROM uses WHERE consent_id = c.id AND attestation_id = a.id)
    ORDER BY a.seq DESC LIMIT ?3"""


class Place(NamedTuple):
    """How far the journal had come: its last attestation (``seq``), and the newest log index reported (-1: none)."""

    seq: int
    reported: int


class Looked(NamedTuple):
    """``found``: attestations without a report in this run; ``done``: whether it came to the end."""

    found: int
    done: bool


class UnreportedRow(NamedTuple):
    """An answer about a resident without a report. ``at``: Unix seconds, as coarse as its scenario asks."""

    consent_id: str
    operator: str
    scenario: str
    at: int


@dataclass(frozen=True, slots=True)
class FindUnreported:
    """Look at the next ``limit`` attestations up to a place, and remember those that no report names."""

    upto: Place
    limit: int

    def run(self, connection: sqlite3.Connection) -> Looked:
        """What was found."""
        after, reported = _seen(connection, WATCHED, 0), _seen(connection, WATCHED_FROM, -1)
        last = connection.execute(
            "SELECT MAX(seq) FROM (SELECT seq FROM attestations WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?)",
            (after, self.upto.seq, self.limit),
        ).fetchone()[0]
        if last is None:
            _see(connection, WATCHED_FROM, self.upto.reported)
            return Looked(0, done=True)
        late = connection.execute(_LATE, (after, last, self.limit, reported, ERASED)).fetchall()
        connection.executemany("INSERT INTO unreported (seq, consent_id) VALUES (?,?)", late)
        _see(connection, WATCHED, last)
        return Looked(len(late), done=False)


def place(connection: sqlite3.Connection) -> Place:
    """How far the journal has come."""
    found = connection.execute(
        "SELECT COALESCE((SELECT MAX(seq) FROM attestations), 0), COALESCE((SELECT MAX(log_index) FROM uses), -1)"
    ).fetchone()
    return Place(*found)


def look_again(connection: sqlite3.Connection) -> None:
    """To be called when attestations were deleted: the numbers of the last ones are given out again."""
    connection.execute(
        "UPDATE seen SET version = MIN(version, (SELECT COALESCE(MAX(seq), 0) FROM attestations)) WHERE name = ?",
        (WATCHED,),
    )


def unreported_of(
    connection: sqlite3.Connection, resident: str, consent_id: str | None, limit: int
) -> list[UnreportedRow]:
    """Answers about a resident (under one consent, if it is given) that still have no report, newest first."""
    return list(map(UnreportedRow._make, connection.execute(_HERS, (resident, consent_id, limit))))


def _seen(connection: sqlite3.Connection, name: str, first: int) -> int:
    found = connection.execute("SELECT version FROM seen WHERE name = ?", (name,)).fetchone()
    return first if found is None else int(found[0])


def _see(connection: sqlite3.Connection, name: str, value: int) -> None:
    connection.execute(
        "INSERT INTO seen (name, version) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET version = excluded.version",
        (name, value),
    )
