"""The witness's HTTP server: Starlette under uvicorn, one request at a time for the state, nothing of a caller logged.

``POST /add-checkpoint`` (C2SP tlog-witness), and ``GET /<log id>/checkpoint``: the newest checkpoint, as cosigned.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path

import structlog
import uvicorn
from prometheus_client import CollectorRegistry, Counter, Gauge
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.key_file import read_signer
from gateway.consentlog.note import parse_note
from gateway.consentlog.witness import MAX_REQUEST_BYTES, Answer, ClockError, Fork, Witness
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.observability import MetricsEndpoint, configure_logging, new_registry
from gateway.process import stop_event, write_ready
from gateway.settings import read_settings
from gateway.witness.config import PREFIX, TlsFiles, WitnessConfig
from gateway.witness.evidence import EvidenceFolder
from gateway.witness.slow_clients import impatient
from gateway.witness.state import EVIDENCE, SqliteWitnessState, read_rows

log = structlog.get_logger("witness")
STOP_S = 5


class _TooLargeError(Exception):
    """A body that is longer than any request."""


def application(witness: Witness, *, request_s: float) -> Starlette:
    """The application. Requests arrive within ``request_s`` or are given up; the witness is asked by one at a time."""
    turn = threading.Lock()

    def judge(body: bytes) -> Answer:
        with turn:
            return witness.add_checkpoint(body)

    def newest(log_id: str) -> Answer:
        with turn:
            return witness.cosigned(log_id)

    async def add_checkpoint(request: Request) -> Response:
        try:
            async with asyncio.timeout(request_s):
                body = await _body(request)
        except TimeoutError:
            return _plain(408, "the request did not arrive in time")
        except _TooLargeError:
            return _plain(413, "the request is too large")
        except ClientDisconnect:
            return _plain(400, "the request ended early")
        return await _answered(asyncio.to_thread(judge, body))

    async def checkpoint(request: Request) -> Response:
        return await _answered(asyncio.to_thread(newest, request.path_params["log"]))

    return Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/{log}/checkpoint", checkpoint, methods=["GET"]),
        ]
    )


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            raise _TooLargeError
    return bytes(body)


async def _answered(asked: Awaitable[Answer]) -> Response:
    try:
        answer = await asked
    except ClockError as error:
        log.error("clock_unusable", alarm="witness_clock", detail=error.detail)  # noqa: TRY400 - no trace needed
        return _plain(503, "the witness's clock is wrong", {"Retry-After": "5"})
    except TiergateError as error:
        log.exception("state_failed", alarm="witness_state", reason=error.reason.value, detail=error.detail)
        return _plain(503, "the witness cannot keep its state now", {"Retry-After": "5"})
    return Response(answer.body, answer.status, media_type=None, headers={"Content-Type": answer.media_type})


def _plain(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    """A refusal after which the connection is closed: what is left of the request is not worth reading."""
    return Response(f"{text}\n", status, headers={"Connection": "close", **(headers or {})}, media_type="text/plain")


class _Server(uvicorn.Server):
    """Uvicorn that leaves signals to :func:`serve`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install nothing."""
        yield


def _config(witness: Witness, settings: WitnessConfig) -> uvicorn.Config:
    limits = settings.limits
    config = uvicorn.Config(
        application(witness, request_s=limits.request_s),
        http=impatient(limits.request_s),
        ws="none",
        access_log=False,
        log_config=None,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=limits.idle_s,
        timeout_graceful_shutdown=STOP_S,
        h11_max_incomplete_event_size=16 * 1024,
    )
    config.load()
    if settings.tls is not None:
        config.ssl = _context(settings.tls)
    return config


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(files.cert, files.key)
        if files.client_ca is not None:
            context.load_verify_locations(files.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        problem = Problem(str(files.cert), "tls", "certificate, key or client_ca cannot be used", "PEM files, matching")
        raise ProblemsError(Reason.CERTIFICATE_INVALID, [problem]) from error
    return context


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        return socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        problem = Problem("listen", "", f"{address} cannot be bound", "is another process on this port?")
        raise ProblemsError(Reason.CONFIG_INVALID, [problem]) from error


class _Metrics:
    """``tiergate_witness_size``, ``…_cosigned_timestamp_seconds`` (by origin), ``…_evidence`` and ``…_forks_total``."""

    def __init__(self, settings: WitnessConfig) -> None:
        self.registry: CollectorRegistry = new_registry()
        size = Gauge("tiergate_witness_size", "Size cosigned last.", ["origin"], registry=self.registry)
        at = Gauge(
            "tiergate_witness_cosigned_timestamp_seconds",
            "When a checkpoint of the log was cosigned last (Unix seconds).",
            ["origin"],
            registry=self.registry,
        )
        kept = Gauge("tiergate_witness_evidence", "Folders of evidence that are kept.", registry=self.registry)
        self._forks = Counter(
            "tiergate_witness_forks", "Forks found since the start.", ["origin", "kind"], registry=self.registry
        )
        state_dir = settings.state_dir

        def row(origin: str, column: int) -> float:
            return next((float((found.size, found.at_s)[column]) for found in read_rows(state_dir)
                         if found.origin == origin), 0.0)  # fmt: skip

        for origin in settings.keys_of_logs():
            size.labels(origin).set_function(lambda origin=origin: row(origin, 0))  # type: ignore[misc]
            at.labels(origin).set_function(lambda origin=origin: row(origin, 1))  # type: ignore[misc]
        evidence = EvidenceFolder(state_dir / EVIDENCE)
        kept.set_function(lambda: sum(1 for _ in evidence.all()))

    def found(self, fork: Fork) -> None:
        """A fork was found that is not kept already: an alarm."""
        self._forks.labels(fork.origin, fork.kind).inc()
        shown = Checkpoint.parse(parse_note(fork.shown).text)
        log.error("fork", alarm="fork", kind=fork.kind, origin=fork.origin, log_size=shown.size)


async def serve(config: Path, *, lifeline_fd: int | None = None, ready_file: Path | None = None) -> None:
    """Run the witness until SIGTERM, SIGINT or the end of the lifeline. Raises what keeps it from starting."""
    settings = read_settings(WitnessConfig, config, prefix=PREFIX)
    configure_logging("witness")
    key = read_signer(settings.key)
    metrics = _Metrics(settings)
    kept = settings.limits.unproven_kept
    with SqliteWitnessState(settings.state_dir, key.verifier, unproven_kept=kept, found=metrics.found) as state:
        witness = Witness(key, settings.keys_of_logs(), state, lambda: int(time.time()))
        server = _Server(_config(witness, settings))
        endpoint = MetricsEndpoint(settings.metrics_listen, metrics.registry) if settings.metrics_listen else None
        with _listen(settings.listen) as listening:
            stopped = asyncio.create_task(stop_event(None, lifeline_fd).wait())
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            host, port = settings.listen.rpartition(":")[0], listening.getsockname()[1]
            if ready_file is not None:
                write_ready(ready_file, {"address": f"{host}:{port}"})
            log.info("serving", address=f"{host}:{port}", key=str(key.verifier), count=len(settings.keys_of_logs()))
            await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            stopped.cancel()
            await serving
        if endpoint is not None:
            endpoint.close()
