"""City platforms of every kind with the same residents in them, which tests can take down, hold up and bring back."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.sandbox import fuzhou, quanzhou, xiamen
from adapters.sandbox.residents import Resident, residents_of
from adapters.sources.csv import CsvSettings
from adapters.sources.http_settings import HttpSettings
from adapters.sources.port import ScoreSource
from adapters.sources.settings import open_source, parse_source
from adapters.sources.sql import SqlSettings
from tests.fakes.databases import DatabaseServer

PEOPLE: list[Resident] = residents_of("fuzhou")
TOP, NO_SCORE, STALE, CORRUPT = PEOPLE[0], PEOPLE[9], PEOPLE[10], PEOPLE[11]
TOKEN = "sandbox-token-of-the-tests"
PATIENT: dict[str, Any] = {"deadline_s": 20.0, "breaker_failures": 1000}
"""Options under which only the platform's own behaviour decides a test."""

Settings = HttpSettings | SqlSettings | CsvSettings

_SQL: dict[str, Any] = {
    "query": "SELECT resident_no, egret_points, computed_on FROM egret_score WHERE resident_no = :resident",
    "fields": {"resident": "resident_no", "score": "egret_points", "as_of": "computed_on"},
}
_TABLE_OPTIONS = {"postgres": "", "mariadb": " CHARACTER SET utf8mb4"}
_LOCKS = {"postgres": "LOCK TABLE egret_score IN ACCESS EXCLUSIVE MODE", "mariadb": "LOCK TABLES egret_score WRITE"}


class CityPlatform(ABC):
    """A running platform that holds ``PEOPLE``; ``folder`` is the test's own; ``dated``: ``as_of`` is a date alone."""

    dated: ClassVar[bool] = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def table(self) -> dict[str, Any]:
        """The ``[source]`` table that reads this platform, without options."""

    def settings(self, **options: Any) -> Settings:
        """Validated settings."""
        return parse_source({**self.table(), **PATIENT, **options}, self.folder / "settings.toml")

    @abstractmethod
    async def start(self) -> None:
        """Bring the platform up (again)."""

    @abstractmethod
    async def stop(self) -> None:
        """Take the platform down: nobody answers."""


class HoldablePlatform(CityPlatform):
    """A platform that can keep its askers waiting."""

    @abstractmethod
    def held(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Inside, the platform accepts questions and answers none."""


class Faulty:
    """An ASGI application around another: ``fault``, where set, answers in its place."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.fault: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self.fault or self.app)(scope, receive, send)


class HttpPlatform(HoldablePlatform):
    """An HTTP API, by default the sandbox Fuzhou platform, on one port for all its life."""

    def __init__(self, folder: Path, app: ASGIApp | None = None, tls: dict[str, Any] | None = None) -> None:
        super().__init__(folder)
        (folder / "token").write_text(TOKEN + "\n")
        self.app = Faulty(app or fuzhou.application(PEOPLE, TOKEN))
        self.tls = tls or {}
        self.port = 0

    def table(self) -> dict[str, Any]:
        return {
            "kind": "http",
            "base_url": f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}",
            "path": "/api/v1/residents/{resident}/score",
            "auth": {"kind": "bearer", "token": {"file": "token"}},
            "result": {"path": "code", "ok": [0], "unknown": [1404]},
            "fields": {
                "resident": "data.residentNo",
                "score": "data.score",
                "as_of": "data.evalTime",
                "as_of_format": fuzhou.TIME_FORMAT,
            },
        }

    async def start(self) -> None:
        self._socket = fuzhou.listen(self.port)
        self.port = self._socket.getsockname()[1]
        self._server = fuzhou.server(self.app, **self.tls)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def stop(self) -> None:
        self._server.should_exit = True
        await self._task
        self._socket.close()

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        release = asyncio.Event()

        async def hold(scope: Scope, receive: Receive, send: Send) -> None:
            await release.wait()
            await self.app.app(scope, receive, send)

        self.app.fault = hold
        try:
            yield
        finally:
            self.app.fault = None
            release.set()


class SqlitePlatform(HoldablePlatform):
    """The sandbox Xiamen database."""

    def table(self) -> dict[str, Any]:
        return {"kind": "sql", "sqlite_file": "scores.sqlite3", **_SQL}

    async def start(self) -> None:
        xiamen.seed(PEOPLE, self.folder / "scores.sqlite3")

    async def stop(self) -> None:
        (self.folder / "scores.sqlite3").unlink(missing_ok=True)

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        with contextlib.closing(sqlite3.connect(self.folder / "scores.sqlite3")) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            yield
            connection.rollback()


class ServerPlatform(HoldablePlatform):
    """The same table in a database server."""

    def __init__(self, folder: Path, server: DatabaseServer) -> None:
        super().__init__(folder)
        self.server = server
        (folder / "url").write_text(server.url)
        server.execute("DROP TABLE IF EXISTS egret_score", xiamen.TABLE + _TABLE_OPTIONS[server.name])
        server.execute(
            "INSERT INTO egret_score VALUES (:ref, :name, :points, :computed_on)",
            rows=[dict(zip(("ref", "name", "points", "computed_on"), row, strict=True)) for row in xiamen.rows(PEOPLE)],
        )
        self.up = True

    def table(self) -> dict[str, Any]:
        return {"kind": "sql", "url": {"file": "url"}, **_SQL}

    async def start(self) -> None:
        if not self.up:
            await asyncio.to_thread(self.server.start)
            gc.collect()  # PyMySQL's sockets of the outage, in the test that made them
            self.up = True

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.stop)
        self.up = False

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        engine = sa.create_engine(self.server.url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.execute(sa.text(_LOCKS[self.server.name]))
            yield
            connection.rollback()


class CsvPlatform(CityPlatform):
    """The sandbox Quanzhou export."""

    dated = True

    def __init__(self, folder: Path, encoding: str) -> None:
        super().__init__(folder)
        self.encoding = encoding

    def table(self) -> dict[str, Any]:
        return {
            "kind": "csv",
            "path": "scores.csv",
            "check_interval_s": 0,
            "fields": {
                "resident": quanzhou.HEADER[0],
                "score": quanzhou.HEADER[2],
                "as_of": quanzhou.HEADER[3],
                "as_of_format": "%Y-%m-%d",
            },
        }

    async def start(self) -> None:
        quanzhou.export(PEOPLE, self.folder / "scores.csv", self.encoding)

    async def stop(self) -> None:
        (self.folder / "scores.csv").unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def running(
    folder: Path, app: ASGIApp | None = None, tls: dict[str, Any] | None = None
) -> AsyncIterator[HttpPlatform]:
    """An HTTP platform for the time of the block."""
    platform = HttpPlatform(folder, app, tls)
    await platform.start()
    try:
        yield platform
    finally:
        await platform.stop()


@contextlib.asynccontextmanager
async def opened(platform: CityPlatform, **options: Any) -> AsyncIterator[ScoreSource]:
    """A source on the platform for the time of the block."""
    source = open_source(platform.settings(**options))
    try:
        yield source
    finally:
        await source.close()


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> ASGIApp:
    """An application that gives one answer to everything: bytes as they are, anything else as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Response(body, status, headers, "application/json")
