"""Writes and reads of cases about contested decisions. Each step goes into the outbox, and from there into the log."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from adapters.casework import require_follows
from adapters.store.consents import note_act
from adapters.store.outbox import NewEvent, put_event
from adapters.store.residents import correct_all
from gateway.domain.consent import Step
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason, TiergateError

MAX_CASES = 200


@dataclass(frozen=True, slots=True, repr=False)
class CaseRow:
    """One case. ``decision``: log index; ``opened_at`` in Unix seconds. No ``repr``: it belongs to a person."""

    id: str
    resident: ResidentRef
    decision: int
    opened_at: int
    step: Step


@dataclass(frozen=True, slots=True, repr=False)
class OpenCase:
    """Contest a decision that was reported about one of the resident's consents."""

    row: CaseRow
    event: NewEvent

    def run(self, connection: sqlite3.Connection) -> CaseRow:
        """The case: this one, or the one about the same decision that is open. Raises DECISION_UNKNOWN."""
        row = self.row
        hers = connection.execute(
            "SELECT 1 FROM uses AS u JOIN shown AS c ON c.id = u.consent_id WHERE u.log_index = ? AND c.resident = ?",
            (row.decision, row.resident),
        ).fetchone()
        if hers is None:
            raise TiergateError(Reason.DECISION_UNKNOWN)
        found = connection.execute(f"{_CASES} WHERE decision = ? AND {_OPEN}", (row.decision,)).fetchone()
        if found is not None:
            return _case(found)
        connection.execute(
            "INSERT INTO cases (id, resident, decision, opened_at, step) VALUES (?,?,?,?,?)",
            (row.id, row.resident, row.decision, row.opened_at, row.step),
        )
        _note_step(connection, row, row.opened_at, self.event)
        return row


@dataclass(frozen=True, slots=True, repr=False)
class StepCase:
    """Note the next step of a case. ``correction`` is set for the step ``corrected``, which drops what was attested."""

    case: CaseRow
    step: Step
    at: int
    event: NewEvent
    correction: NewEvent | None = None

    def run(self, connection: sqlite3.Connection) -> CaseRow:
        """The case as it then stands. Raises CASE_STATE."""
        found = connection.execute(f"{_CASES} WHERE id = ?", (self.case.id,)).fetchone()
        now = _case(found)
        require_follows(now.step, self.step)
        row = CaseRow(now.id, now.resident, now.decision, now.opened_at, self.step)
        connection.execute("UPDATE cases SET step = ? WHERE id = ?", (self.step, row.id))
        _note_step(connection, row, self.at, self.event)
        if self.correction is not None:
            correct_all(connection, self.correction)
        return row


def _note_step(connection: sqlite3.Connection, row: CaseRow, at: int, event: NewEvent) -> None:
    connection.execute(
        "INSERT INTO case_steps (case_id, step, at, event_id) VALUES (?,?,?,?)", (row.id, row.step, at, event.id)
    )
    put_event(connection, event, row.id)
    note_act(connection, at * 1000, row.resident, f"case {row.step}", None)


_CASES = "SELECT id, resident, decision, opened_at, step FROM cases"
_OPEN = "step IN ('opened', 'flagged', 'forwarded')"


def case_of(connection: sqlite3.Connection, case_id: str) -> CaseRow | None:
    """One case."""
    found = connection.execute(f"{_CASES} WHERE id = ?", (case_id,)).fetchone()
    return None if found is None else _case(found)


def cases_of(connection: sqlite3.Connection, resident: ResidentRef | None) -> list[CaseRow]:
    """A resident's cases, or all that are open; newest first, at most ``MAX_CASES``."""
    where, bound = (f"WHERE {_OPEN}", ()) if resident is None else ("WHERE resident = ?", (resident,))
    found = connection.execute(f"{_CASES} {where} ORDER BY opened_at DESC, id LIMIT {MAX_CASES}", bound)
    return [_case(row) for row in found]


def unfinished_cases(connection: sqlite3.Connection, after: CaseRow | None) -> list[CaseRow]:
    """Open cases, oldest first, the next ``MAX_CASES`` after one of them (None: from the oldest): all, page by page."""
    place = (-1, "") if after is None else (after.opened_at, after.id)
    found = connection.execute(
        f"{_CASES} WHERE {_OPEN} AND (opened_at, id) > (?, ?) ORDER BY opened_at, id LIMIT {MAX_CASES}", place
    )
    return [_case(row) for row in found]


def _case(found: tuple[str, str, int, int, Step]) -> CaseRow:
    return CaseRow(found[0], ResidentRef(found[1]), found[2], found[3], found[4])
