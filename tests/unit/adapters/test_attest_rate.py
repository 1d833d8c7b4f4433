"""A city answers so often about one consent and no more, whoever asks and whatever the answer would be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.config import Limits
from gateway.config import Limits as GatewayLimits
from gateway.errors import Reason, TiergateError
from gateway.rates import KeyRates
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.network import Network
from tests.unit.adapters.conftest import refuses

BURST = 5


@pytest.fixture
async def city(tmp_path: Path) -> AsyncIterator[FakeCity]:
    rates = KeyRates(per_h=12.0, burst=BURST, max_keys=100)
    async with FakeCity(Network(), tmp_path, rates=rates) as found:
        yield found


@pytest.mark.parametrize("status", ["entitled", "below", "withdrawn"])
async def test_beyond_the_burst_nobody_is_answered_about(city: FakeCity, status: str) -> None:
    granted = await city.grant(uses=50)
    if status == "below":
        city.source.know(RESIDENT, 100)
    if status == "withdrawn":
        await city.authority.change(RESIDENT, granted.id, "withdraw")
    for _ in range(BURST):
        await city.answer(granted.token)
    reads = len(city.source.reads)
    with refuses(Reason.RATE_LIMITED):
        await city.answer(granted.token)
    assert len(city.source.reads) == reads  # no record is opened for nothing
    city.clock.advance(300)
    await city.answer(granted.token)
    with refuses(Reason.RATE_LIMITED):
        await city.answer(granted.token)


async def test_a_retry_is_free_and_a_renewed_answer_is_not(city: FakeCity) -> None:
    granted = await city.grant(uses=50)
    question = city.question(granted.token)
    first = await city.attester.answer(question)
    for _ in range(3 * BURST):
        assert await city.attester.answer(question) == first
    for _ in range(BURST - 1):
        await city.answer(granted.token)
    assert await city.attester.answer(question) == first
    city.clock.advance(299.5)
    with refuses(Reason.RATE_LIMITED):
        await city.answer(granted.token)


async def test_a_batch_is_no_way_around_it(city: FakeCity) -> None:
    granted, other = await city.grant(uses=50), await city.grant(uses=50)
    questions = [city.question(granted.token) for _ in range(BURST + 2)]
    answers = await city.attester.answer_many([*questions, city.question(other.token)])
    refused = [item.reason for item in answers if isinstance(item, TiergateError)]
    assert refused == [Reason.RATE_LIMITED] * 2
    assert isinstance(answers[-1], str)


async def test_what_gets_no_answer_is_not_counted(city: FakeCity) -> None:
    granted = await city.grant(uses=50)
    city.source.fault = TiergateError(Reason.PLATFORM_UNAVAILABLE)
    for _ in range(3 * BURST):
        with refuses(Reason.PLATFORM_UNAVAILABLE):
            await city.answer(granted.token)
    city.source.fault = None
    for _ in range(BURST):
        await city.answer(granted.token)
    with refuses(Reason.RATE_LIMITED):
        await city.answer(granted.token)


async def test_no_consent_pays_for_another(city: FakeCity) -> None:
    one, two = await city.grant(uses=50), await city.grant(uses=50)
    await asyncio.gather(*(city.answer(one.token) for _ in range(BURST)))
    await city.answer(two.token)


def test_a_gateway_that_keeps_its_own_limit_does_not_meet_the_citys() -> None:
    city, gateway = Limits(), GatewayLimits()
    assert city.per_consent_per_h > gateway.per_consent_per_h
    assert city.consent_burst > gateway.consent_burst
