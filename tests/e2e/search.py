"""Searches all that a run left behind, channel by channel: links, logs, metrics, error texts, files, databases."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import grpc.aio

from gateway.cli.localnet.plan import TRUST_DOMAIN, Layout
from tests.fakes.canary import Finding, Scanner
from tests.fakes.http2 import Half
from tests.fakes.relay import Recording

PLATFORM = "platform"
"""Folder of a city's own score platform: the one place where scores may lie."""
_SQLITE = b"SQLite format 3\0"
_DOMAIN = f"spiffe://{TRUST_DOMAIN}/"


def search(
    scanner: Scanner, layout: Layout, *, recordings: Iterable[Recording], said: Mapping[str, bytes]
) -> set[Finding]:
    """All findings. ``said``: metrics pages, error texts and command output, by channel."""
    found: set[Finding] = set()
    for recording in recordings:
        found |= search_link(scanner, recording)
    for channel, text in said.items():
        found |= scanner.scan(channel, text)
    for path in _files(layout.base):
        found |= search_file(scanner, layout.base, path)
    return found


def link(recording: Recording) -> str:
    """The channel's name, such as ``link:operator/xiamen-library>gateway``."""
    return f"link:{recording.client.removeprefix(_DOMAIN)}>{recording.server}"


def search_link(scanner: Scanner, recording: Recording) -> set[Finding]:
    """Both directions of one connection: the bytes as they went by, the headers, and the messages with every field."""
    name = link(recording)
    found = scanner.scan(f"{name}:sent", bytes(recording.sent))
    found |= scanner.scan(f"{name}:received", bytes(recording.received))
    for exchange in recording.exchanges():
        for way, half in (("sent", exchange.request), ("received", exchange.answer)):
            found |= _search_half(scanner, f"{name}:{way}", half)
    return found


def _search_half(scanner: Scanner, name: str, half: Half) -> set[Finding]:
    found: set[Finding] = set()
    for value in half.values():
        found |= scanner.scan_value(f"{name}:metadata", value)
    for message in half.messages():
        found |= scanner.scan_message(f"{name}:message", message)
    return found


def _files(base: Path) -> Iterator[Path]:
    for path in sorted(base.rglob("*")):
        parts = path.relative_to(base).parts
        if path.is_file() and not (parts[0] == "cities" and PLATFORM in parts):
            yield path


def search_file(scanner: Scanner, base: Path, path: Path) -> set[Finding]:
    """The bytes of a file; of a database every value, too, for a long one lies in pieces on several pages."""
    relative = path.relative_to(base)
    kind = "log" if relative.parts[0] == "logs" else "file"
    data = path.read_bytes()
    found = scanner.scan(f"{kind}:{relative}", data)
    if data.startswith(_SQLITE):
        for table, value in _values(path):
            found |= scanner.scan_value(f"database:{relative}:{table}", value)
    return found


def _values(path: Path) -> Iterator[tuple[str, bytes]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - names of the database itself
                for value in row:
                    if value is not None:
                        yield table, value if isinstance(value, bytes) else str(value).encode()


def error_text(error: BaseException) -> bytes:
    """Everything that a failed call told its client, causes included."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        parts += [str(cause), repr(cause), str(getattr(cause, "detail", ""))]
        if isinstance(cause, grpc.aio.AioRpcError):
            parts += [str(cause.details()), str(cause.debug_error_string())]
            parts += [f"{key}: {value!r}" for key, value in cause.trailing_metadata() or ()]
        cause = cause.__cause__
    return "\n".join(parts).encode()
