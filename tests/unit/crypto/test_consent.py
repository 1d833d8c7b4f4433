from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from gateway.crypto import jws
from gateway.crypto.consent import (
    MAX_CLOCK_AHEAD_S,
    MAX_DETAILS,
    MAX_USES,
    ConsentToken,
    ConsentVerifier,
    issue_consent,
    new_id,
    token_hash,
)
from gateway.crypto.keys import Algorithm, b64url
from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError
from tests.unit.crypto.samples import (
    ALGORITHMS,
    CITY_KEYS,
    DEPLOYMENT,
    FUZHOU,
    GONE,
    KID,
    LIBRARY,
    NOW,
    TRANSIT,
    bound,
    changed,
    compact,
    consent_verifier,
    counted,
    foreign_ring,
    header,
    refuses,
    ring,
)

DETAIL = {"type": "incentive_check", "scenario": "some-scenario", "purpose": "some-purpose"}
VERIFIER = consent_verifier()


def _signed(token: ConsentToken | None = None, **changes: Any) -> str:
    """A token with claims that ``issue_consent`` may refuse, signed by the city."""
    return compact(header(), changed((token or counted()).claims(), **changes))


def _verify(text: str, now_s: float = NOW, verifier: ConsentVerifier = VERIFIER) -> ConsentToken:
    return verifier.verify(text, operator=LIBRARY, now_s=now_s)


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("token", [counted(), bound(), bound(uses=MAX_USES)], ids=["counted", "bound", "both"])
def test_what_is_issued_verifies_to_the_same_claims(alg: Algorithm, token: ConsentToken) -> None:
    # uses=MAX_USES on a bound token: counted and sender-constrained at once
    text, digest = issue_consent(CITY_KEYS[alg], KID, token)
    assert digest == token_hash(text)
    assert _verify(text, verifier=consent_verifier(alg)) == replace(token, hash=digest)


@pytest.mark.parametrize("uses", [GONE, 2, MAX_USES])
def test_a_token_that_is_good_more_than_once_is_bound(uses: object) -> None:
    with refuses(Reason.TOKEN_MALFORMED):
        _verify(_signed(counted(), uses=uses))
    with refuses(Reason.TOKEN_MALFORMED):
        issue_consent(CITY_KEYS["ES256"], KID, replace(counted(), uses=None if uses is GONE else cast("int", uses)))


def test_several_scenarios_keep_their_purposes() -> None:
    details = [{**DETAIL, "scenario": f"scenario-{n}"} for n in range(MAX_DETAILS)]
    token = _verify(_signed(authorization_details=details))
    assert token.scenarios == {f"scenario-{n}": "some-purpose" for n in range(MAX_DETAILS)}


def test_a_token_does_not_print_itself() -> None:
    token = counted()
    assert token.subject not in repr(token)
    assert token.id not in f"{token} {[token]}"


@pytest.mark.parametrize("name", sorted(counted().claims()))
def test_every_claim_is_required(name: str) -> None:
    # a token without `uses` is unlimited and then must be bound, so this one is refused too
    expected = Reason.TOKEN_KEY_UNKNOWN if name == "iss" else Reason.TOKEN_MALFORMED
    with refuses(expected):
        _verify(_signed(**{name: GONE}))


@pytest.mark.parametrize("name", sorted(bound().claims()))
@pytest.mark.parametrize("value", [None, True, -1, "", [], {}, ["x"], {"x": "y"}, "x" * 4000], ids=repr)
def test_every_claim_has_one_type(name: str, value: Any) -> None:
    text = _signed(bound(), **{name: value})
    if len(text) > jws.MAX_TOKEN_CHARS:
        expected = Reason.MESSAGE_TOO_LARGE
    else:
        expected = Reason.TOKEN_KEY_UNKNOWN if name == "iss" else Reason.TOKEN_MALFORMED
    with refuses(expected):
        _verify(text)


