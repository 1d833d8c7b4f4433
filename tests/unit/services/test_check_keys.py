"""Keys change between checks and in the middle of one; nobody notices until one is removed, which counts at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.crypto.keys import Algorithm
from gateway.domain.decision import Outcome
from gateway.domain.directory import KeyPurpose
from gateway.errors import Reason, TiergateError
from gateway.services.check import CheckAnswer, CheckQuestion
from tests.fakes.world import FUZHOU, LIBRARY
from tests.unit.services.bench_of_checks import Bench, bench, refused

__all__ = ["bench"]  # a fixture
ALGORITHMS: list[tuple[Algorithm, Algorithm]] = [("ES256", "EdDSA"), ("EdDSA", "ES256")]
PURPOSES: list[KeyPurpose] = ["consent", "attestation", "event", "proof"]


def owner_of(purpose: KeyPurpose) -> str:
    return LIBRARY if purpose == "proof" else FUZHOU


@pytest.mark.parametrize(("first", "second"), ALGORITHMS)
async def test_every_key_goes_from_one_algorithm_to_the_other(
    bench: Bench, first: Algorithm, second: Algorithm
) -> None:
    world = bench.world
    for purpose in PURPOSES:
        world.retire(owner_of(purpose), purpose, world.rotate(owner_of(purpose), purpose, first))
    bench.reload()
    before = world.consent()
    shown = world.proof(before)
    assert (await bench.check(before, 1, proof=shown)).decision.outcome is Outcome.ENTITLED
    old = {purpose: world.rotate(owner_of(purpose), purpose, second) for purpose in PURPOSES}
    bench.reload()
    after = world.consent()
    assert (await bench.check(before, 2, proof=shown)).decision.outcome is Outcome.ENTITLED
    assert (await bench.check(after, 3)).decision.outcome is Outcome.ENTITLED
    for purpose in PURPOSES:
        world.retire(owner_of(purpose), purpose, old[purpose])
    bench.reload()
    assert (await bench.check(after, 4)).decision.outcome is Outcome.ENTITLED
    withdrawal = world.withdrawal(world.read(after).id)
    await bench.events.take(FUZHOU, withdrawal)
    assert (await bench.check(after, 5)).decision.outcome is Outcome.ORDINARY


async def test_a_remembered_token_does_not_outlive_its_key(bench: Bench) -> None:
    token = bench.world.consent(uses=3)
    await bench.check(token, 1)
    bench.world.retire(FUZHOU, "consent", bench.world.rotate(FUZHOU, "consent"))
    question = bench.question
    bench.world.read = lambda text, operator=LIBRARY: bench.keys[0].consents.verify(  # type: ignore[method-assign]
        text, operator=operator, now_s=bench.world.now_s
    )  # the city still takes it: the gateway alone must refuse
    asked = question(token, 2)
    bench.reload()
    with pytest.raises(TiergateError) as caught:
        await bench.checks.check(asked)
    assert caught.value.reason is Reason.TOKEN_KEY_UNKNOWN


async def test_a_remembered_proof_does_not_outlive_its_key(bench: Bench) -> None:
    token = bench.world.consent()
    proof = bench.world.proof(token)
    await bench.check(token, 1, proof=proof)
    bench.world.retire(LIBRARY, "proof", bench.world.rotate(LIBRARY, "proof"))
    bench.reload()
    await refused(bench, Reason.PROOF_INVALID, token, number=2, proof=proof)


async def test_a_cached_answer_does_not_outlive_the_key_of_its_attestation(bench: Bench) -> None:
    token = bench.world.consent()
    await bench.check(token, 1)
    stolen = bench.world.keys[FUZHOU, "attestation"]
    bench.world.retire(FUZHOU, "attestation", bench.world.rotate(FUZHOU, "attestation"))
    bench.reload()
    assert (await bench.check(token, 2)).decision.outcome is Outcome.ENTITLED
    assert len(bench.city.asked) == 2
    bench.cache.flush(FUZHOU)
    bench.world.keys[FUZHOU, "attestation"] = stolen
    error = await refused(bench, Reason.HOME_CITY_UNAVAILABLE, token, number=3)
    assert "TOKEN_KEY_UNKNOWN" in error.detail


async def test_a_reload_that_takes_no_key_away_has_no_city_asked_again(bench: Bench) -> None:
    token = bench.world.consent()
    await bench.check(token, 1)
    bench.world.rotate(FUZHOU, "attestation")
    bench.reload()
    await bench.check(token, 2)
    assert len(bench.city.asked) == 1


async def test_a_stored_decision_does_not_outlive_the_key_of_its_attestation(bench: Bench) -> None:
    token = bench.world.consent(uses=3)
    first = await bench.check(token, 1)
    assert (await bench.check(token, 1)).decision == first.decision
    assert len(bench.city.asked) == 1
    bench.world.retire(FUZHOU, "attestation", bench.world.rotate(FUZHOU, "attestation"))
    bench.reload()
    assert (await bench.check(token, 1)).decision == first.decision
    assert len(bench.city.asked) == 2, "the same decision, but on the word of a key that is listed"
    bench.city.fails = TiergateError(Reason.HOME_CITY_UNAVAILABLE, "scripted")
    await refused(bench, Reason.HOME_CITY_UNAVAILABLE, token, number=1)


async def test_an_event_of_a_removed_key_is_not_taken(bench: Bench) -> None:
    token = bench.world.read(bench.world.consent(uses=3))
    forged = bench.world.withdrawal(token.id)
    bench.world.retire(FUZHOU, "event", bench.world.rotate(FUZHOU, "event"))
    bench.reload()
    size = bench.store.size()
    with pytest.raises(TiergateError) as caught:
        await bench.events.take(FUZHOU, forged)
    assert caught.value.reason is Reason.EVENT_DEFERRED
    assert bench.store.size() == size


@pytest.mark.parametrize(
    ("purpose", "reason"), [("consent", Reason.TOKEN_KEY_UNKNOWN), ("proof", Reason.PROOF_INVALID)]
)
async def test_a_key_removed_while_the_city_is_asked_decides_nothing(
    bench: Bench, purpose: KeyPurpose, reason: Reason
) -> None:
    token = bench.world.consent()
    trusted = bench.world.read(token)

    def removed() -> None:
        bench.world.retire(owner_of(purpose), purpose, bench.world.rotate(owner_of(purpose), purpose))
        bench.reload()
        bench.world.read = lambda *_: trusted  # type: ignore[method-assign]  # the city has not heard of it yet

    bench.city.during = removed
    await refused(bench, reason, token, number=1)


@pytest.mark.parametrize("many", [False, True], ids=["alone", "in a batch"])
async def test_a_key_replaced_while_the_city_is_asked_is_not_noticed(bench: Bench, many: bool) -> None:
    token, counted = bench.world.consent(), bench.world.consent(uses=3)
    await bench.check(token, 1)  # has a live attestation

    def replaced() -> None:
        bench.city.during = lambda: None
        for purpose in PURPOSES:
            bench.world.rotate(owner_of(purpose), purpose)
        bench.world.retire(FUZHOU, "attestation", bench.world.directory.cities[FUZHOU].keys[1].kid)
        bench.reload()

    bench.city.during = replaced
    questions = [bench.question(token, 2), bench.question(counted, 3)]
    answers = await bench.checks.check_many(questions) if many else await each(bench, questions)
    assert all(isinstance(answer, CheckAnswer) for answer in answers), answers


async def each(bench: Bench, questions: Sequence[CheckQuestion]) -> list[CheckAnswer]:
    return list(await asyncio.gather(*map(bench.checks.check, questions)))


async def test_a_stored_decision_in_a_batch_is_asked_for_again_after_a_change(bench: Bench) -> None:
    token, other = bench.world.consent(uses=3), bench.world.consent(uses=3)
    first = await bench.check(token, 1)

    def removed() -> None:
        bench.city.during = lambda: None
        bench.world.retire(FUZHOU, "attestation", bench.world.rotate(FUZHOU, "attestation"))
        bench.reload()

    bench.city.during = removed
    again, _ = await bench.checks.check_many([bench.question(token, 1), bench.question(other, 2)])
    assert isinstance(again, CheckAnswer)
    assert again.decision == first.decision
    assert len(bench.city.asked) == 3
