"""What two operators, the gateway and a thief of its database hold of one resident, compared (gateway/THREATS.md)."""

from __future__ import annotations

from typing import Any

from gateway.crypto import jws
from gateway.crypto.attestation import TYP as ATTESTATION
from gateway.crypto.consent import TYP as CONSENT
from tests.fakes.city import FakeCity
from tests.fakes.network import PARKING, XIAMEN_PARKING

TIMES = {"iat", "nbf", "exp"}


def common(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """Claims that have the same value in both."""
    assert one.keys() == other.keys()
    return {name for name in one if one[name] == other[name]}


async def test_tokens_for_two_operators_share_nothing_of_the_resident(city: FakeCity) -> None:
    library = await city.grant()
    parking = await city.grant(operator=XIAMEN_PARKING, scenario=PARKING)
    assert common(jws.parse(library.token, CONSENT).claims, jws.parse(parking.token, CONSENT).claims) == {
        "iss",
        "aud",
        "uses",
        *TIMES,
    }
    # nor do the attestations on them, but for the rung, which says something of many
    one = await city.attester.answer(city.question(library.token))
    two = await city.attester.answer(city.question(parking.token, operator=XIAMEN_PARKING, scenario=PARKING))
    shared = common(jws.parse(one, ATTESTATION).claims, jws.parse(two, ATTESTATION).claims)
    assert shared <= {"iss", "aud", "bundle", "rung", *TIMES}


async def test_two_consents_at_one_operator_are_one_residents_by_their_identifier(city: FakeCity) -> None:
    first, second = await city.grant(), await city.grant()
    shared = common(jws.parse(first.token, CONSENT).claims, jws.parse(second.token, CONSENT).claims)
    assert "sub" in shared
    assert "jti" not in shared
