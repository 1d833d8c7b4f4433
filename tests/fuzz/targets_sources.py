"""What a city's score platform may answer: an export file, HTTP answers, single values."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from functools import cache
from typing import Any

import httpx2

from adapters.score import RawScore, ScoreRecord
from adapters.sources import csv, csv_export, options, settings
from adapters.sources.http import HttpSource
from adapters.sources.http_settings import HttpSettings
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason, TiergateError
from tests.fuzz.harness import Harness, file_of, framed, text_of
from tests.fuzz.targets_files import SOURCES, adapter_toml

RESIDENT = ResidentRef("synthetic-1")
FIELDS = {"resident": "ref", "score": "points", "as_of": "at"}
FORMATS = ("iso8601", "epoch_s", "epoch_ms", "%Y-%m-%d %H:%M:%S", "%d.%m.%Y %z")
EXPORT = 'ref,points,at\nsynthetic-1,742,2026-11-01\nsynthetic-2,,2026-11-01\n"synthetic""3",1.5,never\n'
PLATFORM_REASONS = {Reason.PLATFORM_UNAVAILABLE, Reason.SOURCE_INVALID}


def sealed(content: bytes) -> bytes:
    """An export with a footer that vouches for it."""
    rows = max(0, len([line for line in content.splitlines() if line]) - 1)
    return content + b"# rows=%d sha256=%s\n" % (rows, hashlib.sha256(content).hexdigest().encode())


def _csv_settings(**more: Any) -> csv.CsvSettings:
    table = {"kind": "csv", "path": file_of("export.csv", b""), "fields": FIELDS, **more}
    found = settings.parse_source(table, file_of("adapter.toml", b""))
    assert isinstance(found, csv.CsvSettings)
    return found


CSV_OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"encoding": "gb18030"},
    {"encoding": "utf-8", "delimiter": ";"},
    {"fields": {**FIELDS, "as_of_format": "epoch_s"}},
    {"fields": {**FIELDS, "as_of_format": "%Y-%m-%d"}},
)


def _export(data: bytes) -> bool:
    """An export as it lies there, or (odd choices) with a footer added that fits it."""
    kind, rest = framed(data, 2 * len(CSV_OPTIONS))
    found = _csv_settings(**CSV_OPTIONS[kind // 2])
    content = sealed(rest) if kind % 2 else rest
    file_of("export.csv", content)
    _, table, problem = csv._load_if_changed(found, None, None)
    assert (table is None) != (problem is None)
    if table is None:
        return False
    for resident in (RESIDENT, *map(ResidentRef, list(table.records)[:3])):
        with suppress(TiergateError):
            record = table.find(resident)
            assert record is None or isinstance(record, ScoreRecord)
    file = io.BytesIO(content)
    rows = list(csv_export.read_rows(file, csv_export.check_seal(file, len(content), found.encoding), found.delimiter))
    assert len(rows) > len(table.records)  # a header, and a row for each
    return True


def _export_seeds() -> Iterator[bytes]:
    yield b"\1" + EXPORT.encode()
    yield b"\0" + sealed(EXPORT.encode("utf-8-sig"))
    yield b"\3" + EXPORT.replace("at", "时间").encode("gb18030")
    yield b"\5" + EXPORT.replace(",", ";").encode()


HTTP_OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"result": {"path": "code", "ok": [0, "0"], "unknown": ["none"]}, "unknown_status": [404]},
    {"paging": {"items": "data.list", "param": "page", "max_pages": 3}},
    {"paging": {"items": "data.list", "param": "page", "next": "data.next", "max_pages": 3}},
    {"fields": {"score": "a.b.c", "as_of": "a.d", "as_of_format": "epoch_ms"}},
)
STATUSES = (200, 200, 200, 200, 404, 204, 301, 401, 500, 299)


class _Platform:
    """A source whose platform answers what it is told, without a network."""

    def __init__(self, more: dict[str, Any]) -> None:
        table = {"kind": "http", "base_url": "http://127.0.0.1:1", "path": "/s?r={resident}", "fields": FIELDS, **more}
        found = settings.parse_source(table, file_of("adapter.toml", b""))
        assert isinstance(found, HttpSettings)
        self.content, self.status, self.headers = b"", 200, dict[str, str]()
        self.source = HttpSource(found)
        self.source._client = httpx2.AsyncClient(transport=httpx2.MockTransport(self._answer))

    def _answer(self, _request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(self.status, headers=self.headers, stream=httpx2.ByteStream(self.content))


@cache
def _platforms() -> tuple[asyncio.AbstractEventLoop, list[_Platform]]:
    return asyncio.new_event_loop(), [_Platform(more) for more in HTTP_OPTIONS]


def _http(data: bytes) -> bool:
    kind, rest = framed(data, len(HTTP_OPTIONS))
    status, content = framed(rest, len(STATUSES))
    loop, platforms = _platforms()
    platform = platforms[kind]
    platform.content, platform.status = content, STATUSES[status]
    try:
        # past the base, which would turn whatever escapes into a fault of the platform
        record = loop.run_until_complete(platform.source._read(RESIDENT))
    except TiergateError as error:
        assert error.reason in PLATFORM_REASONS  # noqa: PT017 - it is what is judged
        raise
    assert record is None or isinstance(record, ScoreRecord)
    return record is not None


def _http_seeds() -> Iterator[bytes]:
    record = {"ref": RESIDENT, "points": 742, "at": "2026-11-01T08:00:00+08:00"}
    yield b"\0\0" + json.dumps(record).encode()
    yield b"\1\0" + json.dumps({"code": 0, **record}).encode()
    yield b"\2\0" + json.dumps({"data": {"list": [{"ref": "x"}, record]}}).encode()
    yield b"\3\0" + json.dumps({"data": {"list": [{"ref": "x"}], "next": "n"}}).encode()
    yield b"\4\0" + json.dumps({"a": {"b": {"c": "742.0"}, "d": 1_790_000_000_000}}).encode()


def _value(data: bytes) -> bool:
    """A JSON value, or text, as score and as time in every format."""
    kind, rest = framed(data, len(FORMATS) * 3)
    fields = options.Fields(score="points", as_of="at", as_of_format=FORMATS[kind // 3])
    value: Any = text_of(rest)
    if kind % 3:
        with suppress(ValueError, RecursionError, ArithmeticError):
            value = json.loads(rest, parse_float=Decimal if kind % 3 == 2 else float)
    taken = False
    for score, as_of in ((value, "2026-11-01"), (742, value)):
        with suppress(TiergateError):
            taken = fields.record(score, as_of) is not None or taken
    with suppress(TiergateError):
        boxed = options.to_score(value)
        assert boxed is None or type(boxed) is RawScore
    fields.time_of(value)
    return taken


def _source_table(data: bytes) -> bool:
    kind, rest = framed(data, 3)
    table: dict[str, Any] = {}
    try:
        table = tomllib.loads(text_of(rest))
    except (ValueError, RecursionError):  # another harness reads TOML
        return False
    table["kind"] = sorted(SOURCES)[kind]
    settings.parse_source(table, file_of("adapter.toml", b""))
    return True


def _source_table_seeds() -> Iterator[bytes]:
    for kind, name in enumerate(sorted(SOURCES)):
        table = adapter_toml(name).partition(b"[source]\n")[2].partition(b"\n")[2]
        yield bytes([kind]) + table


HARNESSES = (
    Harness("csv-export", (csv_export.check_seal, csv_export.read_rows), _export, _export_seeds, 16_384),
    Harness("http-answer", (HttpSource._read,), _http, _http_seeds, 16_384),
    Harness(
        "platform-value",
        (options.Fields.record, options.Fields.time_of, options.to_score),
        _value,
        lambda: (
            b"\x002026-11-01T08:00:00+08:00",
            b"\x041790000000",
            b"\x071790000000000.0",
            b"\x092026-11-01 08:00:00",
            b"\x0c01.11.2026 +0800",
            b"\x051e3",
            b"\x03742.0",
        ),
        512,
    ),
    Harness("source-settings", (settings.parse_source,), _source_table, _source_table_seeds),
)
