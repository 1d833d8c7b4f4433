"""One check, step by step: answers, caching, idempotency, withdrawal."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.domain.decision import Decision, Outcome
from gateway.errors import Reason, TiergateError
from gateway.ports import DecisionDraft
from gateway.services.check import CheckAnswer
from tests.fakes.world import FUZHOU
from tests.unit.services.bench_of_checks import Bench, bench, refused, terms_of

__all__ = ["bench"]  # a fixture


async def test_entitled_resident_gets_the_rungs_terms(bench: Bench) -> None:
    answer = await bench.check(bench.world.consent(uses=3))
    assert answer.decision.outcome is Outcome.ENTITLED
    assert answer.terms == terms_of(bench, 1)
    assert [entry.type for entry in bench.log()] == ["genesis", "consent_registered", "decision"]
    assert bench.log()[answer.decision.log_index].text("id") == answer.decision.id


async def test_rung_zero_gets_the_base_offer(bench: Bench) -> None:
    bench.city.rung = 0
    answer = await bench.check(bench.world.consent(uses=3))
    assert answer.decision.outcome is Outcome.ORDINARY
    assert answer.terms == terms_of(bench, 0)


async def test_unlimited_token_is_answered_from_a_live_attestation(bench: Bench) -> None:
    token = bench.world.consent()
    for number in range(5):
        await bench.check(token, number)
    assert len(bench.city.asked) == 1


async def test_counted_token_goes_to_the_city_every_time(bench: Bench) -> None:
    token = bench.world.consent(uses=9)
    for number in range(3):
        await bench.check(token, number)
    assert len(bench.city.asked) == 3


async def test_cached_answer_ends_with_the_attestation(bench: Bench) -> None:
    token = bench.world.consent()
    first = await bench.check(token, 1)
    bench.clock.advance(299)
    bench.world.now_s += 299
    second = await bench.check(token, 2)
    assert second.decision.valid_until_ms <= first.decision.valid_until_ms
    assert len(bench.city.asked) == 1
    bench.clock.advance(1)
    await bench.check(token, 3)
    assert len(bench.city.asked) == 2


async def test_wall_clock_set_back_does_not_lengthen_a_life(bench: Bench) -> None:
    token = bench.world.consent()
    await bench.check(token, 1)
    bench.clock.advance(300)
    bench.clock.set_wall_back(200)
    await bench.check(token, 2, proof=bench.world.proof(token, issued_at=bench.clock.now_ms() // 1000))
    assert len(bench.city.asked) == 2


async def test_city_whose_reports_lag_gets_no_cached_answers(bench: Bench) -> None:
    token = bench.world.consent()
    await bench.check(token, 1)
    bench.caching[FUZHOU] = False
    await bench.check(token, 2)
    assert len(bench.city.asked) == 2


async def test_same_request_is_answered_as_before(bench: Bench) -> None:
    token = bench.world.consent(uses=1)
    first = await bench.check(token)
    bench.city.fails = TiergateError(Reason.HOME_CITY_UNAVAILABLE)
    assert await bench.check(token) == first
    assert len(bench.city.asked) == 1


async def test_same_request_id_for_another_token_is_a_conflict(bench: Bench) -> None:
    await bench.check(bench.world.consent(uses=1))
    await refused(bench, Reason.REQUEST_CONFLICT, bench.world.consent(uses=1))


async def test_known_request_may_come_with_a_stale_proof(bench: Bench) -> None:
    token = bench.world.consent()
    proof = bench.world.proof(token)
    first = await bench.check(token, proof=proof)
    bench.clock.advance(290)
    assert await bench.check(token, proof=proof) == first
    bench.clock.advance(15)
    again = await bench.check(token, proof=proof)
    assert again.decision.log_index > first.decision.log_index


async def test_withdrawn_consent_takes_the_same_path_to_ordinary(bench: Bench) -> None:
    token = bench.world.consent()
    await bench.check(token, 1)
    await bench.events.take(FUZHOU, bench.world.withdrawal(bench.world.read(token).id))
    answer = await bench.check(token, 2)
    assert answer.decision.outcome is Outcome.ORDINARY
    assert answer.terms == terms_of(bench, 0)
    assert len(bench.city.asked) == 1  # the live attestation is still the path; only the rung is gone


async def test_withdrawn_consent_is_unavailable_when_a_live_one_would_be(bench: Bench) -> None:
    token = bench.world.consent(uses=3)
    await bench.check(token, 1)
    await bench.events.take(FUZHOU, bench.world.withdrawal(bench.world.read(token).id))
    bench.city.fails = TiergateError(Reason.HOME_CITY_UNAVAILABLE, retry_after_s=5)
    await refused(bench, Reason.HOME_CITY_UNAVAILABLE, token, number=2)


async def test_repeated_request_after_withdrawal_is_ordinary(bench: Bench) -> None:
    token = bench.world.consent(uses=3)
    await bench.check(token, 1)
    await bench.events.take(FUZHOU, bench.world.withdrawal(bench.world.read(token).id))
    assert (await bench.check(token, 1)).decision.outcome is Outcome.ORDINARY


def _correct_before_commit(bench: Bench, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """A correction lands between a check's look at the cache and its commit, ``times`` times."""
    genuine, left = bench.store.record_many, [times]

    async def late(drafts: Sequence[DecisionDraft]) -> list[Decision | TiergateError]:
        if left[0]:
            left[0] -= 1
            await bench.events.take(FUZHOU, bench.world.correction())
        return await genuine(drafts)

    monkeypatch.setattr(bench.store, "record_many", late)


@pytest.mark.parametrize("batch", [False, True])
async def test_a_correction_under_way_makes_the_city_be_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, batch: bool
) -> None:
    token = bench.world.consent()
    await bench.check(token, 1)
    bench.city.rung = 0  # what the record gives after its correction
    _correct_before_commit(bench, monkeypatch, 1)
    if batch:
        (answer,) = await bench.checks.check_many([bench.question(token, 2)])
    else:
        answer = await bench.check(token, 2)
    assert isinstance(answer, CheckAnswer)
    assert (answer.decision.rung, len(bench.city.asked)) == (0, 2)
    assert [entry.type for entry in bench.log()][-2:] == ["correction", "decision"]


@pytest.mark.parametrize("batch", [False, True])
async def test_a_city_that_corrects_without_end_cannot_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, batch: bool
) -> None:
    token = bench.world.consent()
    _correct_before_commit(bench, monkeypatch, 9)
    if batch:
        (found,) = await bench.checks.check_many([bench.question(token, 1)])
    else:
        with pytest.raises(TiergateError) as caught:
            await bench.check(token, 1)
        found = caught.value
    assert isinstance(found, TiergateError)
    assert (found.reason, found.retry_after_s) == (Reason.HOME_CITY_UNAVAILABLE, 5.0)


async def test_correction_drops_every_live_attestation_of_the_city(bench: Bench) -> None:
    token = bench.world.consent()
    await bench.check(token, 1)
    await bench.events.take(FUZHOU, bench.world.correction())
    bench.city.rung = 0
    answer = await bench.check(token, 2)
    assert answer.decision.outcome is Outcome.ORDINARY


async def test_attestation_that_was_under_way_at_a_flush_is_not_kept(bench: Bench) -> None:
    token = bench.world.consent()
    bench.city.during = lambda: bench.cache.flush(FUZHOU)
    await bench.check(token, 1)
    assert len(bench.cache) == 0
