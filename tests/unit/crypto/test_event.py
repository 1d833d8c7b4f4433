from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.crypto.consent import MAX_CLOCK_AHEAD_S
from gateway.crypto.event import TYP, URNS, EventVerifier, SecurityEvent, issue_event
from gateway.crypto.keys import Algorithm, PrivateKey, b64url
from gateway.domain.consent import Contested
from gateway.domain.ids import CityId
from gateway.errors import Reason
from tests.unit.crypto.samples import (
    ALGORITHMS,
    CITY_KEYS,
    DEPLOYMENT,
    FUZHOU,
    GONE,
    KID,
    NOW,
    XIAMEN,
    changed,
    compact,
    foreign_ring,
    refuses,
    ring,
)

WITHDRAWN, CORRECTION, CONTESTED = (URNS[kind] for kind in ("withdrawal", "correction", "contest"))
KEY = CITY_KEYS["ES256"]
CONSENT = b64url(b"\x02" * 16)
WITHDRAWAL = SecurityEvent(b64url(b"\x04" * 16), FUZHOU, DEPLOYMENT, "withdrawal", CONSENT, NOW)
CORRECTED = SecurityEvent(b64url(b"\x05" * 16), FUZHOU, DEPLOYMENT, "correction", None, NOW)
PAUSED = replace(WITHDRAWAL, kind="pause")
RESUMED = replace(WITHDRAWAL, kind="resumption")
OPENED = replace(WITHDRAWAL, kind="contest", subject=Contested(7, "opened"))
CLAIMS: dict[str, Any] = {
    "iss": FUZHOU,
    "aud": DEPLOYMENT,
    "iat": NOW,
    "jti": WITHDRAWAL.id,
    "events": {WITHDRAWN: {"consent": CONSENT}},
}


def _raw(head: dict[str, Any] | None = None, key: PrivateKey = KEY, **changes: Any) -> str:
    return compact({"alg": "ES256", "kid": KID, "typ": TYP, **(head or {})}, changed(CLAIMS, **changes), key)


def _verify(text: str, *, sender: CityId = FUZHOU, now_s: float = NOW, alg: Algorithm = "ES256") -> SecurityEvent:
    return EventVerifier({FUZHOU: ring(CITY_KEYS[alg], "event", KID)}, DEPLOYMENT).verify(
        text, sender=sender, now_s=now_s
    )


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("event", [WITHDRAWAL, PAUSED, RESUMED, CORRECTED, OPENED], ids=lambda event: event.kind)
def test_what_is_issued_verifies_to_the_same_event(alg: Algorithm, event: SecurityEvent) -> None:
    assert _verify(issue_event(CITY_KEYS[alg], KID, event), alg=alg) == event


def test_the_claims_are_what_this_file_says() -> None:
    assert _verify(_raw()) == WITHDRAWAL


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_every_claim_is_required(name: str) -> None:
    with refuses(Reason.EVENT_INVALID):
        _verify(_raw(**{name: GONE}))


