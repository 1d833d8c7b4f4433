"""Checks of one-time codes at the gateway: routed by their city, examined like any token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.domain.decision import Outcome
from gateway.domain.ids import OperatorId, RequestId
from gateway.errors import Reason, TiergateError
from gateway.services.ask_cities import AttestQuestion, Redeemed
from gateway.services.check import CheckAnswer, CheckQuestion
from tests.fakes.device import Device
from tests.fakes.world import FUZHOU, FUZHOU_TRANSIT, LIBRARY, METRO, XIAMEN, XIAMEN_LIBRARY
from tests.unit.services.bench_of_checks import Bench, bench

__all__ = ["bench"]  # a fixture

CODE = "fuzhou-abcdefghjkmn"


def _question(
    number: int = 1, *, handle: str = CODE, operator: OperatorId = LIBRARY, scenario: str = XIAMEN_LIBRARY
) -> CheckQuestion:
    return CheckQuestion(operator, RequestId(f"request-{number:010d}"), scenario, "", "", handle)


async def _refused(bench: Bench, reason: Reason, question: CheckQuestion) -> TiergateError:
    size = bench.store.size()
    with pytest.raises(TiergateError) as caught:
        await bench.checks.check(question)
    assert caught.value.reason is reason
    assert bench.store.size() == size
    return caught.value


async def test_a_handle_is_redeemed_by_its_city_and_decided(bench: Bench) -> None:
    token = bench.city.handles[CODE] = bench.world.consent(uses=1)
    answer = await bench.checks.check(_question())
    assert answer.decision.outcome is Outcome.ENTITLED
    (asked,) = bench.city.asked
    assert (asked.handle, asked.operator, asked.scenario) == (CODE, LIBRARY, XIAMEN_LIBRARY)
    (registered,) = [entry for entry in bench.log() if entry.type == "consent_registered"]
    assert registered.text("bound") == "none"
    assert token.split(".")[1] not in "".join(str(entry) for entry in bench.log())


async def test_a_retry_gets_the_stored_decision(bench: Bench) -> None:
    bench.city.handles[CODE] = bench.world.consent(uses=1)
    first = await bench.checks.check(_question())
    bench.clock.advance(10)
    size = bench.store.size()
    assert (await bench.checks.check(_question())).decision == first.decision
    assert bench.store.size() == size


async def test_another_handle_under_the_same_request_is_a_conflict(bench: Bench) -> None:
    bench.city.handles = {CODE: bench.world.consent(uses=1), "fuzhou-other": bench.world.consent(uses=1)}
    await bench.checks.check(_question())
    await _refused(bench, Reason.REQUEST_CONFLICT, _question(handle="fuzhou-other"))


@pytest.mark.parametrize("handle", [CODE, "nowhere-abcdefghjkmn", "xiamen-abcdefghjkmn"])
async def test_an_unknown_code_and_an_unknown_city_are_one_error(bench: Bench, handle: str) -> None:
    error = await _refused(bench, Reason.HANDLE_INVALID, _question(handle=handle))
    assert error.retry_after_s is None


async def test_an_operator_that_guesses_is_told_when_to_go_on(bench: Bench) -> None:
    bench.city.handles[CODE] = bench.world.consent(uses=1)
    bench.city.fails = TiergateError(Reason.RATE_LIMITED, "scripted", retry_after_s=60)
    assert (await _refused(bench, Reason.RATE_LIMITED, _question())).retry_after_s == 60


async def test_no_city_is_asked_for_a_scenario_that_is_not_the_operators(bench: Bench) -> None:
    await _refused(bench, Reason.SCENARIO_UNKNOWN, _question(scenario="no-such-scenario"))
    await _refused(bench, Reason.SCENARIO_NOT_OPEN, _question(scenario=FUZHOU_TRANSIT))
    assert not bench.city.asked


async def test_rules_that_have_run_out_decide_nothing(bench: Bench) -> None:
    bench.world.bundle = replace(bench.world.bundle, expires=bench.world.bundle.expires - timedelta(days=3650))
    await _refused(bench, Reason.RULES_OUT_OF_FORCE, _question())
    assert not bench.city.asked


Make = Callable[[Bench], str]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda bench: "not.a.token", id="no token"),
        pytest.param(lambda bench: bench.world.consent(uses=1, audience="zhejiang"), id="other audience"),
        pytest.param(lambda bench: bench.world.consent(uses=1, lifetime_s=400 * 86_400), id="lives too long"),
        pytest.param(lambda bench: bench.world.consent(uses=1, purpose="marketing"), id="other purpose"),
        pytest.param(lambda bench: bench.world.consent(), id="unlimited"),
        pytest.param(lambda bench: bench.world.consent(uses=1, device=Device()), id="a device's"),
    ],
)
async def test_a_city_cannot_have_a_token_decided_on_that_would_not_pass_itself(bench: Bench, make: Make) -> None:
    bench.city.handles[CODE] = make(bench)
    bench.city.attest = _attests_anything(bench)  # type: ignore[method-assign]
    await _refused(bench, Reason.HOME_CITY_UNAVAILABLE, _question())


async def test_nor_another_citys_though_that_city_has_attested_it(bench: Bench) -> None:
    bench.city.handles[CODE] = bench.world.consent(uses=1, city=XIAMEN)
    await _refused(bench, Reason.HOME_CITY_UNAVAILABLE, _question())
    assert len(bench.city.asked) == 1


async def test_nor_one_of_another_operator(bench: Bench) -> None:
    token = bench.world.consent(uses=1, city=XIAMEN, operator=METRO, scenario=FUZHOU_TRANSIT)
    bench.city.handles[CODE] = token
    bench.city.attest = _attests_anything(bench)  # type: ignore[method-assign]
    await _refused(bench, Reason.HOME_CITY_UNAVAILABLE, _question())


def _attests_anything(bench: Bench) -> Any:
    async def attest(_question: object) -> str:
        return "an.attestation.of-something"

    return attest


async def test_an_attestation_of_another_request_is_refused(bench: Bench) -> None:
    token = bench.city.handles[CODE] = bench.world.consent(uses=1)
    other = bench.world.attestation(
        bench.world.read(token), 1, now_s=bench.clock.now_ms() // 1000, request_id=RequestId("request-of-another")
    )
    bench.city.forge = lambda _text: other
    await _refused(bench, Reason.HOME_CITY_UNAVAILABLE, _question())


async def test_a_withdrawal_wins_over_a_code_too(bench: Bench) -> None:
    token = bench.city.handles[CODE] = bench.world.consent(uses=1)
    await bench.events.take(bench.world.read(token).issuer, bench.world.withdrawal(bench.world.read(token).id))
    answer = await bench.checks.check(_question())
    assert answer.decision.outcome is Outcome.ORDINARY


async def test_a_correction_meanwhile_has_the_city_asked_again_with_the_token(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = bench.city.handles[CODE] = bench.world.consent(uses=1)
    redeem = bench.city.redeem

    async def corrected(question: AttestQuestion) -> Redeemed:
        answer = await redeem(question)
        await bench.events.take(FUZHOU, bench.world.correction())
        bench.city.rung = 0
        return answer

    monkeypatch.setattr(bench.city, "redeem", corrected)
    assert (await bench.checks.check(_question())).decision.rung == 0
    assert [asked.token for asked in bench.city.asked] == [token, token]


async def test_a_batch_may_hold_both(bench: Bench) -> None:
    bench.city.handles[CODE] = bench.world.consent(uses=1)
    token = bench.world.consent(uses=1)
    results = await bench.checks.check_many(
        [
            _question(1),
            bench.question(token, 2),
            _question(3, handle="fuzhou-unknown"),
            _question(4, handle="nowhere-unknown"),
            bench.question(token, 5, proof="unexpected"),
        ]
    )
    told = [item.reason if isinstance(item, TiergateError) else item.decision.rung for item in results]
    assert told == [1, 1, Reason.HANDLE_INVALID, Reason.HANDLE_INVALID, Reason.PROOF_NOT_EXPECTED]
    assert isinstance(results[0], CheckAnswer)


async def test_the_handles_of_a_batch_leave_together(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.city.handles[CODE] = bench.world.consent(uses=1)
    redeem_many, calls = bench.city.redeem_many, list[int]()

    async def counted(questions: Sequence[AttestQuestion]) -> list[Redeemed | TiergateError]:
        calls.append(len(questions))
        return await redeem_many(questions)

    monkeypatch.setattr(bench.city, "redeem_many", counted)
    results = await bench.checks.check_many([_question(1), *(_question(n, handle="fuzhou-no") for n in range(2, 257))])
    assert calls == [256]
    assert isinstance(results[0], CheckAnswer)
    assert {item.reason for item in results[1:] if isinstance(item, TiergateError)} == {Reason.HANDLE_INVALID}


async def test_what_fails_the_call_for_a_batchs_handles_fails_its_tokens_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(_questions: Sequence[AttestQuestion]) -> list[Redeemed | TiergateError]:
        raise TiergateError(Reason.BUSY, retry_after_s=5)

    monkeypatch.setattr(bench.city, "redeem_many", busy)
    one, two = await bench.checks.check_many([_question(1), bench.question(bench.world.consent(uses=1), 2)])
    assert isinstance(one, TiergateError)
    assert one.reason is Reason.BUSY
    assert isinstance(two, CheckAnswer)
