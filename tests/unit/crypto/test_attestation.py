from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.crypto.attestation import (
    MAX_LIFETIME_S,
    TYP,
    Attestation,
    AttestationVerifier,
    issue_attestation,
    request_binding,
)
from gateway.crypto.consent import MAX_CLOCK_AHEAD_S, ConsentToken
from gateway.crypto.keys import Algorithm, PrivateKey, b64url
from gateway.domain.ids import OperatorId, RequestId, ScenarioId
from gateway.domain.tier import MAX_LEVEL
from gateway.errors import Reason
from tests.unit.crypto.samples import (
    ALGORITHMS,
    BORROWING,
    BUNDLE,
    CITY_KEYS,
    DEPLOYMENT,
    FUZHOU,
    GONE,
    KID,
    NOW,
    REQUEST,
    XIAMEN,
    attestation,
    bound,
    changed,
    compact,
    counted,
    foreign_ring,
    refuses,
    ring,
    verified,
)

KEY = CITY_KEYS["ES256"]
COUNTED = verified(counted())
UNLIMITED = verified(bound())
CLAIMS: dict[str, Any] = {
    "iss": FUZHOU,
    "aud": DEPLOYMENT,
    "sub": COUNTED.subject,
    "azp": COUNTED.operator,
    "ath": b64url(COUNTED.hash),
    "scenario": BORROWING,
    "bundle": BUNDLE,
    "rung": 1,
    "iat": NOW,
    "exp": NOW + MAX_LIFETIME_S,
    "jti": b64url(b"\x03" * 16),
    "req": REQUEST,
}


def _raw(head: dict[str, Any] | None = None, key: PrivateKey = KEY, **changes: Any) -> str:
    return compact({"alg": "ES256", "kid": KID, "typ": TYP, **(head or {})}, changed(CLAIMS, **changes), key)


def _verify(text: str, token: ConsentToken = COUNTED, *, alg: Algorithm = "ES256", **changes: Any) -> Attestation:
    verifier = AttestationVerifier({FUZHOU: ring(CITY_KEYS[alg], "attestation", KID)}, DEPLOYMENT)
    question: dict[str, Any] = {
        "scenario": BORROWING,
        "bundle": BUNDLE,
        "rungs": 1,
        "request": REQUEST,
        "now_s": NOW,
    }
    return verifier.verify(text, token, **{**question, **changes})


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("token", [COUNTED, UNLIMITED], ids=["counted", "unlimited"])
@pytest.mark.parametrize("rung", [0, 1])
def test_what_is_issued_verifies_to_the_same_attestation(alg: Algorithm, token: ConsentToken, rung: int) -> None:
    given = attestation(token, rung=rung)
    assert _verify(issue_attestation(CITY_KEYS[alg], KID, given), token, alg=alg) == given


def test_the_claims_are_what_this_file_says() -> None:
    assert _verify(_raw()) == attestation(COUNTED)


def test_an_attestation_does_not_print_itself() -> None:
    given = attestation(COUNTED)
    assert given.subject not in repr(given)
    assert "rung" not in f"{given}"


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_every_claim_is_required(name: str) -> None:
    with refuses(Reason.ATTESTATION_INVALID):
        _verify(_raw(**{name: GONE}))


@pytest.mark.parametrize("name", sorted(CLAIMS))
@pytest.mark.parametrize("value", [None, True, -1, "", [], {}, 1.5], ids=repr)
def test_every_claim_has_one_type(name: str, value: Any) -> None:
    with refuses(Reason.ATTESTATION_INVALID):
        _verify(_raw(**{name: value}))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": XIAMEN},
        {"aud": "gateway-of-zhejiang"},
        {"sub": b64url(bytes(32))},
        {"azp": "xiamen-transit"},
        {"ath": b64url(bytes(32))},
        {"scenario": "fuzhou-transit"},
        {"bundle": "00" * 32},
        {"req": request_binding(COUNTED.operator, RequestId("request-9876543210"))},
        {"req": request_binding(OperatorId("xiamen-transit"), RequestId("request-0123456789"))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_attestation_of_another_question_is_invalid(changes: dict[str, Any]) -> None:
    with refuses(Reason.ATTESTATION_INVALID):
        _verify(_raw(**changes))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("garbage", id="no JWS"),
        pytest.param("x" * 5000, id="oversized"),
        pytest.param(_raw({"typ": "consent+jwt"}), id="a consent's type"),
        pytest.param(_raw({"alg": "none"}), id="alg none"),
        pytest.param(_raw({"alg": "HS256"}), id="alg HS256"),
        pytest.param(_raw({"alg": "EdDSA"}), id="other algorithm"),
        pytest.param(_raw({"kid": "other"}), id="unknown key"),
        pytest.param(_raw({"crit": ["exp"]}), id="crit"),
        pytest.param(_raw(key=CITY_KEYS["EdDSA"]), id="other key"),
        pytest.param(_raw()[:-4] + "AAAA", id="changed signature"),
        pytest.param(_raw(rung=2), id="rung beyond the scenario's"),
        pytest.param(_raw(rung="1"), id="rung a string"),
        pytest.param(_raw(rung=10**20), id="rung huge"),
        pytest.param(_raw(score=760), id="further claim"),
        pytest.param(_raw(reason="withdrawn"), id="a reason"),
        pytest.param(_raw(jti="x" * 21), id="jti too short"),
        pytest.param(_raw(jti="x" * 65), id="jti too long"),
        pytest.param(_raw(jti="x" * 22 + "\n"), id="newline behind jti"),
    ],
)
def test_an_attestation_that_is_not_good_is_invalid(text: str) -> None:
    with refuses(Reason.ATTESTATION_INVALID):
        _verify(text)


