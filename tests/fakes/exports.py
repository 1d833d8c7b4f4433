"""An export file with a source on it, which tests replace by better and worse ones."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from adapters.alarms import AlarmKind
from adapters.sources.csv import CsvSettings, CsvSource
from adapters.sources.settings import parse_source
from gateway.domain.ids import ResidentRef
from gateway.errors import TiergateError
from tests.fakes.city_platforms import PATIENT

SOMEBODY = ResidentRef("r1")
HEADER = "id,score,at\n"
GOOD = HEADER + "r1,812,2026-11-20\nr2,,2026-11-20\n"


def sealed(text: str | bytes, rows: int | None = None) -> bytes:
    content = text.encode() if isinstance(text, str) else text
    count = content.count(b"\n") - 1 if rows is None else rows
    return content + b"# rows=%d sha256=%s\n" % (count, hashlib.sha256(content).hexdigest().encode())


class Export:
    """An export file, a source on it, the alarms that it raised, and the lines that were logged."""

    def __init__(self, folder: Path, logged: list[EventDict]) -> None:
        self.file = folder / "scores.csv"
        self.alarms: list[AlarmKind] = []
        self.logged = logged
        self.source = self.open()

    def open(self, **options: Any) -> CsvSource:
        fields = {"resident": "id", "score": "score", "as_of": "at", "as_of_format": "%Y-%m-%d"}
        table = {"kind": "csv", "path": str(self.file), "check_interval_s": 0, "fields": fields, **PATIENT, **options}
        settings = parse_source(table, self.file)
        assert isinstance(settings, CsvSettings)
        self.source = CsvSource(settings, on_alarm=self.alarms.append)
        return self.source

    def replace(self, content: bytes) -> None:
        new = self.file.with_name("new")
        new.write_bytes(content)
        new.replace(self.file)

    async def refusal(self) -> TiergateError:
        with pytest.raises(TiergateError) as caught:
            await self.source.read(SOMEBODY)
        return caught.value


@contextlib.asynccontextmanager
async def export_in(folder: Path) -> AsyncIterator[Export]:
    """An export in a folder, for the time of the block; there is no file yet."""
    with capture_logs() as logged:
        made = Export(folder, logged)
        try:
            yield made
        finally:
            await made.source.close()
