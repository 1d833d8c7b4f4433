"""Every push is lost: exposure ends with the attestation's lifetime, and never later (I7)."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from gateway.crypto.attestation import MAX_LIFETIME_S
from gateway.errors import TiergateError
from gateway.services.ask_cities import AttestQuestion
from gateway.services.check import CheckAnswer
from tests.fakes.world import FUZHOU
from tests.unit.services.bench_of_checks import Bench, bench

__all__ = ["bench"]  # a fixture


async def _exposed(bench: Bench, text: str, lifetime_s: int, steps: list[float], first: int) -> None:
    """Attested at rung 1, withdrawn at home at once, and the gateway never hears of it."""
    bench.city.rung, bench.city.lifetime_s = 1, lifetime_s
    began = bench.clock.monotonic()
    attested_ms = bench.clock.now_ms() // 1000 * 1000
    assert (await bench.check(text, first)).decision.rung == 1
    bench.city.rung = 0  # what the city says from now on
    for number, step in enumerate(steps, start=first + 1):
        bench.clock.advance(step)
        bench.world.now_s = bench.clock.now_ms() // 1000  # the operator makes a fresh proof
        decision = (await bench.check(text, number)).decision
        elapsed = bench.clock.monotonic() - began
        if decision.rung:
            assert elapsed < lifetime_s
            assert bench.clock.now_ms() < decision.valid_until_ms <= attested_ms + lifetime_s * 1000
        if elapsed >= lifetime_s:
            assert decision.rung == 0


@pytest.mark.parametrize("seed", range(8))
async def test_no_answer_stands_longer_than_its_attestation(bench: Bench, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(10):
        lifetime_s = chance.choice((1, 2, 5, 60, 299, MAX_LIFETIME_S))
        steps = [chance.choice((0.001, 0.999, 1.0, 1.001, lifetime_s / 3, lifetime_s)) for _ in range(8)]
        bench.world.now_s = bench.clock.now_ms() // 1000
        await _exposed(bench, bench.world.consent(), lifetime_s, steps, 100 * number)


@pytest.mark.parametrize("uses", [None, 50])
async def test_a_moment_before_and_at_the_end(bench: Bench, uses: int | None) -> None:
    text = bench.world.consent(uses=uses)
    await _exposed(bench, text, 2, [1.99, 0.01], 1)
    assert len(bench.city.asked) == (2 if uses is None else 3)


async def test_a_wall_clock_set_back_lengthens_nothing(bench: Bench) -> None:
    text = bench.world.consent()
    assert (await bench.check(text, 1)).decision.rung == 1
    bench.city.rung = 0
    bench.clock.advance(240)
    bench.clock.set_wall_back(240)
    left = (await bench.check(text, 2)).decision
    assert left.rung == 1
    assert left.valid_until_ms - bench.clock.now_ms() == 60_000  # of the lifetime, whatever the wall clock says
    bench.clock.advance(60)
    bench.world.now_s = bench.clock.now_ms() // 1000
    assert (await bench.check(text, 3)).decision.rung == 0


async def test_a_repeated_request_is_not_answered_from_the_log_after_its_end(bench: Bench) -> None:
    """The stored decision of a known request stands no longer than what it was decided on."""
    text = bench.world.consent(uses=3)
    first = (await bench.check(text, 1)).decision
    bench.city.rung = 0
    bench.clock.advance(299)
    assert (await bench.check(text, 1)).decision == first
    bench.clock.advance(1)
    assert (await bench.check(text, 1)).decision.rung == 0


async def test_an_attestation_under_way_while_the_event_is_taken_changes_nothing(bench: Bench) -> None:
    """The push arrives, late, in the middle of a check whose attestation is older than the withdrawal."""
    text = bench.world.consent(uses=3)
    consent = bench.world.read(text).id
    attest = bench.city.attest_many

    async def late(questions: Sequence[AttestQuestion]) -> list[str | TiergateError]:
        answers = await attest(questions)
        await bench.events.take(FUZHOU, bench.world.withdrawal(consent))
        return answers

    bench.city.attest_many = late  # type: ignore[method-assign]  # the event overtakes the answer
    (answer,) = await bench.checks.check_many([bench.question(text, 1)])
    assert isinstance(answer, CheckAnswer)
    assert answer.decision.rung == 0
