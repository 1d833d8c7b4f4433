"""Consent receipts: nothing in them can be changed, and a city that lies in one is contradicted by the log."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.consentlog.consent_receipt import match_token, verify_receipt
from gateway.consentlog.note import SignerKey
from gateway.consentlog.trust import TrustPolicy
from gateway.crypto import jws
from gateway.crypto.keys import b64url
from gateway.domain.consent_record import WITHDRAWN
from gateway.errors import Reason, TiergateError
from tests.unit.adapters.conftest import refuses
from tests.unit.adapters.test_receipts import Life, life

__all__ = ["life"]  # a fixture


async def _whole(life: Life) -> str:
    await life.use()
    await life.withdraw()
    await life.city.pusher.push_once()
    return life.text()


async def test_any_changed_byte_is_noticed(life: Life) -> None:
    text = (await _whole(life)).encode()
    chance = random.Random(7)
    for at in range(len(text)):
        changed = bytes([*text[:at], text[at] ^ (1 << chance.randrange(7)), *text[at + 1 :]])
        with refuses(Reason.RECEIPT_INVALID):
            life.verified(changed.decode("ascii"))
    for cut in (text[:-1], text[1:], text + b"A", b""):
        with refuses(Reason.RECEIPT_INVALID):
            life.verified(cut.decode())


async def test_trust_in_another_log_accepts_no_entry(life: Life) -> None:
    text = await _whole(life)
    other = SignerKey.generate(life.city.network.log.name)
    trust = TrustPolicy.parse(f"log {other.verifier}\nquorum none\n".encode())
    with refuses(Reason.RECEIPT_INVALID):
        verify_receipt(text, life.city.reference.directory, trust)


async def test_a_directory_without_the_citys_key_accepts_nothing(life: Life) -> None:
    text = life.text()
    directory = life.city.reference.directory
    city = directory.cities[life.city.id]
    for peers in (
        {},
        {city.id: replace(city, keys=tuple(key for key in city.keys if key.purpose != "consent"))},
    ):
        with refuses(Reason.RECEIPT_INVALID):
            verify_receipt(text, replace(directory, cities=peers), life.city.reference.log)


def _set(*path: str | int, to: Any) -> Any:
    def change(claims: dict[str, Any]) -> None:
        place: Any = claims
        for step in path[:-1]:
            place = place[step]
        if to is None:
            del place[path[-1]]
        else:
            place[path[-1]] = to

    return change


LIES = {
    "another consent": _set("record", "record_id", to="B" * 22),
    "another token": _set("token", to=b64url(bytes(32))),
    "a short token": _set("token", to=b64url(bytes(31))),
    "another opening": _set("registration", "opening", to=b64url(bytes(32))),
    "no opening": _set("registration", "opening", to=None),
    "another operator": _set(
        "record", "pii_processing", "purposes", 0, "recipient_third_parties", to=["operator/xiamen-parking"]
    ),
    "another end": _set("record", "events", 0, "valid_until", to="2030-01-01T00:00:00Z"),
    "another binding": _set("record", "events", 0, "terms", "bound", to="device"),
    "never withdrawn": _set("changes", to=None),
    "not withdrawn in the record": _set("record", "events", 1, to=None),
    "replaced and no pause": _set("record", "events", 1, "event_state", to="tiergate:ConsentPaused"),
    "at another time": _set("record", "events", 1, "event_time", to="2026-11-01T00:00:01Z"),
    "changes that are text": _set("changes", to="x"),
    "another schema": _set("record", "schema_version", to="tiergate-consent-record/0"),
    "no entry beside the proof": _set("changes", 0, "entry", to=None),
    "no event": _set("changes", 0, "event", to=None),
    "a member more": _set("score", to=900),
    "a member more in the registration": _set("registration", "note", to="x"),
    "another controller": _set("record", "party_identification", 0, "party_id", to="city/xiamen"),
    "another processor": _set("record", "pii_processing", "purposes", 0, "pii_processors", to=["gateway/else"]),
    "kept elsewhere": _set("record", "pii_processing", "purposes", 0, "storage_locations", to=["city/fuzhou"]),
    "a withdrawal that reaffirms": _set("record", "events", 1, "event_type", to="dpv:ReaffirmConsent"),
    "no grant": _set("record", "events", 0, to=None),
    "no record": _set("record", to="x"),
    "registration that is text": _set("registration", to="x"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_the_city_says_must_be_what_the_log_says(life: Life, lie: str) -> None:
    claims = life.claims(await _whole(life))
    assert life.verified(life.forged(claims)).state == WITHDRAWN
    LIES[lie](claims)
    with refuses(Reason.RECEIPT_INVALID):
        life.verified(life.forged(claims))


async def test_evidence_of_another_consent_is_refused(life: Life) -> None:
    claims = life.claims(await _whole(life))
    granted = await life.city.grant()
    other = Life(life.city, granted.id, granted.token)
    theirs = life.claims(await _whole(other))
    for part in ("registration", "changes"):
        with refuses(Reason.RECEIPT_INVALID):
            life.verified(life.forged({**claims, part: theirs[part]}))


async def test_a_withdrawal_that_does_not_name_its_registration_is_refused(life: Life) -> None:
    """Left out, an auditor could not see that a later entitled decision breaks it."""
    claims = life.claims(await _whole(life))
    (change,) = claims["changes"]
    log = life.city.gateway.log
    entry, proof = log.receipt(log.take_event(change["event"]))
    with refuses(Reason.RECEIPT_INVALID):
        life.verified(life.forged({**claims, "changes": [change | {"entry": entry.decode(), "proof": proof.decode()}]}))


async def test_an_entry_that_names_a_registration_is_refused_beside_none(life: Life) -> None:
    claims = life.claims(await _whole(life))
    del claims["registration"]
    with refuses(Reason.RECEIPT_INVALID):
        life.verified(life.forged(claims))


def _another_recipient(claims: dict[str, Any]) -> None:
    other = "operator/xiamen-parking"
    _set(*PURPOSE, "recipient_third_parties", to=[other])(claims)
    _set("record", "party_identification", 2, "party_id", to=other)(claims)


PROCESSING = ("record", "pii_processing")
PURPOSE = (*PROCESSING, "purposes", 0)
OTHER_TERMS = {
    "another notice": ("notice", _set(*PROCESSING, "privacy_notice", "sha256", to="0" * 64)),
    "another person": ("sub", _set("record", "pii_principal_id", to="B" * 43)),
    "another consent": ("jti", _set("record", "record_id", to="B" * 22)),
    "another recipient": ("azp", _another_recipient),
    "another purpose": ("authorization_details", _set(*PURPOSE, "purpose", to="anything-else")),
    "another scenario": ("authorization_details", _set(*PURPOSE, "services", to=["other-scenario"])),
    "more uses": ("uses", _set("record", "events", 0, "terms", "uses", to=999)),
    "no count": ("uses", _set("record", "events", 0, "terms", "uses", to=None)),
    "given at another time": ("iat", _set("record", "events", 0, "event_time", to="1999-01-01T00:00:00Z")),
    "another end": ("exp", _set("record", "events", 0, "valid_until", to="2030-01-01T00:00:00Z")),
    "another binding": ("cnf", _set("record", "events", 0, "terms", "bound", to="device")),
}


@pytest.mark.parametrize("lie", OTHER_TERMS)
async def test_with_the_token_each_of_its_claims_is_held_against_the_record(life: Life, lie: str) -> None:
    claims = life.claims(life.text())
    match_token(life.verified(life.forged(claims)), life.token)
    claim, change = OTHER_TERMS[lie]
    change(claims)
    lying = life.verified(life.forged(claims))  # before the first use the log contradicts none of it
    with pytest.raises(TiergateError) as told:
        match_token(lying, life.token)
    assert told.value.reason is Reason.RECEIPT_INVALID
    assert told.value.detail == f"record and token disagree: {claim}"


async def test_each_claim_of_a_token_is_compared(life: Life) -> None:
    """Those of the list are all that a token has, but for city, deployment and beginning, which cannot differ."""
    claims = set(jws.parse(life.token, "consent+jwt").claims)
    assert claims - {claim for claim, _ in OTHER_TERMS.values()} == {"iss", "aud", "nbf"}


async def test_the_receipt_of_another_token_is_refused(life: Life) -> None:
    granted = await life.city.grant()
    for text in (granted.token, f"{life.token}.", "no token"):
        with refuses(Reason.RECEIPT_INVALID):
            match_token(life.verified(life.text()), text)


def _members(place: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path to every named member at every depth."""
    for name, value in place.items() if isinstance(place, dict) else enumerate(place):
        if isinstance(name, str):
            yield (*path, name)
        if isinstance(value, dict | list):
            yield from _members(value, (*path, name))


