"""The store as the rest of the adapter sees it: writes through the group writer, reads of committed state."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from adapters.store import (
    attestations,
    cases,
    consents,
    erasing,
    outbox,
    registrations,
    reports,
    residents,
    unreported,
)
from adapters.store.migrations import MIGRATIONS
from adapters.store.operation import Operation, apply
from gateway.domain.ids import OperatorId, ResidentRef, ScenarioId
from gateway.errors import Problem, ProblemsError, Reason
from gateway.sqlite.connect import DatabaseLock, connect_reader, connect_writer, map_sqlite_error
from gateway.sqlite.migrate import migrate
from gateway.sqlite.scrub import scrub
from gateway.sqlite.writer import GroupWriter

FILE_NAME = "city.db"
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


@dataclass(frozen=True, slots=True)
class SeeVersion:
    """Remember a number of the signed files that this city has worked by (see ``Seen``); it never falls."""

    name: str
    version: int

    def run(self, connection: sqlite3.Connection) -> None:
        """Raise the mark."""
        connection.execute(
            "INSERT INTO seen (name, version) VALUES (?,?)"
            " ON CONFLICT (name) DO UPDATE SET version = MAX(version, excluded.version)",
            (self.name, self.version),
        )


class CityStore:
    """One SQLite file in ``folder``, held by this process alone.

    Reads are of one person or one question, through an index, and are made on the event loop.
    """

    def __init__(self, folder: Path) -> None:
        """Open and migrate. Raises STORE_BUSY (another process holds it) or STORE_FAILED."""
        self._database = database = folder / FILE_NAME
        with ExitStack() as stack:
            self._lock = stack.enter_context(DatabaseLock(database))
            writer = connect_writer(database)
            stack.callback(writer.close)
            migrate(writer, MIGRATIONS)
            self._reader = connect_reader(database)
            stack.pop_all()
        self._writer_connection = writer
        self._writer: GroupWriter[Operation[Any], Any] = GroupWriter(writer, apply)
        self._started = False

    def start(self) -> None:
        """Start the writer thread, on the running loop."""
        self._writer.start()
        self._started = True

    async def close(self) -> None:
        """Commit what was submitted and give everything back."""
        await self._writer.close()
        if not self._started:
            self._writer_connection.close()
        self._reader.close()
        self._lock.release()

    @property
    def pending(self) -> int:
        """Writes submitted and not yet committed."""
        return self._writer.pending

    async def submit(self, operation: Operation[Result]) -> Result:
        """Run one write; returns after its commit.

        Raises what it raises, and BUSY, SHUTTING_DOWN, STORE_BUSY, STORE_FAILED.
        """
        return cast("Result", await self._writer.submit(operation))

    def standing(self, asked: attestations.Asked) -> attestations.Standing:
        """What is known of one question now; the transaction has the last word."""
        return self._read(attestations.standings, [asked])[0]

    def proof_used(self, mark: bytes) -> bool:
        """Whether a proof has been taken; the transaction has the last word."""
        return bool(self._read(attestations.used_proofs, [mark]))

    def consents_of(self, resident: ResidentRef, limit: int) -> list[consents.ListedConsent]:
        """A resident's consents, newest first."""
        return self._read(consents.consents_of, resident, limit)

    def consent_of(self, resident: ResidentRef, consent_id: str) -> consents.ListedConsent | None:
        """One of a resident's consents; None for somebody else's too."""
        return self._read(consents.consent_of, resident, consent_id)

    def declined_until(self, resident: ResidentRef, operator: OperatorId, scenario: ScenarioId) -> int:
        """Until when (Unix seconds) she is not to be asked for this again; 0 if she has not refused."""
        return self._read(consents.declined_until, resident, operator, scenario)

    def is_frozen(self, resident: ResidentRef) -> bool:
        """Whether the city answers for this resident as for one that it does not know."""
        return self._read(residents.is_frozen, resident)

    def consents_to_lock(self, resident: ResidentRef) -> list[str]:
        """Ids of all consents of hers, ended ones too."""
        return self._read(erasing.consents_to_lock, resident)

    def due_for_deletion(self, before_ms: int) -> list[ResidentRef]:
        """Residents who asked for erasure before this moment."""
        return self._read(erasing.due_for_deletion, before_ms)

    async def scrub(self) -> None:
        """Leave nothing of what was deleted in the files; nothing can be written meanwhile. Raises STORE_BUSY."""
        if self._read(erasing.must_scrub):
            await asyncio.to_thread(scrub, self._database, rewrite=True)
            await self.submit(erasing.Scrubbed())

    def uses_of(
        self, resident: ResidentRef, consent_id: str | None, before: int | None, limit: int
    ) -> list[reports.HeldUse]:
        """Reported uses of a resident's consents before a log index, newest first."""
        return self._read(reports.uses_of, resident, consent_id, before, limit)

    def case_of(self, case_id: str) -> cases.CaseRow | None:
        """One case."""
        return self._read(cases.case_of, case_id)

    def cases_of(self, resident: ResidentRef | None) -> list[cases.CaseRow]:
        """A resident's cases, or all that are open; newest first, at most 200."""
        return self._read(cases.cases_of, resident)

    def unfinished_cases(self, after: cases.CaseRow | None) -> list[cases.CaseRow]:
        """Open cases, oldest first, page by page."""
        return self._read(cases.unfinished_cases, after)

    def event_place(self, event_id: str) -> outbox.Place:
        """Where the log has an event, as far as its receipt is held."""
        return self._read(outbox.event_place, event_id)

    def silenced(self, consent_id: str, log_index: int) -> outbox.Silence | None:
        """Why a decision may be lower than attested; None: this city knows of no reason."""
        return self._read(outbox.silenced, consent_id, log_index)

    def kept_of(self, resident: ResidentRef, consent_id: str) -> registrations.Kept | None:
        """What a receipt of a resident's consent is made of."""
        return self._read(registrations.kept_of, resident, consent_id)

    def journal_place(self) -> unreported.Place:
        """How far the journal has come."""
        return self._read(unreported.place)

    def unreported_of(
        self, resident: ResidentRef, consent_id: str | None, limit: int
    ) -> list[unreported.UnreportedRow]:
        """Answers about a resident that still have no report although it is time, newest first."""
        return self._read(unreported.unreported_of, resident, consent_id, limit)

    def reported_index(self) -> int | None:
        """Log index of the newest use report held."""
        return self._read(reports.reported_index)

    def pending_events(self, limit: int) -> list[outbox.PendingEvent]:
        """The oldest events still to be sent."""
        return self._read(outbox.pending_events, limit)

    def is_pending(self, event_id: str) -> bool:
        """Whether an event is still to be sent."""
        return self._read(outbox.is_pending, event_id)

    def count_pending(self) -> int:
        """How many events are still to be sent."""
        return self._read(outbox.count_pending)

    def seen(self) -> dict[str, int]:
        """What has been remembered by ``SeeVersion``, by name."""
        return self._read(_seen)

    def _read(
        self,
        query: Callable[Concatenate[sqlite3.Connection, Arguments], Result],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Result:
        try:
            return query(self._reader, *arguments, **named)
        except sqlite3.Error as error:
            raise map_sqlite_error(error) from error


def _seen(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT name, version FROM seen").fetchall())


def open_store(folder: Path) -> CityStore:
    """The store in ``folder``, which is made if need be. Raises CONFIG_INVALID, and what opening raises."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        problem = Problem(str(folder), "data_dir", f"cannot be made ({error.strerror})", "choose another folder")
        raise ProblemsError(Reason.CONFIG_INVALID, [problem]) from error
    return CityStore(folder)