@pytest.mark.parametrize("name", ["name", "score", "resident", "email", "x" * 500, "秘密", "Iss"])
def test_a_further_claim_is_malformed(name: str) -> None:
    further: dict[str, Any] = {name: "value"}
    with pytest.raises(TiergateError) as caught:
        _verify(_signed(**further))
    assert caught.value.reason is Reason.TOKEN_MALFORMED
    assert "value" not in caught.value.detail


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"aud": "x" * 129}, id="long aud"),
        pytest.param({"aud": [DEPLOYMENT]}, id="aud an array"),
        pytest.param({"sub": b64url(bytes(31))}, id="sub of 31 bytes"),
        pytest.param({"sub": b64url(bytes(33))}, id="sub of 33 bytes"),
        pytest.param({"sub": "x" * 42 + "+"}, id="sub not base64url"),
        pytest.param({"sub": b64url(bytes(32)) + "\n"}, id="newline behind sub"),
        pytest.param({"azp": "Xiamen-Library"}, id="azp not a slug"),
        pytest.param({"azp": "x" * 49}, id="azp too long"),
        pytest.param({"jti": "x" * 21}, id="jti below 128 bits"),
        pytest.param({"jti": "x" * 65}, id="jti too long"),
        pytest.param({"jti": "x" * 21 + "."}, id="jti not base64url"),
        pytest.param({"notice": "AB" * 32}, id="notice in capitals"),
        pytest.param({"notice": "ab" * 31}, id="notice too short"),
        pytest.param({"notice": "ab" * 32 + "\n"}, id="newline behind notice"),
        pytest.param({"notice": "她已同意" * 16}, id="notice a text"),
        pytest.param({"uses": 0}, id="no uses"),
        pytest.param({"uses": MAX_USES + 1}, id="too many uses"),
        pytest.param({"uses": "1"}, id="uses a string"),
        pytest.param({"uses": GONE, "cnf": {}}, id="cnf empty"),
        pytest.param({"cnf": None}, id="cnf null"),
        pytest.param({"cnf": {"jkt": "x" * 42}}, id="jkt too short"),
        pytest.param({"cnf": {"jkt": "x" * 44}}, id="jkt too long"),
        pytest.param({"cnf": {"jkt": "x" * 42 + "="}}, id="jkt padded"),
        pytest.param({"cnf": {"jkt": 7}}, id="jkt a number"),
        pytest.param({"cnf": {"jkt": "x" * 43, "jwk": {}}}, id="cnf with jwk too"),
        pytest.param({"cnf": {"x5t#S256": "x" * 43}}, id="cnf of a certificate"),
        pytest.param({"cnf": {"kid": "x" * 43}}, id="cnf of a key id"),
        pytest.param({"iat": NOW - 59}, id="iat not on the minute"),
        pytest.param({"nbf": NOW - 59}, id="nbf not on the minute"),
        pytest.param({"exp": NOW + 3601}, id="exp not on the minute"),
        pytest.param({"iat": NOW + 60, "nbf": NOW}, id="nbf before iat"),
        pytest.param({"nbf": NOW, "exp": NOW}, id="exp at nbf"),
        pytest.param({"nbf": NOW, "exp": NOW - 60, "iat": NOW - 120}, id="exp before nbf"),
        pytest.param({"exp": 2**53 // 60 * 60 + 60}, id="exp beyond 2^53"),
        pytest.param({"exp": 10**400}, id="exp huge"),
        pytest.param({"exp": float(NOW)}, id="exp a float"),
        pytest.param({"iat": str(NOW)}, id="iat a string"),
        pytest.param({"authorization_details": []}, id="no details"),
        pytest.param({"authorization_details": DETAIL}, id="details an object"),
        pytest.param({"authorization_details": ["some-scenario"]}, id="detail a string"),
        pytest.param({"authorization_details": [DETAIL, DETAIL]}, id="scenario twice"),
        pytest.param(
            {"authorization_details": [{**DETAIL, "scenario": f"s{n}"} for n in range(MAX_DETAILS + 1)]},
            id="too many details",
        ),
    ],
)
def test_a_claim_out_of_range_is_malformed(changes: dict[str, Any]) -> None:
    with refuses(Reason.TOKEN_MALFORMED):
        _verify(_signed(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"type": GONE},
        {"type": "payment"},
        {"type": None},
        {"scenario": GONE},
        {"scenario": "Some Scenario"},
        {"scenario": "-x"},
        {"scenario": "x\n"},
        {"scenario": ["some-scenario"]},
        {"purpose": GONE},
        {"purpose": ""},
        {"purpose": "借书"},
        {"threshold": 700},
        {"locations": ["https://example.org"]},
    ],
    ids=lambda changes: repr(changes).replace(repr(GONE), "gone"),  # an object's own name is another in each process
)
def test_a_detail_of_another_shape_is_malformed(changes: dict[str, Any]) -> None:
    with refuses(Reason.TOKEN_MALFORMED):
        _verify(_signed(authorization_details=[changed(DETAIL, **changes)]))


