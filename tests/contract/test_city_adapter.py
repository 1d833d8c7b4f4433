"""What every city's adapter must do, whatever its platform: red for a new city until its platform stands here.

Each city of ``policies/cities`` is run whole, with the real store, attester and source, against its sandbox platform.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.consult import Platform
from adapters.sandbox.residents import CUTS
from adapters.sources.settings import open_source
from gateway.clock import SystemClock
from gateway.domain.ids import CityId, ResidentRef
from gateway.errors import Reason, TiergateError
from tests.fakes.city import FakeCity
from tests.fakes.city_platforms import (
    CORRUPT,
    NO_SCORE,
    PEOPLE,
    STALE,
    TOP,
    CityPlatform,
    CsvPlatform,
    HttpPlatform,
    SqlitePlatform,
)
from tests.fakes.clock import FakeClock
from tests.fakes.network import POLICIES, Network

LOWEST = PEOPLE[8]
Fault = Callable[[Any], contextlib.AbstractAsyncContextManager[None]]


def _answering(status: int, body: bytes) -> Fault:
    """The HTTP platform answers this to everything."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": body})

    @contextlib.asynccontextmanager
    async def fault(platform: HttpPlatform) -> AsyncIterator[None]:
        answering: ASGIApp = application
        platform.app.fault = answering
        yield
        platform.app.fault = None

    return fault


def _file(name: str, content: bytes | None) -> Fault:
    """The platform's file holds this, or is away."""

    @contextlib.asynccontextmanager
    async def fault(platform: CityPlatform) -> AsyncIterator[None]:
        await platform.stop()
        path = platform.folder / name
        if content is not None:
            path.write_bytes(content)
        yield
        path.unlink(missing_ok=True)
        await platform.start()

    return fault


@contextlib.asynccontextmanager
async def _half_written(platform: CityPlatform) -> AsyncIterator[None]:
    """The export of a platform that is still writing it: its end is missing."""
    path = platform.folder / "scores.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    yield
    await platform.start()


@dataclass(frozen=True)
class City:
    """A city's sandbox platform, and how it goes wrong: each fault is one of the platform as a whole."""

    platform: Callable[[Path], CityPlatform]
    faults: Mapping[str, Fault]


HUGE = 200_000
EXPORT = City(
    lambda folder: CsvPlatform(folder, "gb18030"),
    {
        "slow": _half_written,
        "oversize": _file("scores.csv", b"x" * HUGE),
        "garbage": _file("scores.csv", bytes(range(256)) * 8),
        "refusal": _file("scores.csv", None),
    },
)
"""The platform of every city that has none of its own."""
CITIES: dict[str, City] = {
    "fuzhou": City(
        HttpPlatform,
        {
            "slow": lambda platform: platform.held(),
            "oversize": _answering(200, b'{"data": "' + b"x" * HUGE + b'"}'),
            "garbage": _answering(200, b"<html>maintenance</html>"),
            "refusal": _answering(403, b"{}"),
        },
    ),
    "xiamen": City(
        SqlitePlatform,
        {
            "slow": lambda platform: platform.held(),
            "oversize": _file("scores.sqlite3", b"SQLite format 3\0" + b"x" * HUGE),
            "garbage": _file("scores.sqlite3", b"no database at all"),
            "refusal": _file("scores.sqlite3", None),
        },
    ),
}
CITIES |= {city: EXPORT for city in CUTS if city not in CITIES}
KNOWN = sorted(path.stem for path in (POLICIES / "cities").glob("*.toml") if not path.name.endswith(".cases.toml"))
BEHAVIOURS = ("slow", "oversize", "garbage", "refusal")


def test_every_city_with_a_policy_stands_here() -> None:
    assert sorted(CITIES) == KNOWN
    assert all(set(city.faults) == set(BEHAVIOURS) for city in CITIES.values())


class Running:
    """One city's adapter on its own platform."""

    def __init__(self, city: FakeCity, platform: CityPlatform) -> None:
        self.city = city
        self.platform = platform

    def reopen(self, **options: Any) -> None:
        """Read the platform anew, as after a restart."""
        settings = self.platform.settings(**options)
        self.city.platform = self.city.attester._platform = Platform(
            open_source(settings),
            decoy=ResidentRef(TOP.ref),
            deadline_s=20,
            alarms=self.city.alarms,
            metrics=self.city.metrics,
            clock=self.city.clock,
        )

    async def rung(self, resident: str) -> int:
        granted = await self.city.grant(ResidentRef(resident))
        return (await self.city.answer(granted.token)).rung


@pytest.fixture(params=KNOWN)
async def running(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Running]:
    folder = tmp_path / "platform"
    folder.mkdir()
    platform = CITIES[request.param].platform(folder)
    await platform.start()
    clock = FakeClock(SystemClock().now_ms())
    network = Network(now_s=clock.now_ms() // 1000)
    async with FakeCity(network, tmp_path, city=CityId(request.param), clock=clock) as city:
        found = Running(city, platform)
        found.reopen()
        yield found
        await city.platform.close()
    await platform.stop()


async def test_success_is_the_rung_that_the_score_reaches(running: Running) -> None:
    assert await running.rung(TOP.ref) == 1
    assert await running.rung(LOWEST.ref) == 0
    assert not any(running.city.alarms.raised.values())


async def test_nobody_and_no_score_are_the_uniform_no_without_an_alarm(running: Running) -> None:
    assert await running.rung("unknown-to-everybody") == 0
    assert await running.rung(NO_SCORE.ref) == 0
    assert not any(running.city.alarms.raised.values())


async def test_a_bad_and_a_stale_record_are_the_uniform_no_with_an_alarm(running: Running) -> None:
    assert await running.rung(CORRUPT.ref) == 0
    assert running.city.alarms.raised["bad_record"] == 1
    assert await running.rung(STALE.ref) == 0
    assert running.city.alarms.raised["stale_record"] == 1


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
async def test_a_platform_in_trouble_costs_nobody_a_use_and_is_asked_again(running: Running, behaviour: str) -> None:
    city = running.city
    granted = await city.grant(ResidentRef(TOP.ref), uses=1)
    question = city.question(granted.token)
    limits: dict[str, Any] = {"deadline_s": 0.3} if behaviour == "slow" else {}
    if behaviour == "oversize" and city.id != "xiamen":  # a database's rows are bounded by the query
        limits = {"max_bytes": HUGE // 2}
    await city.platform.close()
    async with CITIES[city.id].faults[behaviour](running.platform):
        running.reopen(**limits)
        with pytest.raises(TiergateError) as caught:
            await city.attester.answer(question)
        assert caught.value.reason is Reason.PLATFORM_UNAVAILABLE
        assert caught.value.retry_after_s
        assert TOP.ref not in caught.value.detail
        await city.platform.close()
    running.reopen()
    assert city.verified(await city.attester.answer(question), question).rung == 1
