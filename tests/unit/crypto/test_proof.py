from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.crypto import jws
from gateway.crypto.consent import MAX_CLOCK_AHEAD_S, ConsentToken, new_id
from gateway.crypto.keys import Algorithm, KeyRing, PrivateKey, b64url, generate_signing_key, public_jwk, thumbprint
from gateway.crypto.proof import OPERATOR_PROOF_WINDOW_S, TYP, ProofVerifier, issue_proof
from gateway.domain.ids import ScenarioId
from gateway.errors import Reason, TiergateError
from tests.unit.crypto.samples import (
    ALGORITHMS,
    BORROWING,
    CITY_KEYS,
    GONE,
    LIBRARY,
    NOW,
    OPERATOR_KEYS,
    TRANSIT,
    bound,
    changed,
    compact,
    counted,
    directory_key,
    foreign_ring,
    refuses,
    ring,
    verified,
)

KEY = OPERATOR_KEYS["ES256"]
KID = thumbprint(public_jwk(KEY))
TOKEN = verified(bound())
OTHER_KEY = generate_signing_key("ES256")


def _verifier(alg: Algorithm = "ES256", *, remember: int = 0) -> ProofVerifier:
    return ProofVerifier(
        {LIBRARY: ring(OPERATOR_KEYS[alg], "proof"), TRANSIT: ring(OTHER_KEY, "proof")}, remember=remember
    )


def _proof(**changes: Any) -> str:
    members: dict[str, Any] = {
        "token_hash": TOKEN.hash,
        "operator": LIBRARY,
        "scenario": BORROWING,
        "issued_at": NOW,
        "proof_id": new_id(),
    }
    return issue_proof(KEY, KID, **{**members, **changes})


def _raw(head: dict[str, Any] | None = None, key: PrivateKey = KEY, **changes: Any) -> str:
    claims = {"ath": b64url(TOKEN.hash), "operator": LIBRARY, "scenario": BORROWING, "iat": NOW, "jti": new_id()}
    return compact({"alg": "ES256", "kid": KID, "typ": TYP, **(head or {})}, changed(claims, **changes), key)


def _verify(
    text: str,
    token: ConsentToken = TOKEN,
    *,
    scenario: ScenarioId = BORROWING,
    now_s: float = NOW,
    verifier: ProofVerifier | None = None,
) -> None:
    (verifier or _verifier()).verify(text, token, scenario=scenario, now_s=now_s)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_proof_of_the_bound_key_is_taken(alg: Algorithm) -> None:
    token = verified(bound(alg))
    key = OPERATOR_KEYS[alg]
    text = issue_proof(
        key,
        thumbprint(public_jwk(key)),
        token_hash=token.hash,
        operator=LIBRARY,
        scenario=BORROWING,
        issued_at=NOW,
        proof_id=new_id(),
    )
    _verify(text, token, verifier=_verifier(alg))


@pytest.mark.parametrize("remember", [0, 8])
def test_a_proof_may_be_reused_within_its_window(remember: int) -> None:
    verifier, text = _verifier(remember=remember), _proof()
    for now_s in (NOW, NOW + 1, NOW + OPERATOR_PROOF_WINDOW_S):
        _verify(text, now_s=now_s, verifier=verifier)


@pytest.mark.parametrize("remember", [0, 8])
def test_the_window_is_exact_at_both_ends(remember: int) -> None:
    verifier, text = _verifier(remember=remember), _proof()
    _verify(text, now_s=NOW + OPERATOR_PROOF_WINDOW_S, verifier=verifier)
    _verify(text, now_s=NOW - MAX_CLOCK_AHEAD_S, verifier=verifier)
    for now_s in (NOW + OPERATOR_PROOF_WINDOW_S + 0.001, NOW - MAX_CLOCK_AHEAD_S - 0.001):
        with refuses(Reason.PROOF_STALE):
            _verify(text, now_s=now_s, verifier=verifier)


def test_a_bound_token_needs_a_proof() -> None:
    with refuses(Reason.PROOF_REQUIRED):
        _verify("")


def test_an_unbound_token_needs_none() -> None:
    _verify("", verified(counted()))


@pytest.mark.parametrize("text", ["garbage", _proof()])
def test_an_unbound_token_takes_none(text: str) -> None:
    with refuses(Reason.PROOF_NOT_EXPECTED):
        _verify(text, verified(counted()))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("garbage", id="no JWS"),
        pytest.param("a.b.c", id="no header"),
        pytest.param(_raw({"typ": "consent+jwt"}), id="a consent's type"),
        pytest.param(_raw({"typ": "dpop+jwt"}), id="a DPoP proof's type"),
        pytest.param(_raw({"jwk": {"kty": "EC"}}), id="embedded key"),
        pytest.param(_raw(ath=GONE), id="no ath"),
        pytest.param(_raw(ath=7), id="ath a number"),
        pytest.param(_raw(operator=GONE), id="no operator"),
        pytest.param(_raw(operator=None), id="operator null"),
        pytest.param(_raw(scenario=GONE), id="no scenario"),
        pytest.param(_raw(scenario=[BORROWING]), id="scenario an array"),
        pytest.param(_raw(iat=GONE), id="no iat"),
        pytest.param(_raw(iat=str(NOW)), id="iat a string"),
        pytest.param(_raw(iat=float(NOW)), id="iat a float"),
        pytest.param(_raw(iat=True), id="iat a boolean"),
        pytest.param(_raw(iat=-1), id="iat negative"),
        pytest.param(_raw(jti=GONE), id="no jti"),
        pytest.param(_raw(jti="x" * 15), id="jti too short"),
        pytest.param(_raw(jti="x" * 65), id="jti too long"),
        pytest.param(_raw(jti="x" * 16 + "\n"), id="newline behind jti"),
        pytest.param(_raw(exp=NOW + 60), id="further claim"),
    ],
)
def test_a_proof_of_another_shape_is_malformed(text: str) -> None:
    with refuses(Reason.PROOF_MALFORMED):
        _verify(text)


