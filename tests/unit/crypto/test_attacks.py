"""The attack tables against every door: each one is refused, with the one reason of the catalogue that it has there."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.crypto.consent import ConsentToken, token_hash
from gateway.crypto.envelope import sign, verify
from gateway.crypto.jws import decode_segment
from gateway.crypto.keys import b64url
from gateway.errors import CATALOGUE, Reason, TiergateError
from tests.unit.crypto.attacks import ORDER, TOKEN_ATTACKS
from tests.unit.crypto.doors import AUTHORITY, DOCUMENTS, DOORS, ROOT, Door, Slot, slots
from tests.unit.crypto.envelope_attacks import envelope_attacks
from tests.unit.crypto.json_attacks import JSON_ATTACKS

SLOTS = (
    "root",
    *(f"{door.name} {part}" for door in DOORS for part in ("header", "claims")),
    *(f"{name} {part}" for name in ("bundle", "directory") for part in ("envelope", "payload")),
)
CLEAR = {"INVALID_ARGUMENT", "PERMISSION_DENIED", "FAILED_PRECONDITION", "UNAVAILABLE"}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Slot]:
    found = slots(tmp_path_factory.mktemp("root"))
    assert set(found) == set(SLOTS)
    return found


def _refused(take: Any, given: Any) -> Reason | None:
    """The reason; None if it was taken. Anything but a TiergateError comes out as it is."""
    reason = None
    try:
        take(given)
    except TiergateError as error:
        reason = error.reason
    assert reason is None or CATALOGUE[reason].status in CLEAR
    return reason


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
@pytest.mark.parametrize("attacks", TOKEN_ATTACKS, ids=lambda attacks: attacks.__name__.strip("_"))
def test_no_forged_token_is_taken(door: Door, attacks: Any) -> None:
    forged = list(attacks(door))
    assert len({attack.name for attack in forged}) == len(forged) >= 10
    expected = {attack.name: door.reasons[attack.fault] for attack in forged}
    for _ in range(2):  # what is refused must not be remembered as good, nor a good one lend it its name
        door.take(door.good)
        assert {attack.name: _refused(door.take, attack.text) for attack in forged} == expected


@pytest.mark.parametrize("name", SLOTS)
def test_no_broken_json_is_taken(name: str, places: Mapping[str, Slot]) -> None:
    slot = places[name]
    slot.put(slot.good)
    found = {attack: _refused(slot.put, change(slot.good)) for attack, change in JSON_ATTACKS.items()}
    assert {attack: reason for attack, reason in found.items() if reason not in slot.reasons} == {}


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
@pytest.mark.parametrize("other", DOORS, ids=lambda door: door.name)
def test_a_good_token_of_another_type_is_not_taken(door: Door, other: Door) -> None:
    reason = _refused(door.take, other.good)
    if other is door:
        assert reason is None
    elif other.typ == door.typ:  # of the other algorithm, by a key that is not listed
        assert reason in {door.reasons["algorithm"], door.reasons["key"]}
    else:
        assert reason is door.reasons["type"]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_the_same_claims_written_otherwise_by_the_issuer_are_the_same(door: Door) -> None:
    """JSON has several spellings, and the issuer signed this one: nothing is ambiguous about it."""
    text = door.forge(payload=b" " + str(door.claims).replace("'", '"').encode() + b"\r\n\t")
    assert _without_hash(door.take(text)) == _without_hash(door.take(door.good))


def _without_hash(value: object) -> object:
    return value.claims() if isinstance(value, ConsentToken) else value


@pytest.mark.parametrize("door", [door for door in DOORS if door.keys.alg == "ES256"], ids=lambda door: door.name)
def test_the_twin_of_a_signature_is_the_same_token(door: Door) -> None:
    """``(r, n - s)`` is as good a signature, and anybody can make it; it must not make another token of it."""
    good = door.good
    body, _, text = good.rpartition(".")
    raw = decode_segment(text.encode())
    assert isinstance(door.key, ec.EllipticCurvePrivateKey)
    twin = raw[:32] + (ORDER["ES256"] - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    other = f"{body}.{b64url(twin)}"
    assert other != good
    assert door.take(other) == door.take(good)
    assert token_hash(other) == token_hash(good)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_no_forged_envelope_is_taken(kind: str) -> None:
    payload = DOCUMENTS[kind][0]
    forged = list(envelope_attacks(kind, payload, AUTHORITY))
    assert len({name for name, _ in forged}) == len(forged) >= 100
    found = {name: _refused(lambda data: verify(ROOT, kind, data), data) for name, data in forged}
    assert {name: reason for name, reason in found.items() if reason is not Reason.SIGNATURE_INVALID} == {}


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_one_authority_that_signs_twice_is_one(kind: str) -> None:
    """With the twin of its signature, and with a copy."""
    payload = DOCUMENTS[kind][0]
    envelope = json.loads(sign(kind, payload, [AUTHORITY]))
    (signature,) = envelope["signatures"]
    raw = b64decode(signature["sig"])
    twin = raw[:32] + (ORDER["ES256"] - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    for other in (raw, twin):
        envelope["signatures"] = [signature, {**signature, "sig": b64encode(other).decode()}]
        data = json.dumps(envelope).encode()
        assert verify(ROOT, kind, data) == payload
        two = replace(ROOT, thresholds=dict.fromkeys(ROOT.thresholds, 2))
        assert _refused(lambda data: verify(two, kind, data), data) is Reason.SIGNATURE_INVALID  # noqa: B023
