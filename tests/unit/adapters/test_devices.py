"""Consents bound to a device's key, at its home city."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.authority import Granted
from adapters.store.attestations import Tidy
from gateway.crypto.keys import Algorithm
from gateway.crypto.proof import PROOF_KEPT_S
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason, TiergateError
from tests.fakes.city import RESIDENT, FakeCity, terms_of
from tests.fakes.device import Device
from tests.fakes.network import PARKING, XIAMEN_LIBRARY, XIAMEN_PARKING, Network
from tests.unit.adapters.conftest import refuses

OTHER = ResidentRef("synthetic-2")
AT_PARKING: dict[str, Any] = {"operator": XIAMEN_PARKING, "scenario": PARKING}


@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
@pytest.mark.parametrize("uses", [0, 2])
async def test_a_fresh_proof_is_answered(city: FakeCity, alg: Algorithm, uses: int) -> None:
    device = Device(alg)
    granted = await city.grant(uses=uses, device_key=device.jwk)
    token = city.network.trusted().consents.verify(granted.token, operator=XIAMEN_LIBRARY, now_s=city.now_s)
    assert (token.bound, token.key_thumbprint, token.uses) == ("device", device.thumbprint, uses or None)
    attestation = await city.answer(granted.token, proof=device.proof(granted.token, now_s=city.now_s))
    assert attestation.rung == 1
    assert (attestation.request is None) == (uses == 0)
    (view,) = city.authority.list(RESIDENT, 0)
    assert view.listed.row.bound == "device"
    assert view.listed.life.spent == (1 if uses else 0)


async def test_a_key_of_another_operator_is_refused(city: FakeCity) -> None:
    device = Device()
    await city.grant(device_key=device.jwk)
    with refuses(Reason.DEVICE_KEY_REUSED):
        await city.grant(device_key=device.jwk, **AT_PARKING)
    await city.grant(device_key=Device().jwk, **AT_PARKING)


async def test_a_key_of_somebody_else_is_refused(city: FakeCity) -> None:
    device = Device()
    await city.grant(device_key=device.jwk)
    with refuses(Reason.DEVICE_KEY_REUSED):
        await city.grant(OTHER, device_key=device.jwk)
    assert city.authority.list(OTHER, 0) == []


async def test_a_key_may_serve_the_same_resident_and_operator_again(city: FakeCity) -> None:
    device = Device()
    one, two = await city.grant(device_key=device.jwk), await city.grant(uses=0, device_key=device.jwk)
    for granted in (one, two):
        assert (await city.answer(granted.token, proof=device.proof(granted.token, now_s=city.now_s))).rung == 1


async def test_of_two_operators_that_are_given_one_key_at_once_one_gets_it(city: FakeCity) -> None:
    device = Device()
    results = await asyncio.gather(
        city.grant(device_key=device.jwk), city.grant(device_key=device.jwk, **AT_PARKING), return_exceptions=True
    )
    (error,) = [item for item in results if isinstance(item, TiergateError)]
    assert error.reason is Reason.DEVICE_KEY_REUSED


async def test_what_is_kept_of_a_key_names_neither_it_nor_anybody(city: FakeCity) -> None:
    device = Device()
    granted = await city.grant(device_key=device.jwk)
    token = city.network.trusted().consents.verify(granted.token, operator=XIAMEN_LIBRARY, now_s=city.now_s)
    (row,) = city.store._reader.execute("SELECT * FROM device_keys").fetchall()
    assert [len(value) for value in row] == [32, 32]
    for known in (device.thumbprint, token.subject, RESIDENT):
        assert all(known.encode() not in bytes(value) for value in row)


@pytest.mark.parametrize(
    "changes",
    [
        {"y": None},
        {"x": "A" * 43},
        {"kty": "RSA"},
        {"d": "A" * 43},
        {"crv": "Ed25519"},
    ],
    ids=str,
)
async def test_a_key_that_is_none_is_refused(city: FakeCity, changes: dict[str, str | None]) -> None:
    jwk = {name: value for name, value in {**Device().jwk, **changes}.items() if value is not None}
    with refuses(Reason.DEVICE_KEY_INVALID):
        await city.grant(device_key=jwk)


async def test_a_token_has_one_holder(city: FakeCity) -> None:
    with refuses(Reason.CONSENT_LIMITS):
        await city.grant(uses=0, bound=True, device_key=Device().jwk)


async def test_a_replay_is_refused_before_anything_is_read_or_spent(city: FakeCity) -> None:
    device = Device()
    granted = await city.grant(device_key=device.jwk)
    proof = device.proof(granted.token, now_s=city.now_s)
    await city.answer(granted.token, proof=proof)
    reads = len(city.source.reads)
    for _ in range(2):
        with refuses(Reason.PROOF_REPLAYED):
            await city.answer(granted.token, proof=proof)
    assert len(city.source.reads) == reads
    (view,) = city.authority.list(RESIDENT, 0)
    assert view.listed.life.spent == 1


@pytest.mark.parametrize("uses", [0, 50])
async def test_of_many_at_once_with_one_proof_exactly_one_is_answered(city: FakeCity, uses: int) -> None:
    device = Device()
    granted = await city.grant(uses=uses, device_key=device.jwk)
    proof = device.proof(granted.token, now_s=city.now_s)
    questions = [city.question(granted.token, proof=proof) for _ in range(40)]
    results = await asyncio.gather(*map(city.attester.answer, questions), return_exceptions=True)
    reasons = Counter(item.reason if isinstance(item, TiergateError) else "attested" for item in results)
    assert reasons == {"attested": 1, Reason.PROOF_REPLAYED: 39}
    (view,) = city.authority.list(RESIDENT, 0)
    assert view.listed.life.spent == (1 if uses else 0)


async def test_a_retry_is_no_replay_and_needs_no_fresh_proof(city: FakeCity) -> None:
    device = Device()
    granted = await city.grant(uses=1, device_key=device.jwk)
    question = city.question(granted.token, proof=device.proof(granted.token, now_s=city.now_s))
    first = await city.attester.answer(question)
    assert await city.attester.answer(question) == first
    city.clock.advance(200)
    assert await city.attester.answer(question) == first
    renewed = replace(question, proof=device.proof(granted.token, now_s=city.now_s))
    assert await city.attester.answer(renewed) == first
    city.clock.advance(200)
    assert city.verified(await city.attester.answer(question), question).rung == 1  # anew, and no use is spent


async def test_a_retry_is_still_held_to_the_key(city: FakeCity) -> None:
    device = Device()
    granted = await city.grant(uses=1, device_key=device.jwk)
    question = city.question(granted.token, proof=device.proof(granted.token, now_s=city.now_s))
    await city.attester.answer(question)
    with refuses(Reason.PROOF_REQUIRED):
        await city.attester.answer(replace(question, proof=""))
    with refuses(Reason.PROOF_INVALID):
        await city.attester.answer(replace(question, proof=Device().proof(granted.token, now_s=city.now_s)))


async def test_a_stale_proof_is_stale(city: FakeCity) -> None:
    device = Device()
    granted = await city.grant(device_key=device.jwk)
    for issued_at in (city.now_s - 61, city.now_s + 11):
        with refuses(Reason.PROOF_STALE):
            await city.answer(granted.token, proof=device.proof(granted.token, now_s=issued_at))


async def test_the_gateway_cannot_ask_with_the_operators_key(city: FakeCity) -> None:
    granted = await city.grant(device_key=Device().jwk)
    with refuses(Reason.PROOF_MALFORMED):
        await city.answer(granted.token, proof=city.network.proof(granted.token, now_s=city.now_s))


async def test_a_withdrawn_consents_proof_is_good_once_too(city: FakeCity) -> None:
    device = Device()
    granted = await city.grant(device_key=device.jwk)
    await city.authority.change(RESIDENT, granted.id, "withdraw")
    proof = device.proof(granted.token, now_s=city.now_s)
    assert (await city.answer(granted.token, proof=proof)).rung == 0
    with refuses(Reason.PROOF_REPLAYED):
        await city.answer(granted.token, proof=proof)


async def test_a_platform_that_cannot_answer_uses_no_proof_up(city: FakeCity) -> None:
    device = Device()
    granted = await city.grant(device_key=device.jwk)
    proof = device.proof(granted.token, now_s=city.now_s)
    city.source.fault = TiergateError(Reason.PLATFORM_UNAVAILABLE, "scripted", retry_after_s=5)
    with refuses(Reason.PLATFORM_UNAVAILABLE):
        await city.answer(granted.token, proof=proof)
    city.source.fault = None
    assert (await city.answer(granted.token, proof=proof)).rung == 1


async def test_a_proof_is_remembered_across_a_restart_and_forgotten_in_time(network: Network, tmp_path: Path) -> None:
    device = Device()
    async with FakeCity(network, tmp_path) as before:
        before.source.know(RESIDENT, 900)
        granted = await before.grant(device_key=device.jwk)
        proof = device.proof(granted.token, now_s=before.now_s)
        await before.answer(granted.token, proof=proof)
    async with FakeCity(network, tmp_path) as after:
        with refuses(Reason.PROOF_REPLAYED):
            await after.answer(granted.token, proof=proof)
        kept = "SELECT COUNT(*) FROM proofs"
        after.clock.advance(PROOF_KEPT_S)
        await after.store.submit(Tidy(after.now_s))
        assert after.store._reader.execute(kept).fetchone() == (1,)
        after.clock.advance(1)
        await after.store.submit(Tidy(after.now_s))
        assert after.store._reader.execute(kept).fetchone() == (0,)


async def _narrow(city: FakeCity, consent_id: str, **changes: Any) -> Granted:
    terms = terms_of(**changes)
    digest = city.authority.preview(terms).notice.digest
    granted, _ = await city.authority.replace(RESIDENT, consent_id, "narrow", terms, digest)
    return granted


async def test_a_narrower_consent_stays_with_a_device(city: FakeCity) -> None:
    device = Device()
    granted = await city.grant(device_key=device.jwk)
    for other in ({"uses": 1}, {"uses": 2}, {"uses": 0}):
        with refuses(Reason.CONSENT_LIMITS):
            await _narrow(city, granted.id, **other)
    foreign = Device()
    await city.grant(OTHER, device_key=foreign.jwk)
    with refuses(Reason.DEVICE_KEY_REUSED):
        await _narrow(city, granted.id, uses=2, device_key=foreign.jwk)
    assert (await city.answer(granted.token, proof=device.proof(granted.token, now_s=city.now_s))).rung == 1
    narrower = await _narrow(city, granted.id, uses=1, device_key=device.jwk)
    assert (await city.answer(narrower.token, proof=device.proof(narrower.token, now_s=city.now_s))).rung == 1
    assert (await city.answer(granted.token, proof=device.proof(granted.token, now_s=city.now_s))).rung == 0


async def test_binding_a_consent_to_a_device_narrows_it(city: FakeCity) -> None:
    granted = await city.grant(uses=1)
    device = Device()
    bound = await _narrow(city, granted.id, uses=1, device_key=device.jwk)
    with refuses(Reason.PROOF_REQUIRED):
        await city.answer(bound.token)