def _accepts(life: Life, claims: dict[str, Any]) -> bool:
    try:
        life.verified(life.forged(claims))
    except TiergateError as error:
        if error.reason is not Reason.RECEIPT_INVALID:
            raise
        return False
    return True


async def test_every_member_of_a_receipt_is_missed_but_those_that_may_be_absent(life: Life) -> None:
    whole = life.claims(await _whole(life))
    spared = set()
    for path in _members(whole):
        claims = copy.deepcopy(whole)
        _set(*path, to=None)(claims)
        if _accepts(life, claims):
            spared.add(path[-1])
    assert spared == {"reported", "uses", "party_contact", "zh"}


@pytest.mark.parametrize("value", [None, [], {}, 7, [{}], ""])
async def test_no_member_of_a_receipt_is_of_another_kind_than_it_should_be(life: Life, value: Any) -> None:
    whole = life.claims(await _whole(life))
    taken = set()
    for path in _members(whole):
        claims = copy.deepcopy(whole)
        place: Any = claims
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        if _accepts(life, claims):
            taken.add(path[-1])
    assert taken == ({"version", "reported", "uses"} if value == 7 else set())


async def test_a_member_more_is_refused_wherever_it_stands(life: Life) -> None:
    whole = life.claims(await _whole(life))
    places = {path[:-1] for path in _members(whole)}
    assert len(places) > 10
    for place in places:
        claims = copy.deepcopy(whole)
        _set(*place, "score", to=900)(claims)
        with refuses(Reason.RECEIPT_INVALID):
            life.verified(life.forged(claims))
