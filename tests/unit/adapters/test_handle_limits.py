"""Guessed codes are bounded by operator; batches hold codes and tokens in any order."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.attest import MAX_BATCH
from adapters.handles import Attested
from adapters.store.attestations import Tidy
from adapters.store.handles import MISSES_PER_HOUR
from gateway.crypto.consent import new_id
from gateway.domain.ids import RequestId
from gateway.errors import Reason, TiergateError
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.network import Network
from tests.unit.adapters.conftest import refuses
from tests.unit.adapters.test_handles import AT_PARKING, UNKNOWN, _asks, _misses, _redeem


async def _miss(city: FakeCity, times: int, **changes: Any) -> Counter[Reason]:
    questions = [_asks(city, f"fuzhou-{number:0>12}", **changes) for number in range(times)]
    results = await asyncio.gather(*map(city.presentations.answer, questions), return_exceptions=True)
    return Counter(item.reason for item in results if isinstance(item, TiergateError))


async def test_an_operator_that_guesses_is_stopped_for_every_code(city: FakeCity) -> None:
    issued = await city.issue(lifetime_s=3600)
    at_once = await _miss(city, MISSES_PER_HOUR + 40)
    assert at_once == {Reason.HANDLE_INVALID: MISSES_PER_HOUR, Reason.RATE_LIMITED: 40}
    with pytest.raises(TiergateError) as caught:
        await _redeem(city, issued.handle.text)  # a right one tells no more than a wrong one
    assert caught.value.reason is Reason.RATE_LIMITED
    assert caught.value.retry_after_s == 3600 / MISSES_PER_HOUR
    assert city.alarms.raised["handles_guessed"] == 41
    city.clock.advance(3600 // MISSES_PER_HOUR)
    assert (await _redeem(city, issued.handle.text))[0] == 1
    assert await _miss(city, 3) == {Reason.HANDLE_INVALID: 1, Reason.RATE_LIMITED: 2}


async def test_others_are_not_stopped_with_it(city: FakeCity) -> None:
    await _miss(city, MISSES_PER_HOUR + 1)
    issued = await city.issue(**AT_PARKING)
    assert (await _redeem(city, issued.handle.text, **AT_PARKING))[0] == 1
    granted = await city.grant()
    assert (await city.answer(granted.token)).rung == 1


async def test_the_limit_outlives_a_restart_and_ends_with_the_hour(network: Network, tmp_path: Path) -> None:
    async with FakeCity(network, tmp_path) as before:
        await _miss(before, MISSES_PER_HOUR)
    async with FakeCity(network, tmp_path) as after:
        assert await _miss(after, 1) == {Reason.RATE_LIMITED: 1}
        after.clock.advance(3600)
        await after.store.submit(Tidy(after.now_s))
        assert _misses(after) == 0
        assert (await _miss(after, MISSES_PER_HOUR + 1))[Reason.RATE_LIMITED] == 1


async def test_a_clock_that_is_set_back_locks_nobody_out_for_longer(city: FakeCity) -> None:
    await _miss(city, MISSES_PER_HOUR)
    city.clock.advance(-86_400)
    with pytest.raises(TiergateError) as caught:
        await _redeem(city, UNKNOWN)
    assert caught.value.retry_after_s == 3600 / MISSES_PER_HOUR


# -- batches


async def test_a_batch_may_hold_both_in_any_order(city: FakeCity) -> None:
    one, two, granted = await city.issue(), await city.issue(), await city.grant(uses=1)
    questions = [
        _asks(city, one.handle.text),
        city.question(granted.token),
        _asks(city, UNKNOWN),
        city.question(granted.token),
        _asks(city, one.handle.text),
        city.question("not.a.token-at-all"),
        _asks(city, two.handle.text),
    ]
    results = await city.presentations.answer_many(questions)
    told = [item.reason if isinstance(item, TiergateError) else bool(item.redeemed_token) for item in results]
    assert told == [
        True,
        False,
        Reason.HANDLE_INVALID,
        Reason.USES_EXHAUSTED,
        Reason.HANDLE_INVALID,
        Reason.TOKEN_MALFORMED,
        True,
    ]
    for place in (0, 6):
        answer = results[place]
        assert isinstance(answer, Attested)
        city.verified(answer.attestation, replace(questions[place], token=answer.redeemed_token))


async def test_a_batch_that_is_too_large_redeems_nothing(city: FakeCity) -> None:
    with refuses(Reason.BATCH_TOO_LARGE):
        await city.presentations.answer_many([_asks(city, UNKNOWN)] * (MAX_BATCH + 1))
    assert _misses(city) == 0


async def test_one_request_id_redeems_one_code(city: FakeCity) -> None:
    request_id = RequestId(new_id())
    codes = [(await city.issue()).handle.text for _ in range(2)]
    results = await city.presentations.answer_many([_asks(city, code, request_id=request_id) for code in codes])
    reasons = [item.reason for item in results if isinstance(item, TiergateError)]
    assert reasons == [Reason.REQUEST_CONFLICT]
    assert sorted(view.listed.life.spent for view in city.authority.list(RESIDENT, 0)) == [0, 1]
