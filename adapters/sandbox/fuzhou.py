"""A synthetic Fuzhou score platform: an HTTP JSON API behind a bearer token.

``GET /api/v1/residents/<ref>/score`` answers 200 with ``{"code", "msg", "data"}``: code 0 and
``data = {"residentNo", "name", "score", "evalTime"}``, or code 1404 and null for an unknown resident; 401 without the
token. ``evalTime`` is China's local time without an offset, as such platforms write it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import secrets
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from adapters.sandbox.residents import Resident, stored
from gateway.process import stop_event, write_ready

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"


def application(people: Sequence[Resident], token: str) -> Starlette:
    """The API as an ASGI application, holding the residents in memory."""
    expected = f"Bearer {token}".encode()
    table = {row[0]: row for row in stored(people)}

    async def score(request: Request) -> JSONResponse:
        if not hmac.compare_digest(request.headers.get("authorization", "").encode("latin-1"), expected):
            return JSONResponse({"code": 401, "msg": "unauthorized", "data": None}, status_code=401)
        row = table.get(request.path_params["ref"])
        if row is None:
            return JSONResponse({"code": 1404, "msg": "no such resident", "data": None})
        ref, name, points, as_of = row
        data = {"residentNo": ref, "name": name, "score": points, "evalTime": as_of.strftime(TIME_FORMAT)}
        return JSONResponse({"code": 0, "msg": "ok", "data": data})

    return Starlette(routes=[Route("/api/v1/residents/{ref:path}/score", score)])


def token_in(state: Path) -> str:
    """The platform's token from ``<state>/token``, made (mode 0600) if there is none."""
    state.mkdir(parents=True, exist_ok=True)
    file = state / "token"
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as new:
            new.write(secrets.token_urlsafe(32) + "\n")
    return file.read_text(encoding="ascii").strip()


def listen(port: int) -> socket.socket:
    """A bound and listening socket on the loopback address; port 0 takes a free one. Raises OSError."""
    listening = socket.create_server(("127.0.0.1", port), backlog=128)
    # Accepted connections inherit it. asyncio sets it on sockets alone that were made with IPPROTO_TCP, which this one
    # was not; without it an answer's second segment waits for a delayed acknowledgement, some 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


class PlatformServer(uvicorn.Server):
    """Uvicorn that leaves signals to its caller: its own handling ends the process by the signal, not with 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install nothing."""
        yield


def server(app: ASGIApp, **tls: Any) -> PlatformServer:
    """A quiet server: no access log, since its lines would name residents. ``tls``: uvicorn's ``ssl_…`` settings."""
    config = uvicorn.Config(
        app, access_log=False, log_level="warning", lifespan="off", timeout_graceful_shutdown=1, **tls
    )
    return PlatformServer(config)


def serve(people: Sequence[Resident], state: Path, port: int, ready_file: Path | None, lifeline_fd: int | None) -> None:
    """Serve until SIGTERM, SIGINT, or the end of the lifeline. ``ready_file`` gets ``{"port": …}`` once listening."""
    platform = server(application(people, token_in(state)))
    with listen(port) as sock:
        asyncio.run(_run(platform, sock, ready_file, lifeline_fd))


async def _run(platform: PlatformServer, sock: socket.socket, ready_file: Path | None, lifeline_fd: int | None) -> None:
    stop = stop_event(None, lifeline_fd)
    stopped = asyncio.create_task(stop.wait())
    serving = asyncio.create_task(platform.serve(sockets=[sock]))
    if ready_file is not None:
        # The socket listens already: whoever connects now is served once the loop comes to it.
        write_ready(ready_file, {"port": sock.getsockname()[1]})
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    platform.should_exit = True
    stopped.cancel()
    await serving
