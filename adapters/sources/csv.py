"""The CSV source: a sealed export in memory, swapped whole when the file on disk changes.

Reads are answered from the table in memory. At most every ``check_interval_s`` one of them starts a check of the file
in a thread; a changed file is read, verified and swapped in. A broken one, and one that is whole but takes their scores
from too many at once, is refused with an alarm, and the old table stays: its records keep their own ``as_of``, so that
each of them is stale at the concordance's maximum age, however long nothing better comes. Without an old table a
refused file is a fault of the platform.

Memory: some 300 bytes per resident (reference, record and index slot; measured by a test), so 3 GB for ten million.
During a reload both tables are held.
"""

from __future__ import annotations

import asyncio
import functools
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final, Literal, Self

import structlog
from pydantic import Field, model_validator

from adapters.alarms import AlarmKind
from adapters.score import ScoreRecord
from adapters.sources.base import Answer, GuardedSource
from adapters.sources.csv_export import Encoding, check_seal, read_rows
from adapters.sources.options import Fields, SourceOptions, to_score
from adapters.sources.port import bad_record, platform_fault
from adapters.sources.workers import Workers
from gateway.domain.ids import ResidentRef
from gateway.errors import TiergateError
from gateway.settings import FilePath

_log = structlog.get_logger(__name__)
_Signature = tuple[int, int, int, int]
_MAX_TIMES: Final = 10_000


class CsvSettings(SourceOptions):
    """A standard export (see ``csv_export``). ``fields`` name columns of its header; ``fields.resident`` is required.

    ``encoding``: ``auto`` takes UTF-8 if the whole file is valid UTF-8, else GB18030. ``max_bytes``, ``max_rows``: of a
    file that is accepted. ``check_interval_s``: seconds between two looks at the file.

    ``max_loss``: the share of the residents with a score in the table in use who may have none in the next export, and
    the share of an export's rows that may be bad; with a greater loss it is refused. ``min_scores``: an export with
    fewer is refused, also at the start, when there is nothing to compare with; one without any always is. So a great
    loss that is right is taken by a restart, if ``min_scores`` allows it; with ``max_loss = 1`` any is taken unasked.
    """

    kind: Literal["csv"]
    path: FilePath
    encoding: Encoding = "auto"
    delimiter: Literal[",", ";", "\t", "|"] = ","
    max_bytes: int = Field(default=1 << 29, ge=1)
    max_rows: int = Field(default=10_000_000, ge=1)
    check_interval_s: float = Field(default=1.0, ge=0, le=3600)
    max_loss: float = Field(default=0.5, ge=0, le=1)
    min_scores: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.fields.resident is None:
            raise ValueError("fields.resident must name the column of the resident's reference")
        return self


@dataclass(frozen=True, slots=True, repr=False)
class _Table:
    """A verified export. A resident whose row cannot be used maps to None; one without a score is not in it."""

    records: dict[str, ScoreRecord | None]
    rows: int
    bad_rows: int

    def scores(self) -> int:
        """How many residents have a score that can be used."""
        return sum(record is not None for record in self.records.values())

    def lost_in(self, new: _Table) -> int:
        """How many of them have none in a newer table."""
        return sum(record is not None and new.records.get(who) is None for who, record in self.records.items())

    def find(self, resident: ResidentRef) -> ScoreRecord | None:
        """A resident's record, or None for one without a score. Raises SOURCE_INVALID."""
        if resident not in self.records:
            return None
        record = self.records[resident]
        if record is None:
            raise bad_record("the resident's row cannot be used, or there are two")
        return record


class CsvSource(GuardedSource):
    """Scores from an export file.

    ``on_alarm`` is told of a refused file, once when it is found and at each ``ping`` while it lasts, and of bad rows,
    once for a file. The log says what is wrong, without anything of a row.
    """

    kind: ClassVar[str] = "csv"

    def __init__(
        self,
        settings: CsvSettings,
        clock: Callable[[], float] = time.monotonic,
        on_alarm: Callable[[AlarmKind], None] | None = None,
    ) -> None:
        super().__init__(settings, clock)
        self._settings = settings
        self._clock = clock
        self._on_alarm = on_alarm or (lambda _kind: None)
        self._workers = Workers(1, "score-csv")
        self._table: _Table | None = None
        self._problem = "the export has not been read yet"
        self._signature: _Signature | None = None
        self._checked_at: float | None = None
        self._check: asyncio.Task[None] | None = None

    def _read_now(self, resident: ResidentRef) -> Answer | None:
        last = self._checked_at
        if last is None or self._clock() - last >= self._settings.check_interval_s:
            self._started_check()
        return None if self._table is None else (self._table.find(resident),)

    async def _read(self, resident: ResidentRef) -> ScoreRecord | None:
        await asyncio.shield(self._started_check())  # the reader's deadline must not stop a long first load
        if self._table is None:
            raise platform_fault(self._problem)
        return self._table.find(resident)

    async def _ping(self) -> None:
        """Look at the file now. Raises PLATFORM_UNAVAILABLE only if there is no table to answer from."""
        before = self._problem
        await asyncio.shield(self._started_check())
        if before and self._problem == before:
            self._on_alarm("export_refused")
        if self._table is None:
            raise platform_fault(self._problem)

    async def _close(self) -> None:
        if self._check is not None:
            self._check.cancel()
            await asyncio.gather(self._check, return_exceptions=True)
        self._workers.stop()
        self._table = None

    def _started_check(self) -> asyncio.Task[None]:
        """The check in hand, or a new one: never two at a time."""
        if self._check is None or self._check.done():
            self._checked_at = self._clock()
            self._check = asyncio.create_task(self._check_file())
        return self._check

    async def _check_file(self) -> None:
        load = functools.partial(_load_if_changed, self._settings, self._signature, self._table)
        signature, table, problem = await self._workers.run(load)
        if signature == self._signature and problem is None:
            return
        if problem is not None:
            if (signature, problem) != (self._signature, self._problem):
                self._alarm("export_refused", problem)
            self._signature, self._problem = signature, problem
            return
        self._signature, self._table, self._problem = signature, table, ""
        if table is not None and table.bad_rows:
            self._alarm("export_rows_bad", f"{table.bad_rows} of {table.rows} rows of the export cannot be used")

    def _alarm(self, kind: AlarmKind, detail: str) -> None:
        _log.warning("score_export_alarm", kind=kind, detail=detail)
        self._on_alarm(kind)


