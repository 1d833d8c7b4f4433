"""The SQL source: the city's own query on PostgreSQL, MySQL (MariaDB) or SQLite, read-only, in a few threads.

What a SQLite file answers at once is read without a thread (see ``sqlite``).

What is whose fault: two rows for one resident, or a value that the database or the mapping cannot read, is that
record's (SOURCE_INVALID); everything else a database can say is the platform's (PLATFORM_UNAVAILABLE).
"""

from __future__ import annotations

import functools
import math
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

import sqlalchemy as sa
from pydantic import Field, model_validator

from adapters.score import ScoreRecord
from adapters.sources.base import Answer, GuardedSource
from adapters.sources.http_settings import is_loopback
from adapters.sources.options import Secret, SourceOptions
from adapters.sources.port import bad_record, platform_fault
from adapters.sources.sqlite import SqliteFile, open_read_only
from adapters.sources.workers import Workers
from gateway.domain.ids import ResidentRef
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.settings import FilePath

_DRIVERS: Final = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}
_RECYCLE_S: Final = 1800
_SQLITE_VALUES: Final = frozenset({"integer overflow", "malformed JSON"})  # it has no SQLSTATE, and one code for all


class SqlSettings(SourceOptions):
    """A city's database. Exactly one of ``url`` and ``sqlite_file``.

    ``url`` (a secret, for it holds the password): ``postgresql://…`` or ``mysql://…`` with the driver's own parameters.
    ``query``: the city's SQL with ``:resident`` in place of the reference; ``fields`` name columns of its result, also
    the resident's: a database that compares without regard to case or trailing spaces finds another's row.
    ``sqlite_file``: on a local disk. ``pool_size``: connections, and threads, at most.
    """

    kind: Literal["sql"]
    url: Secret | None = None
    sqlite_file: FilePath | None = None
    query: str = Field(min_length=1, max_length=20_000)
    pool_size: int = Field(default=4, ge=1, le=32)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.url is None) == (self.sqlite_file is None):
            raise ValueError("name exactly one of url and sqlite_file")
        if self.fields.resident is None:
            raise ValueError("fields.resident must name the column of the resident's reference")
        if set(sa.text(self.query).compile().params) != {"resident"}:
            raise ValueError("the query must have :resident, and no other parameter")
        return self


