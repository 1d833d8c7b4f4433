"""Writes of use reports: every decision that the gateway made with one of this city's attestations."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Mark = Literal["unattributed", "better_than_attested", "of_another_question", "fork"]
"""What is wrong with a report that was taken all the same: it is evidence, and must not hold up those behind it."""


@dataclass(frozen=True, slots=True)
class UseRow:
    """One verified report. ``inclusion`` is the proof's hashes, joined; ``rung`` is the log entry's."""

    log_index: int
    attestation_id: str
    operator: str
    scenario: str
    bundle: str
    outcome: str
    rung: int
    entry: bytes
    inclusion: bytes


@dataclass(frozen=True, slots=True)
class TakeReports:
    """Keep a run of reports with the checkpoint that proves them. Taking one again changes nothing."""

    rows: Sequence[UseRow]
    checkpoint: str

    def run(self, connection: sqlite3.Connection) -> list[Mark]:
        """What is wrong with reports not seen before, one mark per finding."""
        marks: list[Mark] = []
        note: int | None = None
        for row in self.rows:
            present = connection.execute("SELECT entry FROM uses WHERE log_index = ?", (row.log_index,)).fetchone()
            if present is not None:
                if present[0] != row.entry:  # two entries under one index, both proved: the log shows two histories
                    marks.append("fork")
                continue
            attested = connection.execute(
                "SELECT consent_id, operator, scenario, bundle, rung FROM attestations WHERE id = ?",
                (row.attestation_id,),
            ).fetchone()
            if attested is None:
                marks.append("unattributed")
            elif attested[1:4] != (row.operator, row.scenario, row.bundle):
                marks.append("of_another_question")
            elif row.rung > attested[4]:
                marks.append("better_than_attested")
            if note is None:
                note = _checkpoint(connection, self.checkpoint)
            connection.execute(
                "INSERT INTO uses (log_index, attestation_id, consent_id, outcome, entry, inclusion, checkpoint)"
                " VALUES (?,?,?,?,?,?,?)",
                (
                    row.log_index,
                    row.attestation_id,
                    None if attested is None else attested[0],
                    row.outcome,
                    row.entry,
                    row.inclusion,
                    note,
                ),
            )
        return marks


def _checkpoint(connection: sqlite3.Connection, note: str) -> int:
    connection.execute("INSERT INTO checkpoints (note) VALUES (?) ON CONFLICT (note) DO NOTHING", (note,))
    found: int = connection.execute("SELECT id FROM checkpoints WHERE note = ?", (note,)).fetchone()[0]
    return found


def reported_index(connection: sqlite3.Connection) -> int | None:
    """Log index of the newest report held; None before the first."""
    found: int | None = connection.execute("SELECT MAX(log_index) FROM uses").fetchone()[0]
    return found
