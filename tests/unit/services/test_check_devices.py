"""Checks of device-bound consents at the gateway: fresh, good once, from the cache too."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from gateway.errors import Reason, TiergateError
from gateway.services.check import CheckAnswer
from tests.fakes.device import Device
from tests.fakes.world import FUZHOU, FUZHOU_TRANSIT, METRO, XIAMEN
from tests.unit.services.bench_of_checks import Bench, bench, refused

__all__ = ["bench"]  # a fixture


def _now(bench: Bench) -> int:
    return bench.clock.now_ms() // 1000


def _reasons(results: list[Any]) -> Counter[object]:
    return Counter(item.reason if isinstance(item, TiergateError) else "answered" for item in results)


@pytest.mark.parametrize("uses", [2, None])
async def test_a_fresh_proof_is_answered_and_registered_as_the_devices(bench: Bench, uses: int | None) -> None:
    device = Device()
    token = bench.world.consent(uses=uses, device=device)
    answer = await bench.check(token, proof=device.proof(token, now_s=_now(bench)))
    assert answer.decision.rung == 1
    (registered,) = [entry for entry in bench.log() if entry.type == "consent_registered"]
    assert registered.text("bound") == "device"


async def test_the_city_is_given_the_proof_as_it_came(bench: Bench) -> None:
    device = Device()
    token = bench.world.consent(uses=1, device=device)
    proof = device.proof(token, now_s=_now(bench))
    await bench.check(token, proof=proof)
    assert [asked.proof for asked in bench.city.asked] == [proof]


async def test_an_unlimited_one_is_cached_and_still_needs_a_new_proof_each_time(bench: Bench) -> None:
    device = Device()
    token = bench.world.consent(device=device)
    proofs = [device.proof(token, now_s=_now(bench)) for _ in range(3)]
    for number, proof in enumerate(proofs):
        await bench.check(token, number, proof=proof)
    assert len(bench.city.asked) == 1
    for number, proof in enumerate(proofs, start=10):
        await refused(bench, Reason.PROOF_REPLAYED, token, number=number, proof=proof)
    assert len(bench.city.asked) == 1


async def test_a_replay_does_not_reach_the_city(bench: Bench) -> None:
    device = Device()
    token = bench.world.consent(uses=5, device=device)
    proof = device.proof(token, now_s=_now(bench))
    await bench.check(token, 1, proof=proof)
    await refused(bench, Reason.PROOF_REPLAYED, token, number=2, proof=proof)
    assert len(bench.city.asked) == 1


async def test_a_proof_taken_through_the_cache_is_replayed_by_a_round_trip_too(bench: Bench) -> None:
    """The city has never seen it: the log's transaction is what refuses it."""
    device = Device()
    token = bench.world.consent(device=device)
    await bench.check(token, 1, proof=device.proof(token, now_s=_now(bench)))
    proof = device.proof(token, now_s=_now(bench))
    await bench.check(token, 2, proof=proof)
    bench.cache.flush(FUZHOU)
    await refused(bench, Reason.PROOF_REPLAYED, token, number=3, proof=proof)


@pytest.mark.parametrize("uses", [50, None])
@pytest.mark.parametrize("cached", [False, True])
async def test_of_many_at_once_with_one_proof_exactly_one_is_answered(
    bench: Bench, uses: int | None, *, cached: bool
) -> None:
    device = Device()
    token = bench.world.consent(uses=uses, device=device)
    if cached:
        await bench.check(token, 1000, proof=device.proof(token, now_s=_now(bench)))
    proof = device.proof(token, now_s=_now(bench))
    results = await asyncio.gather(
        *(bench.check(token, number, proof=proof) for number in range(20)), return_exceptions=True
    )
    assert _reasons(results) == {"answered": 1, Reason.PROOF_REPLAYED: 19}


async def test_in_one_batch_too(bench: Bench) -> None:
    device = Device()
    token = bench.world.consent(device=device)
    proof = device.proof(token, now_s=_now(bench))
    results = await bench.checks.check_many([bench.question(token, number, proof=proof) for number in range(5)])
    assert _reasons(results) == {"answered": 1, Reason.PROOF_REPLAYED: 4}


async def test_a_retry_is_no_replay_and_needs_no_fresh_proof(bench: Bench) -> None:
    device = Device()
    token = bench.world.consent(device=device)
    proof = device.proof(token, now_s=_now(bench))
    first = await bench.check(token, proof=proof)
    assert (await bench.check(token, proof=proof)).decision == first.decision
    bench.clock.advance(100)
    assert (await bench.check(token, proof=proof)).decision == first.decision
    bench.clock.advance(300)
    later = await bench.check(token, proof=proof)
    assert later.decision.log_index > first.decision.log_index
    await refused(bench, Reason.PROOF_INVALID, token, proof=Device().proof(token, now_s=_now(bench)))
    bench.clock.advance(300)
    await refused(bench, Reason.REQUEST_ENDED, token, proof=proof)  # one proof is no standing question about her


async def test_a_stale_proof_of_a_new_request(bench: Bench) -> None:
    device = Device()
    token = bench.world.consent(uses=1, device=device)
    for issued_at in (_now(bench) - 61, _now(bench) + 11):
        await refused(bench, Reason.PROOF_STALE, token, proof=device.proof(token, now_s=issued_at))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scenario": "fuzhou-transit"}, Reason.PROOF_INVALID),
        ({"operator": "fuzhou-metro"}, Reason.PROOF_INVALID),
        ({"token_hash": bytes(32)}, Reason.PROOF_INVALID),
    ],
    ids=str,
)
async def test_a_proof_for_something_else(bench: Bench, changes: dict[str, Any], reason: Reason) -> None:
    device = Device()
    token = bench.world.consent(uses=1, device=device)
    await refused(bench, reason, token, proof=device.proof(token, now_s=_now(bench), **changes))


async def test_a_stolen_token_without_its_key(bench: Bench) -> None:
    token = bench.world.consent(uses=1, device=Device())
    await refused(bench, Reason.PROOF_REQUIRED, token, proof="")
    await refused(bench, Reason.PROOF_INVALID, token, proof=Device().proof(token, now_s=_now(bench)))
    await refused(bench, Reason.PROOF_MALFORMED, token, proof=bench.world.proof(token))


async def test_a_token_and_a_proof_that_another_operator_has_seen(bench: Bench) -> None:
    device = Device()
    token = bench.world.consent(uses=1, city=XIAMEN, operator=METRO, scenario=FUZHOU_TRANSIT, device=device)
    proof = device.proof(token, now_s=_now(bench), operator=METRO, scenario=FUZHOU_TRANSIT)
    await refused(bench, Reason.TOKEN_OTHER_OPERATOR, token, proof=proof)


async def test_a_city_that_fails_uses_no_proof_up(bench: Bench) -> None:
    device = Device()
    token = bench.world.consent(uses=1, device=device)
    proof = device.proof(token, now_s=_now(bench))
    bench.city.fails = TiergateError(Reason.HOME_CITY_UNAVAILABLE, retry_after_s=5)
    await refused(bench, Reason.HOME_CITY_UNAVAILABLE, token, proof=proof)
    bench.city.fails = None
    assert isinstance(await bench.check(token, proof=proof), CheckAnswer)
