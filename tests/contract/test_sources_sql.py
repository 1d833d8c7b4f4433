"""What only databases can meet: the city's own query, types, two rows, writes, runaway statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.sandbox import xiamen
from adapters.score import ScoreRecord
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason, TiergateError
from tests.fakes.city_platforms import CORRUPT, PEOPLE, TOP, CityPlatform, ServerPlatform, SqlitePlatform, opened

SERVERS = ["postgres", "mariadb"]
ALL = ["sqlite", *SERVERS]
SOMEBODY = ResidentRef(TOP.ref)
COLUMNS = "resident_no, egret_points, computed_on"
ENDLESS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT :resident AS resident_no, max(i) AS egret_points, '2026-11-20' AS computed_on FROM n",
    "postgres": "SELECT :resident AS resident_no, 1 AS egret_points, pg_sleep(3600)::text AS computed_on",
    "mariadb": "SELECT :resident AS resident_no, SLEEP(3600) AS egret_points, '2026-11-20' AS computed_on",
}


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], CityPlatform]:
    def make(kind: str) -> CityPlatform:
        if kind == "sqlite":
            return SqlitePlatform(tmp_path)
        return ServerPlatform(tmp_path, request.getfixturevalue(kind))

    return make


@pytest.fixture(params=ALL)
async def platform(request: pytest.FixtureRequest, make: Callable[[str], CityPlatform]) -> CityPlatform:
    platform = make(request.param)
    await platform.start()
    return platform


async def failure(platform: CityPlatform, resident: str = TOP.ref, **options: Any) -> TiergateError:
    async with opened(platform, **options) as source:
        with pytest.raises(TiergateError) as caught:
            await source.read(ResidentRef(resident))
    assert resident not in caught.value.detail
    assert caught.value.__context__ is None
    return caught.value


def rows_in(platform: CityPlatform) -> int:
    if isinstance(platform, ServerPlatform):
        engine = sa.create_engine(platform.server.url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            return int(connection.execute(sa.text("SELECT count(*) FROM egret_score")).scalar_one())
    connection_ = sqlite3.connect(platform.folder / "scores.sqlite3")
    try:
        return int(connection_.execute("SELECT count(*) FROM egret_score").fetchone()[0])
    finally:
        connection_.close()


async def test_two_rows_for_one_resident_are_a_bad_record(platform: CityPlatform) -> None:
    query = f"SELECT {COLUMNS} FROM egret_score WHERE resident_no <> :resident"  # noqa: S608  # constants
    assert (await failure(platform, query=query)).reason is Reason.SOURCE_INVALID


@pytest.mark.parametrize("platform", ["sqlite"], indirect=True)
@pytest.mark.parametrize("column", ["egret_points", "computed_on"])
async def test_text_that_is_not_utf8_is_that_records_fault(platform: CityPlatform, column: str) -> None:
    bad = COLUMNS.replace(column, f"CAST(x'323032ff' AS TEXT) AS {column}")
    query = f"SELECT {bad} FROM egret_score WHERE resident_no = :resident"  # noqa: S608  # constants
    assert (await failure(platform, query=query)).reason is Reason.SOURCE_INVALID


async def test_somebody_elses_row_is_a_bad_record(platform: CityPlatform) -> None:
    query = f"SELECT {COLUMNS} FROM egret_score WHERE resident_no > :resident ORDER BY resident_no LIMIT 1"  # noqa: S608
    assert (await failure(platform, query=query)).reason is Reason.SOURCE_INVALID


@pytest.mark.parametrize("platform", ["mariadb"], indirect=True)
async def test_a_database_that_ignores_case_gives_nobody_anothers_score(platform: CityPlatform) -> None:
    assert (await failure(platform, TOP.ref.upper())).reason is Reason.SOURCE_INVALID


@pytest.mark.parametrize(
    "query",
    [
        "SELECT resident_no, egret_points FROM egret_score WHERE resident_no = :resident",
        "SELECT * FROM no_such_table WHERE resident_no = :resident",
        "SELEC * FROM egret_score WHERE resident_no = :resident",
    ],
    ids=["a column is missing", "the table is missing", "no SQL"],
)
async def test_a_query_that_cannot_work_is_no_residents_fault(platform: CityPlatform, query: str) -> None:
    assert (await failure(platform, query=query)).reason is Reason.PLATFORM_UNAVAILABLE


async def test_ping_tells_what_is_wrong_with_the_query(platform: CityPlatform) -> None:
    async with opened(platform, query="SELECT * FROM no_such_table WHERE resident_no = :resident") as source:
        with pytest.raises(TiergateError) as caught:
            await source.ping()
    assert caught.value.reason is Reason.PLATFORM_UNAVAILABLE
    assert "no_such_table" in caught.value.detail


async def test_a_query_that_writes_is_refused_by_the_database(platform: CityPlatform) -> None:
    before = rows_in(platform)
    query = f"DELETE FROM egret_score WHERE resident_no = :resident RETURNING {COLUMNS}"  # noqa: S608
    assert (await failure(platform, query=query)).reason is Reason.PLATFORM_UNAVAILABLE
    assert rows_in(platform) == before == len(PEOPLE)


async def test_a_runaway_query_is_ended_by_the_database_and_frees_its_thread(
    request: pytest.FixtureRequest, platform: CityPlatform
) -> None:
    kind = request.node.callspec.params["platform"]
    async with opened(platform, query=ENDLESS[kind], deadline_s=0.2, pool_size=1) as source:
        with pytest.raises(TiergateError) as caught:
            await source.read(SOMEBODY)
        assert caught.value.reason is Reason.PLATFORM_UNAVAILABLE
        # the only thread comes back: the next statement fails in the database again, not in the queue for ever
        workers = source._workers  # type: ignore[attr-defined]
        assert await workers.run(lambda: "free") == "free"


@pytest.mark.parametrize("platform", ["postgres"], indirect=True)
async def test_a_value_that_the_database_cannot_cast_is_that_records_fault(platform: CityPlatform) -> None:
    query = (
        "SELECT resident_no, egret_points::int AS egret_points, computed_on::timestamp AS computed_on "
        "FROM egret_score WHERE resident_no = :resident"
    )
    error = await failure(platform, CORRUPT.ref, query=query)
    assert error.reason is Reason.SOURCE_INVALID
    async with opened(platform, query=query) as source:
        record = await source.read(SOMEBODY)
    assert isinstance(record, ScoreRecord)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("postgres", f"'{'9' * 5000}'::jsonb"),
        ("postgres", f"'{'[' * 3000}{']' * 3000}'::json"),
        ("postgres", "'infinity'::timestamp"),
        ("postgres", "'12000-01-01'::date"),
        ("mariadb", "1e308 * length(resident_no) * length(resident_no)"),
        ("mariadb", "~0 + length(resident_no)"),
        ("mariadb", "CAST('0000-00-00' AS DATETIME)"),
        ("sqlite", "abs(-9223372036854775807 - (length(resident_no) > 0))"),
        ("sqlite", "json_extract(resident_no, '$.points')"),
        ("sqlite", "zeroblob(2000000000)"),
        ("sqlite", "9e999"),
    ],
    ids=lambda value: value[:40],
)
@pytest.mark.parametrize("column", ["egret_points", "computed_on"])
async def test_a_value_that_nobody_can_compute_or_hold_is_that_records_fault(
    make: Callable[[str], CityPlatform], kind: str, value: str, column: str
) -> None:
    platform = make(kind)
    await platform.start()
    hers = f"CASE WHEN resident_no = '{TOP.ref}' THEN {value} END"
    columns = COLUMNS.replace(column, f"{hers} AS {column}".replace(":", "\\:"))
    query = f"SELECT {columns} FROM egret_score WHERE resident_no = :resident"  # noqa: S608  # constants
    async with opened(platform, query=query, pool_size=1, breaker_failures=1) as source:
        with pytest.raises(TiergateError) as caught:
            await source.read(SOMEBODY)
        assert caught.value.reason is Reason.SOURCE_INVALID
        assert caught.value.__context__ is None
        if column == "egret_points":
            assert await source.read(ResidentRef(PEOPLE[1].ref)) is None  # asked, and without a score in this query


@pytest.mark.parametrize(
    ("kind", "score", "as_of", "time"),
    [
        ("postgres", "812::numeric(6,2)", "'2026-11-20T20:00:00'::timestamp", "2026-11-20T12:00:00+00:00"),
        ("postgres", "812::smallint", "'2026-11-20T20:00:00+09'::timestamptz", "2026-11-20T11:00:00+00:00"),
        ("postgres", "812::double precision", "'2026-11-20'::date", "2026-11-19T16:00:00+00:00"),
        (
            "mariadb",
            "CAST(812 AS DECIMAL(6,2))",
            "CAST('2026-11-20 20:00:00' AS DATETIME)",
            "2026-11-20T12:00:00+00:00",
        ),
        ("mariadb", "812", "DATE('2026-11-20')", "2026-11-19T16:00:00+00:00"),
        ("sqlite", "812.0", "'2026-11-20 20:00:00'", "2026-11-20T12:00:00+00:00"),
    ],
)
async def test_the_databases_own_types(
    make: Callable[[str], CityPlatform], kind: str, score: str, as_of: str, time: str
) -> None:
    platform = make(kind)
    await platform.start()
    query = f"SELECT resident_no, {score} AS egret_points, {as_of} AS computed_on FROM egret_score"  # noqa: S608
    async with opened(platform, query=f"{query} WHERE resident_no = :resident") as source:
        record = await source.read(SOMEBODY)
    assert record is not None
    assert record.as_of == datetime.fromisoformat(time).astimezone(UTC)


async def test_a_sqlite_file_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    platform = SqlitePlatform(tmp_path)
    await platform.start()
    async with opened(platform) as source:
        assert isinstance(await source.read(SOMEBODY), ScoreRecord)
        xiamen.seed(PEOPLE[1:], tmp_path / "scores.sqlite3")
        assert await source.read(SOMEBODY) is None


async def test_a_file_that_is_no_database_is_the_platforms_fault(tmp_path: Path) -> None:
    (tmp_path / "scores.sqlite3").write_text("not a database, but long enough to be asked for its header" * 20)
    assert (await failure(SqlitePlatform(tmp_path))).reason is Reason.PLATFORM_UNAVAILABLE


async def test_reading_makes_no_file(tmp_path: Path) -> None:
    assert (await failure(SqlitePlatform(tmp_path))).reason is Reason.PLATFORM_UNAVAILABLE
    assert not (tmp_path / "scores.sqlite3").exists()