def test_a_larger_proof_is_refused_unread() -> None:
    with refuses(Reason.MESSAGE_TOO_LARGE):
        _verify("x" * (jws.MAX_TOKEN_CHARS + 1))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(_proof(token_hash=bytes(32)), id="other token"),
        pytest.param(_raw(ath=b64url(TOKEN.hash) + "A"), id="ath longer"),
        pytest.param(_proof(scenario="fuzhou-transit"), id="other scenario"),
        pytest.param(_proof(operator=TRANSIT), id="other operator"),
        pytest.param(_raw({"kid": "unknown"}), id="unknown key"),
        pytest.param(_raw({"alg": "none"}), id="alg none"),
        pytest.param(_raw({"alg": "HS256"}), id="alg HS256"),
        pytest.param(_raw({"alg": "EdDSA"}), id="other algorithm"),
        pytest.param(_raw(key=CITY_KEYS["ES256"]), id="signed by the city"),
        pytest.param(_raw(key=OTHER_KEY), id="signed by another operator"),
        pytest.param(_proof()[:-4] + "AAAA", id="changed signature"),
    ],
)
def test_a_proof_of_something_else_is_invalid(text: str) -> None:
    with refuses(Reason.PROOF_INVALID):
        _verify(text)


def test_a_proof_for_another_scenario_is_invalid_also_when_remembered() -> None:
    verifier, text = _verifier(remember=8), _proof()
    _verify(text, verifier=verifier)
    with refuses(Reason.PROOF_INVALID):
        _verify(text, scenario=ScenarioId("fuzhou-transit"), verifier=verifier)


def test_a_proof_for_another_token_is_invalid_also_when_remembered() -> None:
    verifier, text = _verifier(remember=8), _proof()
    _verify(text, verifier=verifier)
    with refuses(Reason.PROOF_INVALID):
        _verify(text, verified(bound(id=new_id())), verifier=verifier)


def test_another_key_of_the_same_operator_is_invalid() -> None:
    second = thumbprint(public_jwk(OTHER_KEY))
    keys = [directory_key(KEY, "proof"), directory_key(OTHER_KEY, "proof")]
    verifier = ProofVerifier({LIBRARY: KeyRing("proof", keys)})
    _verify(_raw(), verifier=verifier)
    with refuses(Reason.PROOF_INVALID):
        _verify(_raw({"kid": second}, key=OTHER_KEY), verifier=verifier)


@pytest.mark.parametrize("remember", [0, 8])
def test_an_operator_cannot_lend_its_signature_to_anothers_name(remember: int) -> None:
    """Even if the directory listed a foreign key under the thumbprint of the bound one."""
    rings = {LIBRARY: ring(KEY, "proof"), TRANSIT: ring(OTHER_KEY, "proof", KID)}
    verifier = ProofVerifier(rings, remember=remember)
    forged = _raw(key=OTHER_KEY)
    with refuses(Reason.PROOF_INVALID):
        _verify(forged, verified(bound(operator=TRANSIT)), verifier=verifier)
    with refuses(Reason.PROOF_INVALID):
        _verify(forged, verifier=verifier)


def test_an_operator_without_keys_cannot_prove() -> None:
    with refuses(Reason.PROOF_INVALID):
        _verify(_proof(), verifier=ProofVerifier({}))


def test_a_key_of_another_purpose_cannot_prove() -> None:
    with refuses(Reason.PROOF_INVALID):
        _verify(_proof(), verifier=ProofVerifier({LIBRARY: foreign_ring(KEY, "proof", "consent", KID)}))


def test_what_does_not_verify_is_not_remembered() -> None:
    verifier = _verifier(remember=8)
    for text in (_raw(iat="x"), _proof(operator=TRANSIT), _raw(key=OTHER_KEY)):
        with pytest.raises(TiergateError):
            _verify(text, verifier=verifier)
    assert not verifier._seen


def test_the_oldest_remembered_proof_makes_room() -> None:
    verifier = _verifier(remember=2)
    texts = [_proof() for _ in range(3)]
    for text in texts:
        _verify(text, verifier=verifier)
    assert list(verifier._seen) == texts[1:]


def test_nothing_is_remembered_unless_asked() -> None:
    verifier = _verifier()
    _verify(_proof(), verifier=verifier)
    assert not verifier._seen


def test_a_proof_says_nothing_about_the_resident() -> None:
    payload = jws.decode_segment(_proof().split(".")[1].encode())
    assert set(json.loads(payload)) == {"ath", "operator", "scenario", "iat", "jti"}
