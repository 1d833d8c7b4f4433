"""How uses are counted, and what a retry costs: nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.clock import DAY_S
from adapters.store.attestations import Tidy
from gateway.crypto.consent import new_id
from gateway.domain.ids import EVALUATED_S, REQUEST_KEPT_S, BundleDigest, RequestId
from gateway.errors import Reason, TiergateError
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.network import PARKING, XIAMEN_PARKING, Network, going_by
from tests.unit.adapters.conftest import refuses


async def test_a_retry_gets_the_same_attestation_and_spends_no_use(city: FakeCity) -> None:
    granted = await city.grant(uses=1)
    question = city.question(granted.token)
    first = await city.attester.answer(question)
    reads = len(city.source.reads)
    assert await city.attester.answer(question) == first
    assert len(city.source.reads) == reads
    with refuses(Reason.USES_EXHAUSTED):
        await city.answer(granted.token)


async def test_a_retry_after_the_attestation_has_ended_gets_a_fresh_one_and_spends_no_use(city: FakeCity) -> None:
    granted = await city.grant(uses=1)
    question = city.question(granted.token)
    first = await city.attester.answer(question)
    city.clock.advance(301)
    second = await city.attester.answer(question)
    assert second != first
    assert city.verified(second, question).rung == 1


async def test_concurrent_retries_of_one_request_spend_one_use(city: FakeCity) -> None:
    granted = await city.grant(uses=2)
    question = city.question(granted.token)
    answers = await asyncio.gather(*(city.attester.answer(question) for _ in range(20)))
    assert len(set(answers)) == 1
    (view,) = city.authority.list(RESIDENT, 0)
    assert view.listed.life.spent == 1


async def test_the_count_is_exact_when_everybody_comes_at_once(city: FakeCity) -> None:
    granted = await city.grant(uses=10)
    questions = [city.question(granted.token) for _ in range(100)]
    results = await asyncio.gather(*map(city.attester.answer, questions), return_exceptions=True)
    reasons = Counter(item.reason if isinstance(item, TiergateError) else "attested" for item in results)
    assert reasons == {"attested": 10, Reason.USES_EXHAUSTED: 90}


async def test_a_request_id_used_for_another_token_is_a_conflict(city: FakeCity) -> None:
    one, two = await city.grant(), await city.grant()
    question = city.question(one.token)
    await city.attester.answer(question)
    with refuses(Reason.REQUEST_CONFLICT):
        await city.attester.answer(city.question(two.token, request_id=question.request_id))


async def test_a_request_id_lost_to_another_token_in_the_same_moment_is_a_conflict(city: FakeCity) -> None:
    one, two = await city.grant(), await city.grant()
    question = city.question(one.token)
    results = await asyncio.gather(
        city.attester.answer(question),
        city.attester.answer(city.question(two.token, request_id=question.request_id)),
        return_exceptions=True,
    )
    (error,) = [item for item in results if isinstance(item, TiergateError)]
    assert error.reason is Reason.REQUEST_CONFLICT
    spent = sorted(view.listed.life.spent for view in city.authority.list(RESIDENT, 0))
    assert spent == [0, 1]


async def test_request_ids_of_two_operators_do_not_meet(city: FakeCity) -> None:
    request_id = RequestId(new_id())
    library = await city.grant()
    parking = await city.grant(operator=XIAMEN_PARKING, scenario=PARKING)
    await city.answer(library.token, request_id=request_id)
    await city.answer(parking.token, request_id=request_id, operator=XIAMEN_PARKING, scenario=PARKING)


async def test_a_known_request_needs_no_fresh_proof(city: FakeCity) -> None:
    granted = await city.grant(uses=0, bound=True)
    proof = city.network.proof(granted.token, now_s=city.now_s)
    question = city.question(granted.token, proof=proof)
    await city.attester.answer(question)
    city.clock.advance(400)
    assert city.verified(await city.attester.answer(question), question).rung == 1
    with refuses(Reason.PROOF_STALE):
        await city.answer(granted.token, proof=proof)


async def test_a_known_request_under_a_newer_bundle_is_answered_anew(city: FakeCity) -> None:
    granted = await city.grant(uses=1)
    question = city.question(granted.token)
    await city.attester.answer(question)
    newer = BundleDigest("cd" * 32)
    city.reference = going_by(city.reference, replace(city.reference.bundle, digest=newer))
    with refuses(Reason.BUNDLE_MISMATCH):
        await city.attester.answer(question)
    asked = replace(question, bundle=newer)
    assert city.verified(await city.attester.answer(asked), asked).bundle == newer


async def test_a_platform_that_cannot_answer_costs_nothing(city: FakeCity) -> None:
    granted = await city.grant(uses=1)
    question = city.question(granted.token)
    city.source.fault = TiergateError(Reason.PLATFORM_UNAVAILABLE, "scripted", retry_after_s=5)
    with refuses(Reason.PLATFORM_UNAVAILABLE):
        await city.attester.answer(question)
    city.source.fault = None
    assert city.verified(await city.attester.answer(question), question).rung == 1


async def test_a_retry_after_a_crash_before_the_reply_spends_no_second_use(network: Network, tmp_path: Path) -> None:
    async with FakeCity(network, tmp_path) as before:
        before.source.know(RESIDENT, 900)
        granted = await before.grant(uses=1)
        question = before.question(granted.token)
        lost = await before.attester.answer(question)  # committed; the reply never arrives
    async with FakeCity(network, tmp_path) as after:
        after.source.know(RESIDENT, 900)
        assert await after.attester.answer(question) == lost
        with refuses(Reason.USES_EXHAUSTED):
            await after.answer(granted.token)


async def test_a_caller_that_gives_up_finds_its_answer_on_retry(city: FakeCity) -> None:
    granted = await city.grant(uses=1)
    question = city.question(granted.token)
    city.source.gate = asyncio.Event()
    asking = asyncio.create_task(city.attester.answer(question))
    await city.source.asked(1)
    asking.cancel()
    city.source.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert city.verified(await city.attester.answer(question), question).rung == 1


async def test_no_record_is_read_for_a_token_without_uses_left(city: FakeCity) -> None:
    granted = await city.grant(uses=1)
    await city.answer(granted.token)
    reads = list(city.source.reads)
    with refuses(Reason.USES_EXHAUSTED):
        await city.answer(granted.token)
    assert city.source.reads == reads


async def test_a_request_is_attested_anew_for_ten_minutes_and_then_no_more(city: FakeCity) -> None:
    granted = await city.grant(uses=2)
    question = city.question(granted.token)
    await city.attester.answer(question)
    city.clock.advance(EVALUATED_S - 1)
    city.source.forget(RESIDENT)
    assert city.verified(await city.attester.answer(question), question).rung == 0
    city.clock.advance(300)  # beyond the ten minutes, while the newest attestation lasts
    reads = len(city.source.reads)
    for _ in range(2):
        with refuses(Reason.REQUEST_ENDED):
            await city.attester.answer(question)
        await city.store.submit(Tidy(city.now_s))  # what is left of the request says the same
    assert len(city.source.reads) == reads
    (view,) = city.authority.list(RESIDENT, 0)
    assert view.listed.life.spent == 1


async def test_one_use_is_never_spent_twice_by_one_request_while_either_side_keeps_it(city: FakeCity) -> None:
    """A retry makes a request no older here, as it makes it no older at the gateway."""
    granted = await city.grant(uses=2)
    question = city.question(granted.token)
    await city.attester.answer(question)
    city.clock.advance(500)
    await city.attester.answer(question)
    city.clock.advance(REQUEST_KEPT_S - 501)
    await city.store.submit(Tidy(city.now_s))
    with refuses(Reason.REQUEST_ENDED):
        await city.attester.answer(question)
    (view,) = city.authority.list(RESIDENT, 0)
    assert view.listed.life.spent == 1


async def test_of_a_journey_the_ten_minutes_begin_with_the_end_of_its_day(city: FakeCity) -> None:
    """No finer time is kept of it, so that what is kept shows no movement."""
    granted = await city.grant(operator=XIAMEN_PARKING, scenario=PARKING, lifetime_s=2 * DAY_S)
    question = city.question(granted.token, operator=XIAMEN_PARKING, scenario=PARKING)
    await city.attester.answer(question)
    city.clock.advance(DAY_S - city.now_s % DAY_S + EVALUATED_S - 1)
    await city.attester.answer(question)
    city.clock.advance(300)
    with refuses(Reason.REQUEST_ENDED):
        await city.attester.answer(question)
