"""One consent cannot be polled; what is counted is the same whatever the answer would be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.decision import Decision, Outcome
from gateway.domain.ids import OperatorId
from gateway.errors import Reason, TiergateError
from gateway.ports import DecisionDraft
from gateway.services.check import CheckAnswer
from tests.fakes.world import FUZHOU
from tests.unit.services.bench_of_checks import BURST, PER_H, Bench, bench, refused

__all__ = ["bench"]  # a fixture

INTERVAL_S = 3600 / PER_H
UNLIMITED, COUNTED = None, 50
either_way = pytest.mark.parametrize("uses", [UNLIMITED, COUNTED], ids=["cached", "round-trip"])


@either_way
async def test_one_consent_is_asked_about_so_often_and_no_more(bench: Bench, uses: int | None) -> None:
    token, other = bench.world.consent(uses=uses), bench.world.consent(uses=uses)
    for number in range(BURST):
        await bench.check(token, number)
    asked = len(bench.city.asked)
    error = await refused(bench, Reason.RATE_LIMITED, token, number=BURST)
    assert error.retry_after_s == pytest.approx(INTERVAL_S)
    assert len(bench.city.asked) == asked  # a refusal costs the city nothing
    await bench.check(other, BURST + 1)


@either_way
async def test_after_the_time_that_was_said_one_more_passes(bench: Bench, uses: int | None) -> None:
    token = bench.world.consent(uses=uses)
    for number in range(BURST):
        await bench.check(token, number)
    error = await refused(bench, Reason.RATE_LIMITED, token, number=BURST)
    assert error.retry_after_s is not None
    bench.clock.advance(error.retry_after_s)
    bench.world.now_s += int(error.retry_after_s)
    await bench.check(token, BURST)
    await refused(bench, Reason.RATE_LIMITED, token, number=BURST + 1)


@either_way
async def test_a_retry_is_not_counted(bench: Bench, uses: int | None) -> None:
    token = bench.world.consent(uses=uses)
    first = await bench.check(token, 0)
    for _ in range(3 * BURST):
        bench.clock.advance(0.001)
        assert await bench.check(token, 0) == first
    for number in range(1, BURST):
        await bench.check(token, number)
    await refused(bench, Reason.RATE_LIMITED, token, number=BURST)
    assert await bench.check(token, 0) == first  # nor refused when the rate is used up


@either_way
async def test_a_request_whose_decision_has_ended_counts_again(bench: Bench, uses: int | None) -> None:
    token = bench.world.consent(uses=uses)
    for number in range(BURST):
        await bench.check(token, number)
    bench.clock.advance(301)
    bench.world.now_s += 301
    assert INTERVAL_S > 301
    await refused(bench, Reason.RATE_LIMITED, token, number=0)  # else old ids would be a way around the limit


@either_way
async def test_a_retry_of_what_a_withdrawal_has_changed_is_free_all_the_same(bench: Bench, uses: int | None) -> None:
    token = bench.world.consent(uses=uses)
    for number in range(BURST):
        await bench.check(token, number)
    await bench.events.take(FUZHOU, bench.world.withdrawal(bench.world.read(token).id))
    await refused(bench, Reason.RATE_LIMITED, token, number=BURST)
    answer = await bench.check(token, 0)
    assert answer.decision.outcome is Outcome.ORDINARY
    assert await bench.check(token, 0) == answer
    await refused(bench, Reason.RATE_LIMITED, token, number=BURST)


@either_way
@pytest.mark.parametrize("status", ["entitled", "ordinary", "withdrawn"])
async def test_the_limit_is_the_same_for_every_status(bench: Bench, uses: int | None, status: str) -> None:
    token = bench.world.consent(uses=uses)
    bench.city.rung = 0 if status == "ordinary" else 1
    if status == "withdrawn":
        await bench.events.take(FUZHOU, bench.world.withdrawal(bench.world.read(token).id))
    for number in range(BURST):
        await bench.check(token, number)
    await refused(bench, Reason.RATE_LIMITED, token, number=BURST)


@either_way
async def test_what_gets_no_answer_is_not_counted(bench: Bench, uses: int | None) -> None:
    token = bench.world.consent(uses=uses)
    bench.city.fails = TiergateError(Reason.HOME_CITY_UNAVAILABLE, retry_after_s=5)
    for number in range(BURST):
        await refused(bench, Reason.HOME_CITY_UNAVAILABLE, token, number=number)
        await bench.checks.check_many([bench.question(token, number)])
    bench.city.fails = None
    for number in range(BURST):
        await bench.check(token, number)
    await refused(bench, Reason.RATE_LIMITED, token, number=BURST)


async def _unwritable(_drafts: Sequence[DecisionDraft]) -> list[Decision | TiergateError]:
    raise TiergateError(Reason.LOG_UNAVAILABLE, retry_after_s=5)


@either_way
async def test_nor_is_what_the_log_did_not_take(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, uses: int | None
) -> None:
    token = bench.world.consent(uses=uses)
    with monkeypatch.context() as full:
        full.setattr(bench.store, "record_many", _unwritable)
        for number in range(BURST):
            await refused(bench, Reason.LOG_UNAVAILABLE, token, number=number)
            (item,) = await bench.checks.check_many([bench.question(token, number)])
            assert isinstance(item, TiergateError)
            assert (item.reason, item.retry_after_s) == (Reason.LOG_UNAVAILABLE, 5)
    for number in range(BURST):
        await bench.check(token, number)
    await refused(bench, Reason.RATE_LIMITED, token, number=BURST)


async def test_a_log_that_cannot_be_written_takes_no_answer_from_the_rest_of_a_batch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = bench.world.consent()
    first = await bench.check(token, 1)
    bench.clock.advance(0.001)
    monkeypatch.setattr(bench.store, "record_many", _unwritable)
    bench.caching[FUZHOU] = False  # so that the request is looked up
    known, new = await bench.checks.check_many([bench.question(token, 1), bench.question(token, 2)])
    assert known == first
    assert isinstance(new, TiergateError)
    assert new.reason is Reason.LOG_UNAVAILABLE


async def _cancelled_at(reached: asyncio.Event, check: Any) -> None:
    task, there = asyncio.create_task(check), asyncio.create_task(reached.wait())
    await asyncio.wait([task, there], return_when=asyncio.FIRST_COMPLETED)
    reached.clear()
    there.cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_that_is_cancelled_before_anything_is_logged_is_not_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, reached = bench.world.consent(uses=COUNTED), asyncio.Event()

    async def hang(_questions: object) -> Any:
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as silent:
        silent.setattr(bench.city, "attest", hang)
        silent.setattr(bench.city, "attest_many", hang)
        for number in range(BURST):
            await _cancelled_at(reached, bench.check(token, number))
            await _cancelled_at(reached, bench.checks.check_many([bench.question(token, number)]))
    for number in range(BURST):
        await bench.check(token, number)
    await refused(bench, Reason.RATE_LIMITED, token, number=BURST)


@pytest.mark.parametrize("batch", [False, True], ids=["single", "batch"])
async def test_one_whose_decision_is_logged_is_counted_and_its_retry_is_free(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, batch: bool
) -> None:
    token, reached, record_many = bench.world.consent(uses=COUNTED), asyncio.Event(), bench.store.record_many

    async def late(drafts: Sequence[DecisionDraft]) -> list[Decision | TiergateError]:
        await record_many(drafts)
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    with monkeypatch.context() as slow:
        slow.setattr(bench.store, "record_many", late)
        for number in range(BURST):
            asked = bench.question(token, number)
            await _cancelled_at(reached, bench.checks.check_many([asked]) if batch else bench.checks.check(asked))
    await refused(bench, Reason.RATE_LIMITED, token, number=BURST)
    await bench.check(token, 0)


async def test_a_code_whose_attestation_cannot_be_believed_is_not_counted(bench: Bench) -> None:
    token = bench.world.consent(uses=1)
    bench.city.handles["fuzhou-code"] = token
    bench.city.forge = lambda _text: "an.attestation.of-something"
    codes = [
        replace(bench.question(token, number, proof=""), token="", handle="fuzhou-code") for number in range(BURST)
    ]
    for code in codes:
        with pytest.raises(TiergateError) as caught:
            await bench.checks.check(code)
        assert caught.value.reason is Reason.HOME_CITY_UNAVAILABLE
        await bench.checks.check_many([code])
    bench.city.forge = str
    for code in codes:
        await bench.checks.check(code)


@either_way
async def test_a_batch_is_no_way_around_it(bench: Bench, uses: int | None) -> None:
    token, other = bench.world.consent(uses=uses), bench.world.consent(uses=uses)
    questions = [bench.question(token, number) for number in range(BURST + 5)]
    results = await bench.checks.check_many([*questions, bench.question(other, 999)])
    assert [isinstance(item, CheckAnswer) for item in results] == [True] * BURST + [False] * 5 + [True]
    reasons = {item.reason for item in results if isinstance(item, TiergateError)}
    assert reasons == {Reason.RATE_LIMITED}
    again = await bench.checks.check_many([*questions[:BURST], bench.question(token, 1000)])
    assert again[:BURST] == results[:BURST]
    assert isinstance(again[BURST], TiergateError)


async def test_what_is_refused_for_its_form_is_not_counted(bench: Bench) -> None:
    token = bench.world.consent()
    for number in range(2 * BURST):
        await refused(bench, Reason.PROOF_REQUIRED, token, number=number, proof="")
    await bench.check(token)


async def test_another_operator_cannot_use_up_a_consents_rate(bench: Bench) -> None:
    token = bench.world.consent(uses=COUNTED)
    for number in range(2 * BURST):
        await refused(
            bench, Reason.TOKEN_OTHER_OPERATOR, token, number=number, proof="", operator=OperatorId("quanzhou-library")
        )
    await bench.check(token)
