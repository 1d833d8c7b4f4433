"""What only exports can meet: encodings, half-written and replaced files, bad rows, bounds, memory."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.sandbox import quanzhou
from adapters.score import ScoreRecord
from adapters.sources.csv_export import write_export
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason
from tests.fakes.city_platforms import PEOPLE, TOP
from tests.fakes.exports import GOOD, HEADER, SOMEBODY, Export, export_in, sealed

README = Path(__file__).parents[2] / "adapters/sources/README.md"


@pytest.fixture
async def export(tmp_path: Path) -> AsyncIterator[Export]:
    async with export_in(tmp_path) as made:
        yield made


CHINESE = "编号,姓名,分,日期\r\n居民甲,合成,812,2026-11-20\r\n"
ENCODED = {
    "utf-8": CHINESE.encode(),
    "utf-8 with BOM": b"\xef\xbb\xbf" + CHINESE.encode(),
    "gb18030": CHINESE.encode("gb18030"),
    "gb18030 with a four-byte character": CHINESE.replace("合成", "𠮷").encode("gb18030"),
}


@pytest.mark.parametrize("name", ENCODED)
async def test_encodings_are_found_out(export: Export, name: str) -> None:
    export.replace(sealed(ENCODED[name]))
    source = export.open(fields={"resident": "编号", "score": "分", "as_of": "日期", "as_of_format": "%Y-%m-%d"})
    assert isinstance(await source.read(ResidentRef("居民甲")), ScoreRecord)
    assert await source.read(ResidentRef("居民乙")) is None


async def test_a_declared_encoding_is_held_to(export: Export) -> None:
    export.replace(sealed(ENCODED["gb18030"]))
    export.open(encoding="utf-8")
    assert (await export.refusal()).reason is Reason.PLATFORM_UNAVAILABLE


REFUSED: dict[str, bytes] = {
    "empty": b"",
    "no footer": GOOD.encode(),
    "footer alone": sealed("", 0),
    "half of the rows": sealed(GOOD)[:30],
    "half of the footer": sealed(GOOD)[:-20],
    "other bytes": sealed(GOOD).replace(b"812", b"912"),
    "rows promised that are not there": sealed(GOOD, 3),
    "rows there that are not promised": sealed(GOOD, 1),
    "footer in the middle": sealed(GOOD) + b"r3,900,2026-11-20\n",
    "two footers": sealed(sealed(GOOD), 2),
    "upper-case digest": sealed(GOOD)[:-65] + sealed(GOOD)[-65:].upper(),
    "column missing": sealed("id,points,at\nr1,812,2026-11-20\n"),
    "column twice": sealed("id,score,at,score\nr1,812,2026-11-20,1\n"),
    "no header": sealed("r1,812,2026-11-20\n", 1),
    "another delimiter": sealed(GOOD.replace(",", ";")),
    "quote left open": sealed(HEADER + '"r1,812,2026-11-20\n'),
    "NUL": sealed(b"id,score,at\nr1\x00,812,2026-11-20\n\xff", 1),
    "neither encoding": sealed(HEADER.encode() + b"r1,812,2026-11-20\n\xff\xff\n"),
    "endless line": sealed(HEADER + "r" * 70_000 + ",812,2026-11-20\n"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_file_that_is_not_whole_is_refused_and_the_next_good_one_taken(export: Export, name: str) -> None:
    export.replace(REFUSED[name])
    error = await export.refusal()
    assert error.reason is Reason.PLATFORM_UNAVAILABLE
    assert "812" not in error.detail
    await export.refusal()
    assert export.alarms == ["export_refused"]  # once per file, not per read
    export.replace(sealed(GOOD))
    assert isinstance(await export.source.read(SOMEBODY), ScoreRecord)


@pytest.mark.parametrize("name", REFUSED)
async def test_a_broken_new_file_leaves_the_old_one_in_use(export: Export, name: str) -> None:
    export.replace(sealed(GOOD))
    await export.source.ping()
    export.replace(REFUSED[name])
    await export.source.ping()
    assert isinstance(await export.source.read(SOMEBODY), ScoreRecord)
    assert export.alarms == ["export_refused"]
    await export.source.ping()
    assert export.alarms == ["export_refused"] * 2  # each health check says that it lasts
    assert len(export.logged) == 1
    assert "812" not in str(export.logged)


async def test_a_new_file_is_swapped_in_whole(export: Export) -> None:
    export.open(max_loss=1)
    export.replace(sealed(GOOD))
    assert isinstance(await export.source.read(SOMEBODY), ScoreRecord)
    assert await export.source.read(ResidentRef("r3")) is None
    export.replace(sealed(HEADER + "r2,700,2026-11-20\nr3,900,2026-11-20\n"))
    await export.source.ping()
    assert await export.source.read(SOMEBODY) is None
    assert isinstance(await export.source.read(ResidentRef("r3")), ScoreRecord)
    assert export.alarms == []


async def test_a_file_that_vanishes_leaves_the_last_one_in_use(export: Export) -> None:
    export.replace(sealed(GOOD))
    await export.source.ping()
    export.file.unlink()
    await export.source.ping()
    assert isinstance(await export.source.read(SOMEBODY), ScoreRecord)
    assert export.alarms == ["export_refused"]
    export.replace(sealed(GOOD + "r3,900,2026-11-20\n"))
    await export.source.ping()
    assert isinstance(await export.source.read(ResidentRef("r3")), ScoreRecord)


@pytest.mark.parametrize("options", [{"max_bytes": 50}, {"max_rows": 1}])
async def test_a_file_beyond_the_bounds_is_refused(export: Export, options: dict[str, int]) -> None:
    export.replace(sealed(GOOD))
    export.open(**options)
    assert (await export.refusal()).reason is Reason.PLATFORM_UNAVAILABLE


async def test_a_pipe_or_folder_in_the_files_place_is_refused(export: Export) -> None:
    os.mkfifo(export.file)
    assert (await export.refusal()).reason is Reason.PLATFORM_UNAVAILABLE
    export.file.unlink()
    export.file.mkdir()
    assert (await export.refusal()).reason is Reason.PLATFORM_UNAVAILABLE


BAD_ROWS = {
    "text": "r1,excellent,2026-11-20\n",
    "fraction": "r1,812.5,2026-11-20\n",
    "huge": "r1,9999999999999999,2026-11-20\n",
    "no time": "r1,812,\n",
    "another time format": "r1,812,20.11.2026\n",
    "twice": "r1,812,2026-11-20\nr1,812,2026-11-20\n",
    "three times": "r1,812,2026-11-20\nr1,,2026-11-20\nr1,812,2026-11-20\n",
    "with and without score": "r1,,2026-11-20\nr1,812,2026-11-20\n",
}


@pytest.mark.parametrize("name", BAD_ROWS)
async def test_a_bad_row_is_that_residents_fault_alone(export: Export, name: str) -> None:
    export.replace(sealed(HEADER + BAD_ROWS[name] + "r9,700,2026-11-20\n"))
    assert (await export.refusal()).reason is Reason.SOURCE_INVALID
    assert isinstance(await export.source.read(ResidentRef("r9")), ScoreRecord)
    assert export.alarms == ["export_rows_bad"]
    assert "r1" not in str(export.logged)


@pytest.mark.parametrize("row", ["r1,812\n", "r1,812,2026-11-20,more\n", ",812,2026-11-20\n", "\n"])
async def test_a_row_that_names_nobody_is_counted_and_left_out(export: Export, row: str) -> None:
    export.replace(sealed(HEADER + row + "r9,700,2026-11-20\n"))
    assert await export.source.read(SOMEBODY) is None
    assert isinstance(await export.source.read(ResidentRef("r9")), ScoreRecord)
    assert export.alarms == ["export_rows_bad"]


async def test_quoted_fields_and_other_columns(export: Export) -> None:
    export.replace(sealed('name,id,"score",at\n"SYNTHETIC, ""one""\nof two lines","r1","812","2026-11-20"\n', 1))
    assert isinstance(await export.source.read(SOMEBODY), ScoreRecord)


async def test_the_readmes_shell_lines_make_a_good_file(export: Export, tmp_path: Path) -> None:
    match = re.search(r"```sh\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert match is not None
    (tmp_path / "scores.csv.new").write_text(GOOD)
    await asyncio.to_thread(subprocess.run, ["/bin/sh", "-euc", match[1]], cwd=tmp_path, check=True, timeout=60)
    assert isinstance(await export.source.read(SOMEBODY), ScoreRecord)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
async def test_the_sandbox_writes_the_standard_export(export: Export, encoding: str) -> None:
    quanzhou.export(PEOPLE, export.file, encoding)
    names = quanzhou.HEADER
    source = export.open(
        fields={"resident": names[0], "score": names[2], "as_of": names[3], "as_of_format": "%Y-%m-%d"}
    )
    assert isinstance(await source.read(ResidentRef(TOP.ref)), ScoreRecord)
    assert [path.name for path in export.file.parent.iterdir()] == ["scores.csv"]


async def test_memory_per_resident_is_what_the_docstring_says(export: Export) -> None:
    count = 20_000
    rows = [(f"synthetic-{number:012d}", number % 1000, f"2026-11-{number % 28 + 1:02d}") for number in range(count)]
    write_export(export.file, ("id", "score", "at"), rows)
    del rows
    tracemalloc.start()
    try:
        await export.source.ping()
        held, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / count < 330
