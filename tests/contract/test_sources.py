"""One suite over every kind of score source, each on a real platform with the same residents."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from adapters.sandbox.residents import STALE_DAYS
from adapters.score import ScoreRecord
from adapters.sources.port import ScoreSource
from adapters.sources.settings import open_source
from gateway.domain.ids import CityId, ResidentRef
from gateway.domain.tier import Concordance, Cut, Source
from gateway.errors import Reason, TiergateError
from tests.fakes.city_platforms import (
    CORRUPT,
    NO_SCORE,
    PEOPLE,
    STALE,
    TOP,
    CityPlatform,
    CsvPlatform,
    HoldablePlatform,
    HttpPlatform,
    ServerPlatform,
    SqlitePlatform,
)

# PyMySQL leaves its socket to the garbage collector where nobody listens.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)
HOLDABLE = ["http", "sqlite", "postgres", "mariadb"]
KINDS = [*HOLDABLE, "csv-utf-8", "csv-utf-8-sig", "csv-gb18030"]
SOURCE = Source("https://example.test/", "2026", "none")


def concordance(*minimums: int) -> Concordance:
    cuts = tuple(Cut(level, minimum, "", SOURCE) for level, minimum in enumerate(minimums, start=1))
    city = CityId("fuzhou")
    return Concordance(city, 1, "分", "score", 0, 1000, "band", cuts, 30, date(2026, 1, 1), None, True, SOURCE, SOURCE)


BANDS = concordance(650, 750, 850)


def ref(text: str) -> ResidentRef:
    return ResidentRef(text)


@pytest.fixture
def make_platform(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], CityPlatform]:
    def make(kind: str) -> CityPlatform:
        match kind:
            case "http":
                return HttpPlatform(tmp_path)
            case "sqlite":
                return SqlitePlatform(tmp_path)
            case "postgres" | "mariadb":
                return ServerPlatform(tmp_path, request.getfixturevalue(kind))
        return CsvPlatform(tmp_path, kind.removeprefix("csv-"))

    return make


@pytest.fixture(params=KINDS)
async def platform(
    request: pytest.FixtureRequest, make_platform: Callable[[str], CityPlatform]
) -> AsyncIterator[CityPlatform]:
    made = make_platform(request.param)
    await made.start()
    yield made
    if not isinstance(made, ServerPlatform):
        await made.stop()
    elif not made.up:
        await made.start()  # the next test finds it up


@pytest.fixture
async def source(platform: CityPlatform) -> AsyncIterator[ScoreSource]:
    opened = open_source(platform.settings())
    yield opened
    await opened.close()


async def reason_of(source: ScoreSource, resident: str) -> TiergateError:
    with pytest.raises(TiergateError) as caught:
        await source.read(ref(resident))
    return caught.value


async def test_every_score_reaches_its_level(source: ScoreSource) -> None:
    expected = {r.ref: BANDS.level_of(r.points) for r in PEOPLE if r.points is not None}
    found = {}
    for resident in expected:
        record = await source.read(ref(resident))
        assert record is not None
        found[resident] = record.score.map(BANDS)
    assert found == expected
    assert set(found.values()) == {0, 1, 2, 3}


async def test_the_time_of_the_score_is_read_in_the_citys_offset(platform: CityPlatform, source: ScoreSource) -> None:
    record = await source.read(ref(TOP.ref))
    assert record is not None
    assert record.as_of.tzinfo is UTC
    age = datetime.now(UTC) - record.as_of
    # a date alone means its first moment in China, up to a day before the moment of computation
    longest = timedelta(days=2, hours=1) if platform.dated else timedelta(days=1, hours=1)
    assert timedelta(days=1) <= age < longest


async def test_a_stale_score_passes_with_its_time(source: ScoreSource) -> None:
    record = await source.read(ref(STALE.ref))
    assert record is not None
    assert record.score.map(BANDS) == 3
    assert datetime.now(UTC) - record.as_of > timedelta(days=STALE_DAYS - 1)


@pytest.mark.parametrize(
    "resident",
    [
        pytest.param("synthetic-fz-9999", id="unknown"),
        pytest.param(NO_SCORE.ref, id="no score"),
        pytest.param("", id="empty"),
        pytest.param(".", id="dot"),
        pytest.param("..", id="parent folder"),
        pytest.param("synthetic-fz-0001/../synthetic-fz-0001", id="path"),
        pytest.param("x' OR '1'='1", id="quotes"),
        pytest.param("synthetic-fz-0001?x=1#y", id="query and fragment"),
        pytest.param("%73ynthetic-fz-0001", id="percent sign"),
        pytest.param("synthetic-fz-0001 ", id="trailing space"),
        pytest.param("synthetic-fz-0001\n", id="line end"),
        pytest.param("synthetic-fz-0001\0", id="nul"),
        pytest.param("居民", id="Chinese"),
        pytest.param("r" * 129, id="too long"),
    ],
)
async def test_nobody_known_and_nothing_known_are_the_same_none(source: ScoreSource, resident: str) -> None:
    assert await source.read(ref(resident)) is None


async def test_a_corrupt_record_is_that_records_fault_alone(source: ScoreSource) -> None:
    error = await reason_of(source, CORRUPT.ref)
    assert error.reason is Reason.SOURCE_INVALID
    assert error.__cause__ is None
    assert error.__context__ is None
    assert CORRUPT.ref not in error.detail
    assert "corrupt" not in error.detail
    assert isinstance(await source.read(ref(TOP.ref)), ScoreRecord)


async def test_readers_at_once_get_each_their_own_record(source: ScoreSource) -> None:
    people = [r for r in PEOPLE if r.points is not None] * 8
    records = await asyncio.gather(*(source.read(ref(r.ref)) for r in people))
    exact = [record.score.map(concordance(r.points or 1)) for r, record in zip(people, records, strict=True) if record]
    above = [
        record.score.map(concordance((r.points or 0) + 1)) for r, record in zip(people, records, strict=True) if record
    ]
    assert exact == [0 if r.points == 0 else 1 for r in people]
    assert above == [0] * len(people)


async def test_a_platform_that_is_down_from_the_start_and_comes_back(platform: CityPlatform) -> None:
    await platform.stop()
    source = open_source(platform.settings())
    with pytest.raises(TiergateError) as caught:
        await source.ping()
    assert caught.value.reason is Reason.PLATFORM_UNAVAILABLE
    error = await reason_of(source, TOP.ref)
    assert error.reason is Reason.PLATFORM_UNAVAILABLE
    assert error.retry_after_s is not None
    assert error.retry_after_s > 0
    assert error.__context__ is None
    assert TOP.ref not in error.detail
    await platform.start()
    await source.ping()
    assert isinstance(await source.read(ref(TOP.ref)), ScoreRecord)
    await source.close()


async def test_an_outage_in_between_ends_with_the_outage(platform: CityPlatform, source: ScoreSource) -> None:
    assert isinstance(await source.read(ref(TOP.ref)), ScoreRecord)
    await platform.stop()
    if isinstance(platform, CsvPlatform):  # an export that is being replaced is not an outage
        assert isinstance(await source.read(ref(TOP.ref)), ScoreRecord)
    else:
        assert (await reason_of(source, TOP.ref)).reason is Reason.PLATFORM_UNAVAILABLE
    await platform.start()
    assert isinstance(await source.read(ref(TOP.ref)), ScoreRecord)


async def test_ping_needs_no_known_resident(source: ScoreSource) -> None:
    await source.ping()


async def test_a_closed_source_answers_nobody(source: ScoreSource) -> None:
    await source.read(ref(TOP.ref))
    await source.close()
    await source.close()
    assert (await reason_of(source, TOP.ref)).reason is Reason.PLATFORM_UNAVAILABLE


async def test_a_record_does_not_go_into_a_pickle(source: ScoreSource) -> None:
    record = await source.read(ref(TOP.ref))
    with pytest.raises(TypeError):
        pickle.dumps(record)


@pytest.mark.parametrize("platform", HOLDABLE, indirect=True)
async def test_a_platform_that_never_answers_costs_the_deadline_and_no_more(platform: CityPlatform) -> None:
    assert isinstance(platform, HoldablePlatform)
    source = open_source(platform.settings(deadline_s=0.3))
    async with platform.held():
        error = await reason_of(source, TOP.ref)
    assert error.reason is Reason.PLATFORM_UNAVAILABLE
    await source.close()
    patient = open_source(platform.settings())
    assert isinstance(await patient.read(ref(TOP.ref)), ScoreRecord)
    await patient.close()


@pytest.mark.parametrize("platform", HOLDABLE, indirect=True)
async def test_a_reader_that_goes_away_leaves_the_source_usable(platform: CityPlatform, source: ScoreSource) -> None:
    assert isinstance(platform, HoldablePlatform)
    async with platform.held():
        gone = [asyncio.create_task(source.read(ref(TOP.ref))) for _ in range(8)]
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        assert all(isinstance(r, asyncio.CancelledError) for r in await asyncio.gather(*gone, return_exceptions=True))
    assert isinstance(await source.read(ref(TOP.ref)), ScoreRecord)


@pytest.mark.parametrize("platform", HOLDABLE, indirect=True)
async def test_repeated_faults_stop_the_asking(platform: CityPlatform) -> None:
    await platform.stop()
    source = open_source(platform.settings(breaker_failures=2, breaker_open_s=300.0))
    for resident in (TOP.ref, "synthetic-nobody"):
        assert "not asked" not in (await reason_of(source, resident)).detail
    error = await reason_of(source, TOP.ref)
    assert "not asked" in error.detail
    assert error.retry_after_s is not None
    assert 0 < error.retry_after_s <= 300
    await platform.start()
    await source.ping()  # a look at the platform is never refused
    await source.close()
