"""Consent receipts: nothing in them can be changed, and a city that lies in one is contradicted by the log."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from gateway.consentlog.consent_receipt import verify_receipt
from gateway.consentlog.note import SignerKey
from gateway.consentlog.trust import TrustPolicy
from gateway.crypto.consent import token_hash
from gateway.crypto.keys import b64url
from gateway.domain.consent_record import WITHDRAWN
from gateway.errors import Reason
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


async def test_a_token_hash_links_receipt_and_token(life: Life) -> None:
    assert life.receipt().token_hash == token_hash(life.token)