class SqlSource(GuardedSource):
    """Scores from a database. Raises ProblemsError (CONFIG_INVALID) when made, if the URL cannot be used."""

    kind: ClassVar[str] = "sql"

    def __init__(self, settings: SqlSettings, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(settings, clock)
        self._settings = settings
        self._query = sa.text(settings.query)
        self._engine = _engine(settings)
        self._pool = self._engine.pool
        self._workers = Workers(settings.pool_size, "score-sql", at_end=self._pool.dispose)
        self._file = None if settings.sqlite_file is None else SqliteFile(settings.sqlite_file, self._query)

    def _read_now(self, resident: ResidentRef) -> Answer | None:
        found = None if self._file is None else self._file.rows(resident)
        return None if found is None else (self._of_rows(resident, *found),)

    async def _read(self, resident: ResidentRef) -> ScoreRecord | None:
        return await self._workers.run(functools.partial(self._record, resident, probing=False))

    async def _ping(self) -> None:
        probe = ResidentRef(self._settings.probe_ref)
        try:
            await self._workers.run(functools.partial(self._record, probe, probing=True))
        except TiergateError as error:
            if error.reason is not Reason.SOURCE_INVALID:
                raise

    async def _close(self) -> None:
        self._workers.stop()
        if self._file is not None:
            self._file.close()
        self._pool.dispose()  # idle connections; one still in use goes when its thread ends (see at_end)

    def _record(self, resident: ResidentRef, *, probing: bool) -> ScoreRecord | None:
        try:
            connection = self._engine.connect()
        except sa.exc.DBAPIError as error:
            raise platform_fault(f"cannot connect: {error.orig}") from error
        try:
            with connection:
                result = connection.execute(self._query, {"resident": resident})
                names, rows = list(result.keys()), result.fetchmany(2)
        except (ValueError, RecursionError) as error:  # a driver's, of a value such as JSON that Python cannot hold
            raise bad_record("the driver cannot read a value of the record") from error
        except sa.exc.DBAPIError as error:
            if isinstance(error, sa.exc.DataError) or _is_of_a_value(error.orig):
                raise bad_record("the database cannot read a value of the record") from error
            # A driver's text may quote parameters and rows: it is told only when no person was asked about.
            text = f": {error.orig}" if probing else f" (SQLSTATE {getattr(error.orig, 'sqlstate', None)})"
            raise platform_fault(f"the query failed with {type(error.orig).__name__}{text}") from error
        return self._of_rows(resident, names, rows)

    def _of_rows(
        self, resident: ResidentRef, names: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> ScoreRecord | None:
        if not rows:
            return None
        if len(rows) > 1:
            raise bad_record("the query gives more than one row for one resident")
        fields = self._settings.fields
        if any(names.count(name) != 1 for name in (fields.score, fields.as_of, fields.resident) if name is not None):
            raise platform_fault("the query's result lacks a column that fields names, or has it twice")
        row = dict(zip(names, rows[0], strict=True))
        if fields.resident is not None and str(row[fields.resident]) != resident:
            raise bad_record("the record is another resident's")
        return fields.record(row[fields.score], row[fields.as_of])


def _is_of_a_value(error: BaseException | None) -> bool:
    """Whether what a driver calls a failed operation is a value that the query cannot compute with."""
    return str(getattr(error, "sqlstate", "")).startswith("22") or str(error) in _SQLITE_VALUES


def _engine(settings: SqlSettings) -> sa.Engine:
    if settings.sqlite_file is not None:
        # Opened for each read, which is seldom: what can be answered at once does not come here.
        connect = functools.partial(_open_sqlite, settings.sqlite_file, settings.deadline_s)
        return sa.create_engine("sqlite+pysqlite://", creator=connect, poolclass=sa.NullPool, hide_parameters=True)
    assert settings.url is not None  # checked by SqlSettings
    url = _checked_url(settings.url.read())
    # Drivers count whole seconds; the threads of a dead server are freed one second after the readers have gone.
    whole_s = math.ceil(settings.deadline_s)
    arguments: dict[str, Any] = {"connect_timeout": max(2, whole_s)}
    if url.get_backend_name() == "mysql":
        arguments |= {"read_timeout": whole_s + 1, "write_timeout": whole_s + 1}
    engine = sa.create_engine(
        url,
        connect_args=arguments,
        hide_parameters=True,
        poolclass=sa.QueuePool,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.deadline_s,
        pool_pre_ping=True,
        pool_recycle=_RECYCLE_S,
    )
    sa.event.listen(engine, "connect", functools.partial(_bound_session, url.get_backend_name(), settings.deadline_s))
    return engine


def _checked_url(text: str) -> sa.URL:
    """The URL with our driver, verified TLS included. Raises ProblemsError (CONFIG_INVALID)."""
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        url = None
    if url is None or url.get_backend_name() not in _DRIVERS:  # no cause: its text would quote the password
        raise _url_problem("is not a postgresql:// or mysql:// URL", "for SQLite use sqlite_file")
    url = url.set(drivername=_DRIVERS[url.get_backend_name()])
    query = {name: value if isinstance(value, str) else ",".join(value) for name, value in url.query.items()}
    if url.get_backend_name() == "postgresql":
        host = url.host or query.get("host", "")
        local = (host == "" or host.startswith("/") or is_loopback(host)) and "hostaddr" not in query
        verified = query.get("sslmode") == "verify-full"
        remedy = "add ?sslmode=verify-full&sslrootcert=<CA file>"
    else:
        local = "unix_socket" in query or is_loopback(url.host or "localhost")
        loosened = query.keys() & {"ssl_check_hostname", "ssl_verify_cert", "ssl_verify_identity", "ssl_disabled"}
        verified = "ssl_ca" in query and not loosened
        remedy = "add ?ssl_ca=<CA file>, and nothing that loosens it"
    if not (local or verified):
        raise _url_problem("names another machine without verified TLS", remedy)
    return url


def _url_problem(message: str, remedy: str) -> ProblemsError:
    return ProblemsError(Reason.CONFIG_INVALID, [Problem("source settings", "url", message, remedy)])


def _open_sqlite(path: Path, deadline_s: float) -> sqlite3.Connection:
    connection = open_read_only(path, timeout_s=deadline_s)
    # SQLite has no statement timeout of its own: interrupt a query that outlives the deadline.
    limit = time.monotonic() + deadline_s
    connection.set_progress_handler(lambda: time.monotonic() > limit, 10_000)
    return connection


def _bound_session(backend: str, deadline_s: float, connection: Any, _record: object) -> None:
    """Make the session read-only and bound its statements, in the server's own words."""
    milliseconds = max(1, int(deadline_s * 1000))
    if backend == "postgresql":
        statements = [
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            f"SET statement_timeout = {milliseconds}",
        ]
    else:
        maria = "MariaDB" in connection.get_server_info()
        limit = f"max_statement_time = {deadline_s}" if maria else f"max_execution_time = {milliseconds}"
        statements = ["SET SESSION TRANSACTION READ ONLY", f"SET SESSION {limit}"]
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.commit()