@pytest.mark.parametrize("name", sorted(CLAIMS))
@pytest.mark.parametrize("value", [None, True, -1, "", [], {}, 1.5, "x" * 200], ids=repr)
def test_every_claim_has_one_type(name: str, value: Any) -> None:
    with refuses(Reason.EVENT_INVALID):
        _verify(_raw(**{name: value}))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("garbage", id="no JWS"),
        pytest.param("x" * 5000, id="oversized"),
        pytest.param(_raw({"typ": "consent+jwt"}), id="a consent's type"),
        pytest.param(_raw({"alg": "none"}), id="alg none"),
        pytest.param(_raw({"alg": "EdDSA"}), id="other algorithm"),
        pytest.param(_raw(key=CITY_KEYS["EdDSA"]), id="other key"),
        pytest.param(_raw()[:-4] + "AAAA", id="changed signature"),
        pytest.param(_raw(iss=XIAMEN), id="issuer other than the sender"),
        pytest.param(_raw(aud="gateway-of-zhejiang"), id="other audience"),
        pytest.param(_raw(jti="x" * 21), id="jti too short"),
        pytest.param(_raw(jti="x" * 22 + "\n"), id="newline behind jti"),
        pytest.param(_raw(sub="someone"), id="a person"),
        pytest.param(_raw(events={}), id="no event"),
        pytest.param(_raw(events={WITHDRAWN: {"consent": CONSENT}, CORRECTION: {}}), id="two events"),
        pytest.param(_raw(events={"urn:other": {}}), id="unknown event"),
        pytest.param(_raw(events={WITHDRAWN: {}}), id="withdrawal of nothing"),
        pytest.param(_raw(events={WITHDRAWN: None}), id="withdrawal null"),
        pytest.param(_raw(events={WITHDRAWN: [CONSENT]}), id="withdrawal an array"),
        pytest.param(_raw(events={WITHDRAWN: {"consent": None}}), id="consent null"),
        pytest.param(_raw(events={WITHDRAWN: {"consent": "x" * 21}}), id="consent too short"),
        pytest.param(_raw(events={WITHDRAWN: {"consent": "x" * 65}}), id="consent too long"),
        pytest.param(_raw(events={WITHDRAWN: {"consent": CONSENT, "reason": "moved"}}), id="withdrawal with a reason"),
        pytest.param(_raw(events={CORRECTION: {"consent": CONSENT}}), id="correction naming a consent"),
        pytest.param(_raw(events={CORRECTION: None}), id="correction null"),
        pytest.param(_raw(events={CONTESTED: {"decision": 7}}), id="contest without a step"),
        pytest.param(_raw(events={CONTESTED: {"decision": 7, "step": "won"}}), id="contest with an unknown step"),
        pytest.param(_raw(events={CONTESTED: {"decision": -1, "step": "opened"}}), id="contest of no index"),
        pytest.param(_raw(events={CONTESTED: {"decision": 10**15, "step": "opened"}}), id="contest beyond any log"),
        pytest.param(_raw(events={CONTESTED: {"decision": "7", "step": "opened"}}), id="contest of a text"),
        pytest.param(
            _raw(events={CONTESTED: {"decision": 7, "step": "opened", "why": "x"}}), id="contest with a reason"
        ),
    ],
)
def test_an_event_that_is_not_good_is_invalid(text: str) -> None:
    with refuses(Reason.EVENT_INVALID):
        _verify(text)


def test_a_city_cannot_report_for_another() -> None:
    rings = {city: ring(CITY_KEYS["ES256"], "event", KID) for city in (FUZHOU, XIAMEN)}
    with refuses(Reason.EVENT_INVALID):
        EventVerifier(rings, DEPLOYMENT).verify(_raw(), sender=XIAMEN, now_s=NOW)


def test_a_city_without_event_keys_is_refused() -> None:
    with refuses(Reason.EVENT_INVALID):
        _verify(_raw(), sender=XIAMEN)


def test_a_consent_key_cannot_report() -> None:
    with refuses(Reason.EVENT_DEFERRED):
        EventVerifier({FUZHOU: foreign_ring(KEY, "event", "consent", KID)}, DEPLOYMENT).verify(
            _raw(), sender=FUZHOU, now_s=NOW
        )


def test_an_old_event_is_as_good_as_a_new_one() -> None:
    assert _verify(_raw(), now_s=NOW + 10 * 365 * 86_400) == WITHDRAWAL


def test_iat_may_be_ahead_by_the_clock_bound_exactly() -> None:
    assert _verify(_raw(), now_s=NOW - MAX_CLOCK_AHEAD_S) == WITHDRAWAL
    with refuses(Reason.EVENT_DEFERRED):
        _verify(_raw(), now_s=NOW - MAX_CLOCK_AHEAD_S - 0.001)


@pytest.mark.parametrize(
    "event",
    [
        replace(WITHDRAWAL, subject=None),
        replace(PAUSED, subject=Contested(7, "opened")),
        replace(CORRECTED, subject=CONSENT),
        replace(OPENED, subject=CONSENT),
    ],
    ids=lambda event: event.kind,
)
def test_a_kind_that_does_not_fit_its_subject_is_not_issued(event: SecurityEvent) -> None:
    with pytest.raises(ValueError, match="subject"):
        issue_event(KEY, KID, event)


def test_a_key_that_is_not_known_yet_puts_the_event_off() -> None:
    """A city may begin to use a key a moment before this side has the directory that lists it."""
    with refuses(Reason.EVENT_DEFERRED):
        _verify(_raw({"kid": "other"}))