@pytest.mark.parametrize("rungs", range(MAX_LEVEL + 1))
def test_a_rung_is_one_that_the_scenario_has(rungs: int) -> None:
    for rung in range(MAX_LEVEL + 1):
        if rung <= rungs:
            assert _verify(_raw(rung=rung), rungs=rungs).rung == rung
        else:
            with refuses(Reason.ATTESTATION_INVALID):
                _verify(_raw(rung=rung), rungs=rungs)


def test_an_unlimited_tokens_attestation_names_no_request() -> None:
    with refuses(Reason.ATTESTATION_INVALID):
        _verify(issue_attestation(KEY, KID, attestation(UNLIMITED, request=REQUEST)), UNLIMITED)


def test_a_counted_and_bound_tokens_attestation_names_its_request() -> None:
    token = verified(bound(uses=3))
    assert _verify(issue_attestation(KEY, KID, attestation(token)), token).request == REQUEST
    with refuses(Reason.ATTESTATION_INVALID):
        _verify(issue_attestation(KEY, KID, attestation(token, request=None)), token)


@pytest.mark.parametrize("lifetime", [-1, 0, MAX_LIFETIME_S + 1, 86_400])
def test_a_lifetime_is_at_most_the_limit(lifetime: int) -> None:
    with refuses(Reason.ATTESTATION_INVALID):
        _verify(_raw(exp=NOW + lifetime))


@pytest.mark.parametrize("lifetime", [1, MAX_LIFETIME_S])
def test_a_lifetime_within_the_limit_is_taken(lifetime: int) -> None:
    assert _verify(_raw(exp=NOW + lifetime)).expires_at == NOW + lifetime


def test_an_attestation_never_outlives_its_token() -> None:
    token = replace(COUNTED, expires_at=NOW + 60)
    assert _verify(_raw(exp=NOW + 60), token).expires_at == NOW + 60
    with refuses(Reason.ATTESTATION_INVALID):
        _verify(_raw(exp=NOW + 61), token)


def test_exp_is_exact_and_has_no_leeway() -> None:
    text = _raw()
    assert _verify(text, now_s=NOW + MAX_LIFETIME_S - 0.001).rung == 1
    with refuses(Reason.ATTESTATION_INVALID):
        _verify(text, now_s=NOW + MAX_LIFETIME_S)


def test_iat_may_be_ahead_by_the_clock_bound_exactly() -> None:
    text = _raw()
    assert _verify(text, now_s=NOW - MAX_CLOCK_AHEAD_S).rung == 1
    with refuses(Reason.ATTESTATION_INVALID):
        _verify(text, now_s=NOW - MAX_CLOCK_AHEAD_S - 0.001)


def test_a_city_without_attestation_keys_is_refused() -> None:
    with refuses(Reason.ATTESTATION_INVALID):
        AttestationVerifier({}, DEPLOYMENT).verify(
            _raw(), COUNTED, scenario=BORROWING, bundle=BUNDLE, rungs=1, request=REQUEST, now_s=NOW
        )


def test_a_city_cannot_attest_for_another() -> None:
    rings = {FUZHOU: ring(CITY_KEYS["EdDSA"], "attestation", KID), XIAMEN: ring(KEY, "attestation", KID)}
    with refuses(Reason.ATTESTATION_INVALID):
        AttestationVerifier(rings, DEPLOYMENT).verify(
            _raw(), COUNTED, scenario=BORROWING, bundle=BUNDLE, rungs=1, request=REQUEST, now_s=NOW
        )


def test_a_consent_key_cannot_attest() -> None:
    with refuses(Reason.ATTESTATION_INVALID):
        AttestationVerifier({FUZHOU: foreign_ring(KEY, "attestation", "consent", KID)}, DEPLOYMENT).verify(
            _raw(), COUNTED, scenario=BORROWING, bundle=BUNDLE, rungs=1, request=REQUEST, now_s=NOW
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"rung": -1},
        {"rung": MAX_LEVEL + 1},
        {"expires_at": NOW},
        {"expires_at": NOW + MAX_LIFETIME_S + 1},
    ],
    ids=repr,
)
def test_what_no_verifier_accepts_is_not_issued(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^(rung|lifetime)$"):
        issue_attestation(KEY, KID, attestation(COUNTED, **changes))


def test_the_request_binding_separates_operator_and_request() -> None:
    bindings = {
        request_binding(OperatorId(operator), RequestId(request))
        for operator, request in [("ab", "c" * 16), ("a", "b" + "c" * 16), ("ab", "c" * 17), ("abc", "c" * 15 + "d")]
    }
    assert len(bindings) == 4
    assert {len(item) for item in bindings} == {43}


def test_another_scenario_of_the_question_is_refused() -> None:
    with refuses(Reason.ATTESTATION_INVALID):
        _verify(_raw(), scenario=ScenarioId("fuzhou-transit"))