def _load_if_changed(
    settings: CsvSettings, known: _Signature | None, in_use: _Table | None
) -> tuple[_Signature | None, _Table | None, str | None]:
    """(file's signature, new table, problem); table and problem are both None if the file is the known one."""
    signature: _Signature | None = None
    try:
        with open(settings.path, "rb", opener=_open_regular) as file:  # Path.open takes no opener
            signature = _signature(file.fileno())
            if signature == known:
                return signature, None, None
            if signature[2] > settings.max_bytes:
                return signature, None, "the export is larger than max_bytes"
            sealed = check_seal(file, signature[2], settings.encoding)
            if sealed.rows > settings.max_rows:
                return signature, None, "the export has more rows than max_rows"
            table = _table(settings.fields, read_rows(file, sealed, settings.delimiter), sealed.rows)
            if _signature(file.fileno()) != signature:
                return signature, None, "the export was changed in place while it was read; move a new file over it"
            problem = _loss(settings, table, in_use)
            return signature, None if problem else table, problem
    except TiergateError as error:
        return signature, None, error.detail
    # Without the signature, so that the same file is tried again: it may be whole.
    except OSError as error:
        return None, None, f"the export cannot be read ({error.strerror or type(error).__name__})"
    except Exception as error:  # noqa: BLE001  # such as MemoryError: alarmed as any, and the table in use stays
        return None, None, f"the export cannot be read ({type(error).__name__})"


def _loss(settings: CsvSettings, new: _Table, in_use: _Table | None) -> str | None:
    """What makes a whole export one that must not be taken: it would make nearly everybody a person without a score."""
    scores = new.scores()
    if scores < settings.min_scores:
        return f"the export holds {scores} scores that can be used, fewer than min_scores ({settings.min_scores})"
    if new.bad_rows > settings.max_loss * new.rows:
        return f"{new.bad_rows} of {new.rows} rows of the export cannot be used, a greater share than max_loss"
    if in_use is not None:
        had, lost = in_use.scores(), in_use.lost_in(new)
        if lost > settings.max_loss * had:
            return f"{lost} of {had} residents lose their score by the export, a greater share than max_loss"
    return None


def _table(fields: Fields, rows: Iterator[list[str]], promised: int) -> _Table:
    """Index the rows. One bad row is that resident's fault, not the file's; a missing column is the file's."""
    header = next(rows, [])
    wanted = [fields.resident or "", fields.score, fields.as_of]
    if any(header.count(name) != 1 for name in wanted):
        raise platform_fault("the export's header lacks a column that fields names, or has it twice")
    resident_at, score_at, as_of_at = (header.index(name) for name in wanted)
    times: dict[str, datetime] = {}  # exports repeat a few times of computation: one object each, not one per row
    records: dict[str, ScoreRecord | None] = {}
    without_score: set[str] = set()
    count = bad = 0
    for row in rows:
        count += 1
        resident = row[resident_at].strip() if len(row) == len(header) else ""
        if not resident:
            bad += 1
            continue
        if resident in records or resident in without_score:
            records[resident] = None
            bad += 1
            continue
        try:
            score = to_score(row[score_at])
            if score is None:
                without_score.add(resident)
                continue
            records[resident] = ScoreRecord(score, _time(fields, row[as_of_at].strip(), times))
        except TiergateError:
            records[resident] = None
            bad += 1
    if count != promised:
        raise platform_fault("the export does not hold as many rows as its footer says")
    return _Table(records, count, bad)


def _time(fields: Fields, text: str, known: dict[str, datetime]) -> datetime:
    found = known.get(text)
    if found is None:
        found = fields.time_of(text)
        if len(known) < _MAX_TIMES:
            known[text] = found
    return found


def _open_regular(path: str, flags: int) -> int:
    # O_NONBLOCK: a FIFO in the export's place would block the thread for ever.
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "it is not a regular file")
    return descriptor


def _signature(descriptor: int) -> _Signature:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
