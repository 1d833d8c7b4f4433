"""Logs and metrics of a process, without personal data by construction.

A log line is one JSON object on stderr. It holds only keys that are listed here; others are dropped, and their names
are put under ``dropped``, so that the omission is seen in development. Of an exception the line holds type and places
in the code, never its text: text may quote what was being worked on. Other libraries' lines keep their logger, level
and place, for the same reason without their text.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, TextIO, cast
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

from gateway.errors import Problem, ProblemsError, Reason, TiergateError

SAFE_KEYS = frozenset(
    {
        # put there by structlog and by the processors below
        "event", "level", "timestamp", "logger", "process", "where", "errors", "dropped",
        # calls
        "method", "reason", "detail", "request_id", "role", "peer", "unwritten", "status", "seconds",
        # what a process is and does
        "address", "port", "city", "operator", "scenario", "version", "digest", "directory_version", "file", "key",
        "log_index", "log_size", "origin", "count", "limit", "pending", "lag_s", "retry_after_s", "source", "alarm",
        "signal", "state", "kind", "code", "years",
    }
)  # fmt: skip
"""Codes, counts, times and names of processes. None may ever hold a score, a token or a reference to a person."""
MAX_TEXT = 500
MAX_FRAMES = 12
MAX_CAUSES = 5

_Event = MutableMapping[str, Any]


class _Lines:
    """Where log lines go: a stream that may fail, as on a full disk, without anybody being told but the metrics.

    A line is written beside something that matters more: an answer, a task that goes on. It must not take that along.
    """

    def __init__(self) -> None:
        self.stream: TextIO = sys.stderr
        self.lost = 0

    def write(self, text: str) -> int:
        """Write, or count what could not be written."""
        try:
            return self.stream.write(text)
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.lost += 1
            return len(text)

    def flush(self) -> None:
        """Flush, or count: what is buffered goes out later, if at all."""
        try:
            self.stream.flush()
        except (OSError, ValueError):
            self.lost += 1


_lines = _Lines()


def configure_logging(process: str, *, level: str = "info", stream: TextIO | None = None) -> None:
    """Send this process's log, and what other libraries log from WARNING upwards, to stderr as JSON lines.

    ``process`` names it, such as ``gateway`` or ``adapter-fuzhou``.
    """
    _lines.stream = stream or sys.stderr

    def name(_logger: Any, _method: str, event: _Event) -> _Event:
        event["process"] = process
        return event

    processors: list[Callable[[Any, str, _Event], Any]] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name,
        describe_exception,
        keep_safe_keys,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=_unprintable),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _lines)),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_LibraryHandler()], level=logging.WARNING, force=True)


class _LibraryHandler(logging.Handler):
    """Other libraries' log lines: who, how grave, and where in the code, without the text."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        structlog.get_logger().log(
            max(record.levelno, logging.WARNING),
            "library",
            logger=record.name,
            where=f"{Path(record.pathname).name}:{record.lineno}",
            exc_info=record.exc_info[1] if record.exc_info else None,
        )


def keep_safe_keys(_logger: Any, _method: str, event: _Event) -> _Event:
    """Drop what is not in ``SAFE_KEYS``, and say so; shorten long text; refuse values that are not plain."""
    kept = {key: _plain(value) for key, value in event.items() if key in SAFE_KEYS}
    if len(kept) < len(event):
        kept["dropped"] = sorted(key for key in event if key not in SAFE_KEYS)
    return kept


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}…"
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _unprintable(value)


def _unprintable(value: Any) -> str:
    """The type alone: the text of an arbitrary object may say anything."""
    return f"<{type(value).__name__}>"


def describe_exception(_logger: Any, _method: str, event: _Event) -> _Event:
    """Replace ``exc_info`` by ``errors``: the chain of causes, outermost first, as type, code and places."""
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    chain: list[str] = []
    while error is not None and len(chain) < MAX_CAUSES:
        chain.append(_describe(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if chain:
        event["errors"] = chain
    return event


def _describe(error: BaseException) -> str:
    kind = type(error).__qualname__
    if isinstance(error, TiergateError):
        kind += f"({error.reason.value})"
    elif isinstance(error, OSError) and error.errno is not None:
        kind += f"(errno {error.errno})"
    elif code := getattr(error, "sqlite_errorname", None):
        kind += f"({code})"
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    places = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{kind} at {places}" if places else kind


def new_registry() -> CollectorRegistry:
    """A registry with the usual figures of the process (memory, CPU, garbage collection), and of its log."""
    registry = CollectorRegistry()
    lost = Gauge("tiergate_log_writes_failed", "Writes of log lines that failed since the start.", registry=registry)
    lost.set_function(lambda: _lines.lost)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class MetricsEndpoint:
    """``GET /metrics`` in Prometheus text form, in a thread of its own. Closed with :meth:`close`."""

    def __init__(self, address: str, registry: CollectorRegistry) -> None:
        """Serve on ``address`` (``host:port``; port 0 for a free one). Raises CONFIG_INVALID if it cannot be bound.

        It has no access control: bind it to loopback, or to a network of the operators' own.
        """
        host, _, port = address.rpartition(":")
        self._server: WSGIServer
        self._thread: threading.Thread
        try:
            self._server, self._thread = start_http_server(int(port), host.strip("[]"), registry)
        except (OSError, OverflowError) as error:
            problem = Problem("metrics_listen", "", f"{address} cannot be bound", "is another process on this port?")
            raise ProblemsError(Reason.CONFIG_INVALID, [problem]) from error
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
