"""The city verifies consent itself: one test per thing that a curious or careless gateway could send."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.custody import SigningKey
from gateway.crypto.keys import generate_signing_key
from gateway.domain.bundle import Timeline
from gateway.domain.ids import BundleDigest, OperatorId, ScenarioId
from gateway.errors import Reason
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.network import (
    LIBRARY_LOAN,
    PARKING,
    TRANSIT,
    XIAMEN,
    XIAMEN_LIBRARY,
    XIAMEN_PARKING,
    Token,
    going_by,
)
from tests.unit.adapters.conftest import refuses

STRANGER = SigningKey("fuzhou-consent-1", generate_signing_key("ES256"))
UNLISTED = SigningKey("fuzhou-consent-9", generate_signing_key("ES256"))
EDWARDS = SigningKey("fuzhou-consent-1", generate_signing_key("EdDSA"))


def _token(city: FakeCity, **changes: Any) -> Token:
    """A counted token that the city signed; ``changes`` of its claims."""
    signing = changes.pop("key", None)
    return city.network.sign(city.network.claims(now_s=city.now_s), key=signing, **changes)


def _shifted(city: FakeCity, start: int, end: int) -> dict[str, int]:
    minute = city.now_s - city.now_s % 60
    return {"issued_at": minute + start, "not_before": minute + start, "expires_at": minute + end}


async def test_a_signed_token_that_is_on_no_record_is_rung_0(city: FakeCity) -> None:
    """The baseline of this file: the same token unchanged is answered."""
    assert (await city.answer(_token(city).text)).rung == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": STRANGER}, Reason.TOKEN_SIGNATURE_INVALID),
        ({"key": UNLISTED}, Reason.TOKEN_KEY_UNKNOWN),
        ({"key": EDWARDS}, Reason.TOKEN_ALGORITHM_WRONG),
        ({"audience": "another-province"}, Reason.TOKEN_AUDIENCE_WRONG),
        ({"operator": XIAMEN_PARKING}, Reason.TOKEN_OTHER_OPERATOR),
        ({"scenarios": {PARKING: "parking"}}, Reason.TOKEN_SCENARIO_NOT_COVERED),
        ({"scenarios": {LIBRARY_LOAN: "another-purpose"}}, Reason.TOKEN_SCENARIO_NOT_COVERED),
        ({"uses": 51}, Reason.TOKEN_TOO_LONG_LIVED),
    ],
)
async def test_a_token_that_is_not_good_here_is_refused(
    city: FakeCity, changes: dict[str, Any], reason: Reason
) -> None:
    with refuses(reason):
        await city.answer(_token(city, **changes).text)
    assert city.source.reads == []


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        (-7200, 0, Reason.TOKEN_EXPIRED),
        (60, 7200, Reason.TOKEN_NOT_YET_VALID),
        (0, 180 * 86_400 + 120, Reason.TOKEN_TOO_LONG_LIVED),
    ],
)
async def test_a_token_of_another_time_is_refused(city: FakeCity, start: int, end: int, reason: Reason) -> None:
    with refuses(reason):
        await city.answer(_token(city, **_shifted(city, start, end)).text)


async def test_another_citys_token_is_none_of_this_citys_business(city: FakeCity) -> None:
    token = city.network.token(now_s=city.now_s, city=XIAMEN)
    with refuses(Reason.TOKEN_KEY_UNKNOWN):
        await city.answer(token.text)


@pytest.mark.parametrize("text", ["a" * 5000, "no.dots", "a.b.c", "ü" * 30, ""])
async def test_a_malformed_token_is_refused(city: FakeCity, text: str) -> None:
    with refuses(Reason.MESSAGE_TOO_LARGE if len(text) > 4096 else Reason.TOKEN_MALFORMED):
        await city.answer(text)


async def test_a_bundle_that_is_not_loaded_is_a_mismatch(city: FakeCity) -> None:
    granted = await city.grant()
    with refuses(Reason.BUNDLE_MISMATCH):
        await city.answer(granted.token, bundle=BundleDigest("00" * 32))


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [(ScenarioId("nowhere"), Reason.SCENARIO_UNKNOWN), (TRANSIT, Reason.SCENARIO_NOT_OPEN)],
)
async def test_a_scenario_that_is_not_open_is_refused(city: FakeCity, scenario: ScenarioId, reason: Reason) -> None:
    granted = await city.grant()
    with refuses(reason):
        await city.answer(granted.token, scenario=scenario)


async def test_a_gateway_cannot_ask_in_another_operators_name(city: FakeCity) -> None:
    granted = await city.grant()
    with refuses(Reason.TOKEN_OTHER_OPERATOR):
        await city.answer(granted.token, operator=OperatorId("fuzhou-metro"), scenario=TRANSIT)


async def test_a_gateway_cannot_ask_without_the_operators_proof(city: FakeCity) -> None:
    granted = await city.grant(uses=0, bound=True)
    with refuses(Reason.PROOF_REQUIRED):
        await city.answer(granted.token, proof="")


async def test_a_proof_for_an_unbound_token_is_refused(city: FakeCity) -> None:
    granted = await city.grant(uses=1)
    with refuses(Reason.PROOF_NOT_EXPECTED):
        await city.answer(granted.token, proof=city.network.proof(granted.token, now_s=city.now_s))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": STRANGER}, Reason.PROOF_INVALID),
        ({"token_hash": b"\0" * 32}, Reason.PROOF_INVALID),
        ({"operator": XIAMEN_LIBRARY, "scenario": PARKING}, Reason.PROOF_INVALID),
        ({"operator": XIAMEN_PARKING}, Reason.PROOF_INVALID),
        ({"proof_id": "short"}, Reason.PROOF_MALFORMED),
    ],
)
async def test_a_proof_of_something_else_is_refused(city: FakeCity, changes: dict[str, Any], reason: Reason) -> None:
    granted = await city.grant(uses=0, bound=True)
    with refuses(reason):
        await city.answer(granted.token, proof=city.network.proof(granted.token, now_s=city.now_s, **changes))


@pytest.mark.parametrize("age", [301, -11])
async def test_a_proof_outside_its_window_is_refused(city: FakeCity, age: int) -> None:
    granted = await city.grant(uses=0, bound=True)
    with refuses(Reason.PROOF_STALE):
        await city.answer(granted.token, proof=city.network.proof(granted.token, now_s=city.now_s - age))


async def test_a_proof_is_good_for_its_whole_window(city: FakeCity) -> None:
    granted = await city.grant(uses=0, bound=True)
    proof = city.network.proof(granted.token, now_s=city.now_s)
    for _ in range(3):
        assert (await city.answer(granted.token, proof=proof)).rung == 1
        city.clock.advance(150)
        proof = proof if city.clock.mono < 1300 else city.network.proof(granted.token, now_s=city.now_s)


async def test_a_token_that_a_stricter_bundle_no_longer_allows_is_refused(city: FakeCity) -> None:
    granted = await city.grant(uses=0, bound=True)
    bundle = city.reference.bundle
    scenario = bundle.scenarios[LIBRARY_LOAN]
    strict = replace(scenario, consent=replace(scenario.consent, unlimited=False))
    city.reference = going_by(city.reference, replace(bundle, scenarios={LIBRARY_LOAN: strict}))
    with refuses(Reason.TOKEN_TOO_LONG_LIVED):
        await city.answer(granted.token, proof=city.network.proof(granted.token, now_s=city.now_s))


async def test_what_a_caller_can_see_is_tested_before_the_consents_state(city: FakeCity) -> None:
    granted = await city.grant(uses=1)
    await city.authority.change(RESIDENT, granted.id, "withdraw")
    await city.answer(granted.token)
    with refuses(Reason.USES_EXHAUSTED):
        await city.answer(granted.token)
    city.clock.advance(86_460)
    with refuses(Reason.TOKEN_EXPIRED):
        await city.answer(granted.token)


async def test_a_question_under_the_bundle_before_is_answered_while_it_is_in_grace(city: FakeCity) -> None:
    granted = await city.grant(uses=2)
    old = city.reference.bundle
    new = replace(old, digest=BundleDigest("cd" * 32), version=2, effective=int(city.now_s) + 60, grace_s=30)
    city.reference = replace(city.reference, timeline=Timeline((old, new)))
    question = city.question(granted.token)
    city.clock.advance(60)  # the new one is in force
    assert city.verified(await city.attester.answer(question), question).bundle == old.digest
    asked = replace(city.question(granted.token), bundle=new.digest)
    assert city.verified(await city.attester.answer(asked), asked).bundle == new.digest
    city.clock.advance(30)
    with refuses(Reason.BUNDLE_MISMATCH):
        await city.attester.answer(question)
