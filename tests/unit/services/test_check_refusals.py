"""One check, step by step: everything that is refused, and batches in which something is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.decision import Outcome
from gateway.domain.ids import RequestId, ScenarioId
from gateway.errors import Reason, TiergateError
from gateway.services.check import CheckAnswer
from tests.fakes.world import FUZHOU, FUZHOU_TRANSIT, METRO, XIAMEN, XIAMEN_LIBRARY
from tests.unit.services.bench_of_checks import Bench, bench, refused

__all__ = ["bench"]  # a fixture


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        (Reason.TOKEN_MALFORMED, lambda token: token[:-1] + " "),
        (Reason.TOKEN_MALFORMED, lambda token: token.rpartition(".")[0]),
        (Reason.TOKEN_MALFORMED, lambda token: "not-a-token"),
        (Reason.MESSAGE_TOO_LARGE, lambda token: token + "A" * 4096),
        (Reason.TOKEN_SIGNATURE_INVALID, lambda token: token.rpartition(".")[0] + "." + "A" * 86),
    ],
)
async def test_broken_tokens(bench: Bench, reason: Reason, change: Callable[[str], str]) -> None:
    await refused(bench, reason, change(bench.world.consent(uses=1)), proof="")
    assert not bench.city.asked


async def test_token_for_another_audience(bench: Bench) -> None:
    token = bench.world.consent(uses=1, audience="zhejiang")
    await refused(bench, Reason.TOKEN_AUDIENCE_WRONG, token, proof="")


async def test_token_of_another_operator(bench: Bench) -> None:
    token = bench.world.consent(uses=1, operator=METRO, scenario=FUZHOU_TRANSIT, city=XIAMEN)
    await refused(bench, Reason.TOKEN_OTHER_OPERATOR, token, proof="")


async def test_unknown_scenario(bench: Bench) -> None:
    token = bench.world.consent(uses=1)
    await refused(bench, Reason.SCENARIO_UNKNOWN, token, proof="", scenario=ScenarioId("no-such-scenario"))


async def test_scenario_that_is_not_open_to_the_operator(bench: Bench) -> None:
    token = bench.world.consent(uses=1)
    await refused(bench, Reason.SCENARIO_NOT_OPEN, token, proof="", scenario=FUZHOU_TRANSIT)


async def test_purpose_that_is_not_the_scenarios(bench: Bench) -> None:
    token = bench.world.consent(uses=1, purpose="marketing")
    await refused(bench, Reason.TOKEN_SCENARIO_NOT_COVERED, token)


async def test_expired_token(bench: Bench) -> None:
    token = bench.world.consent(uses=1, lifetime_s=60)
    bench.clock.advance(60)
    await refused(bench, Reason.TOKEN_EXPIRED, token, proof="")


async def test_token_that_outlives_the_scenarios_limit(bench: Bench) -> None:
    limit = bench.world.bundle.scenarios[XIAMEN_LIBRARY].consent.max_lifetime_s
    await refused(bench, Reason.TOKEN_TOO_LONG_LIVED, bench.world.consent(uses=1, lifetime_s=limit + 120))


async def test_bound_token_without_proof(bench: Bench) -> None:
    await refused(bench, Reason.PROOF_REQUIRED, bench.world.consent(), proof="")


async def test_unbound_token_with_proof(bench: Bench) -> None:
    token = bench.world.consent(uses=1)
    await refused(bench, Reason.PROOF_NOT_EXPECTED, token, proof=bench.world.proof(token))


async def test_proof_for_another_token(bench: Bench) -> None:
    await refused(bench, Reason.PROOF_INVALID, bench.world.consent(), proof=bench.world.proof(bench.world.consent()))


async def test_proof_signed_by_another_operator(bench: Bench) -> None:
    token = bench.world.consent()
    await refused(bench, Reason.PROOF_INVALID, token, proof=bench.world.proof(token, signer=METRO))


async def test_stale_proof_of_a_new_request(bench: Bench) -> None:
    token = bench.world.consent()
    await refused(bench, Reason.PROOF_STALE, token, proof=bench.world.proof(token, issued_at=bench.world.now_s - 301))


async def test_city_nobody_has_a_channel_to(bench: Bench) -> None:
    token = bench.world.consent(uses=1, city=XIAMEN)
    error = await refused(bench, Reason.HOME_CITY_UNAVAILABLE, token)
    assert error.retry_after_s


async def test_uses_exhausted_is_passed_on(bench: Bench) -> None:
    bench.city.fails = TiergateError(Reason.USES_EXHAUSTED)
    await refused(bench, Reason.USES_EXHAUSTED, bench.world.consent(uses=1))


@pytest.mark.parametrize("rung", [2, 3])
async def test_attested_rung_beyond_the_scenarios_is_a_city_that_cannot_answer(bench: Bench, rung: int) -> None:
    assert len(bench.world.bundle.scenarios[XIAMEN_LIBRARY].rungs) < rung
    bench.city.rung = rung
    await refused(bench, Reason.HOME_CITY_UNAVAILABLE, bench.world.consent(uses=1))


async def test_forged_attestation_is_a_city_that_cannot_answer(bench: Bench) -> None:
    bench.city.forge = lambda text: text.rpartition(".")[0] + "." + "A" * 86
    await refused(bench, Reason.HOME_CITY_UNAVAILABLE, bench.world.consent(uses=1))


async def test_attestation_of_another_question_is_refused(bench: Bench) -> None:
    token, other = bench.world.consent(uses=1), bench.world.read(bench.world.consent(uses=1))
    now_s = bench.clock.now_ms() // 1000
    bench.city.forge = lambda _: bench.world.attestation(
        other, 1, now_s=now_s, request_id=RequestId(f"request-{1:010d}")
    )
    await refused(bench, Reason.HOME_CITY_UNAVAILABLE, token)


async def test_batch_keeps_order_and_fails_item_by_item(bench: Bench) -> None:
    good, bound = bench.world.consent(uses=5), bench.world.consent()
    questions = [
        bench.question(good, 1),
        bench.question(bound, 2),
        bench.question(good, 3, scenario=FUZHOU_TRANSIT),
        bench.question(bound, 4, proof=""),
        bench.question(bench.world.consent(uses=1, city=XIAMEN), 5),
        bench.question(good, 1),
    ]
    results = await bench.checks.check_many(questions)
    kinds = [result.reason if isinstance(result, TiergateError) else result.decision.outcome for result in results]
    assert kinds == [
        Outcome.ENTITLED,
        Outcome.ENTITLED,
        Reason.SCENARIO_NOT_OPEN,
        Reason.PROOF_REQUIRED,
        Reason.HOME_CITY_UNAVAILABLE,
        Outcome.ENTITLED,
    ]
    assert results[0] == results[5]


async def test_batch_of_a_city_that_is_down_fails_only_its_items(bench: Bench) -> None:
    cached = bench.world.consent()
    await bench.check(cached, 1)
    bench.city.fails = TiergateError(Reason.HOME_CITY_UNAVAILABLE, retry_after_s=5)
    results = await bench.checks.check_many([bench.question(cached, 2), bench.question(bench.world.consent(uses=1), 3)])
    assert isinstance(results[0], CheckAnswer)
    assert isinstance(results[1], TiergateError)


async def test_illustrative_concordance_marks_the_answer(bench: Bench) -> None:
    answer = await bench.check(bench.world.consent(uses=1))
    home = bench.world.bundle.concordances[FUZHOU]
    assert answer.illustrative == (bench.world.bundle.scenarios[XIAMEN_LIBRARY].illustrative or home.illustrative)


async def test_a_directory_that_has_run_out_decides_nothing(bench: Bench) -> None:
    token = bench.world.consent(uses=1)
    bench.clock.advance(bench.world.directory.expires - bench.clock.now_ms() // 1000)
    error = await refused(bench, Reason.RULES_OUT_OF_FORCE, token, proof="")
    assert error.retry_after_s


async def test_a_bundle_that_has_run_out_decides_nothing(bench: Bench) -> None:
    token = bench.world.consent(uses=1)
    day = datetime.fromtimestamp(bench.clock.now_ms() / 1000, UTC).date()
    bench.world.bundle = replace(bench.world.bundle, expires=day)
    await bench.check(token)
    bench.world.bundle = replace(bench.world.bundle, expires=day - timedelta(days=1))
    await refused(bench, Reason.RULES_OUT_OF_FORCE, token, number=2)


async def test_a_bundle_that_runs_out_while_the_city_is_asked_decides_nothing(bench: Bench) -> None:
    """What is logged is logged under rules in force at the logged time (I8)."""
    day_s = 86_400
    bench.clock.advance(day_s - bench.clock.now_ms() // 1000 % day_s - 60)
    token = bench.world.consent(uses=1, lifetime_s=2 * day_s)
    last = datetime.fromtimestamp(bench.clock.now_ms() / 1000, UTC).date()
    bench.world.bundle = replace(bench.world.bundle, expires=last)
    bench.city.during = lambda: bench.clock.advance(120)
    await refused(bench, Reason.RULES_OUT_OF_FORCE, token)
    assert len(bench.city.asked) == 1


async def test_an_answer_that_a_flush_overtook_is_not_cached(bench: Bench) -> None:
    token = bench.world.consent()
    await bench.check(token, 1)
    bench.cache.flush(FUZHOU)
    await bench.check(token, 2)
    assert len(bench.city.asked) == 2
    bench.city.during = lambda: bench.cache.flush(FUZHOU)
    bench.cache.flush(FUZHOU)
    await bench.check(token, 3)
    assert len(bench.cache) == 0