@pytest.mark.parametrize("changes", [{"uses": None}, {"uses": 0}, {"expires_at": NOW + 1}, {"scenarios": {}}], ids=repr)
def test_what_would_not_verify_is_not_issued(changes: dict[str, Any]) -> None:
    with refuses(Reason.TOKEN_MALFORMED):
        issue_consent(CITY_KEYS["ES256"], KID, counted(**changes))


def test_exp_is_exact_and_has_no_leeway() -> None:
    text = _signed()
    assert _verify(text, NOW + 3599.999).expires_at == NOW + 3600
    with refuses(Reason.TOKEN_EXPIRED):
        _verify(text, NOW + 3600)


def test_nbf_may_be_ahead_by_the_clock_bound_exactly() -> None:
    text = _signed(iat=NOW, nbf=NOW)
    assert _verify(text, NOW - MAX_CLOCK_AHEAD_S).not_before == NOW
    with refuses(Reason.TOKEN_NOT_YET_VALID):
        _verify(text, NOW - MAX_CLOCK_AHEAD_S - 0.001)


def test_another_audience_is_refused() -> None:
    with refuses(Reason.TOKEN_AUDIENCE_WRONG):
        _verify(_signed(aud="gateway-of-zhejiang"))


def test_another_operator_is_refused() -> None:
    with refuses(Reason.TOKEN_OTHER_OPERATOR):
        VERIFIER.verify(_signed(), operator=TRANSIT, now_s=NOW)


def test_an_unknown_city_is_refused() -> None:
    with refuses(Reason.TOKEN_KEY_UNKNOWN):
        _verify(_signed(iss="hangzhou"))


def test_a_city_cannot_sign_for_another() -> None:
    verifier = ConsentVerifier(
        {
            FUZHOU: ring(CITY_KEYS["ES256"], "consent", KID),
            CityId("xiamen"): ring(CITY_KEYS["EdDSA"], "consent", KID),
        },
        DEPLOYMENT,
    )
    with refuses(Reason.TOKEN_ALGORITHM_WRONG):
        _verify(_signed(iss="xiamen"), verifier=verifier)


def test_a_key_of_another_purpose_is_unknown() -> None:
    verifier = ConsentVerifier({FUZHOU: foreign_ring(CITY_KEYS["ES256"], "consent", "attestation", KID)}, DEPLOYMENT)
    with refuses(Reason.TOKEN_KEY_UNKNOWN):
        _verify(_signed(), verifier=verifier)


def test_without_cities_everything_is_refused() -> None:
    with refuses(Reason.TOKEN_KEY_UNKNOWN):
        _verify(_signed(), verifier=ConsentVerifier({}, DEPLOYMENT))


@pytest.mark.parametrize("text", ["", "fuzhou-1234-5678", "a.b.c"])
def test_what_is_no_token_is_malformed(text: str) -> None:
    with refuses(Reason.TOKEN_MALFORMED):
        _verify(text)


def test_the_signature_is_examined_before_the_claims() -> None:
    head, payload, _ = _signed(uses=0).split(".")
    with refuses(Reason.TOKEN_SIGNATURE_INVALID):
        _verify(f"{head}.{payload}.{b64url(bytes(64))}")


def test_the_twin_of_an_es256_signature_is_the_same_consent() -> None:
    """Both verify (the order minus ``s``); the hash leaves the signature out, so that they are one token everywhere."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    text = _signed()
    signing_input, _, signature = text.rpartition(".")
    raw = jws.decode_segment(signature.encode())
    twin = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    first, second = _verify(text), _verify(f"{signing_input}.{b64url(twin)}")
    assert first == second


def test_ids_are_random_and_of_128_bits() -> None:
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert {len(jws.decode_segment(item.encode())) for item in ids} == {16}
