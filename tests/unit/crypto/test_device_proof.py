"""Proofs by a device's key: what is in the header, how fresh, and the mark by which they are good once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.crypto import jws
from gateway.crypto.consent import MAX_CLOCK_AHEAD_S, ConsentToken, new_id
from gateway.crypto.keys import Algorithm, b64url, generate_signing_key, public_jwk, thumbprint
from gateway.crypto.proof import DEVICE_PROOF_WINDOW_S, PROOF_KEPT_S, TYP, ProofVerifier, issue_device_proof
from gateway.domain.ids import ScenarioId
from gateway.errors import Reason
from tests.unit.crypto.samples import (
    ALGORITHMS,
    BORROWING,
    GONE,
    LIBRARY,
    NOW,
    OPERATOR_KEYS,
    TRANSIT,
    bound,
    changed,
    compact,
    consent_verifier,
    counted,
    refuses,
    ring,
    verified,
)

KEYS = {alg: generate_signing_key(alg) for alg in ALGORITHMS}
JWK = public_jwk(KEYS["ES256"])
VERIFIER = ProofVerifier({LIBRARY: ring(OPERATOR_KEYS["ES256"], "proof")}, remember=8)


def _token(alg: Algorithm = "ES256", **changes: Any) -> ConsentToken:
    members = {"key_thumbprint": thumbprint(public_jwk(KEYS[alg])), "of_device": True, **changes}
    return verified(counted(**members))


TOKEN = _token()


def _proof(alg: Algorithm = "ES256", **changes: Any) -> str:
    members: dict[str, Any] = {
        "token_hash": TOKEN.hash,
        "operator": LIBRARY,
        "scenario": BORROWING,
        "issued_at": NOW,
        "proof_id": new_id(),
    }
    return issue_device_proof(KEYS[alg], **{**members, **changes})


def _raw(head: dict[str, Any] | None = None, alg: Algorithm = "ES256", **changes: Any) -> str:
    claims = {"ath": b64url(TOKEN.hash), "operator": LIBRARY, "scenario": BORROWING, "iat": NOW, "jti": new_id()}
    members = changed({"alg": alg, "jwk": JWK, "typ": TYP}, **(head or {}))
    return compact(members, changed(claims, **changes), KEYS[alg])


def _verify(
    text: str, token: ConsentToken = TOKEN, *, scenario: ScenarioId = BORROWING, now_s: float = NOW
) -> bytes | None:
    return VERIFIER.verify(text, token, scenario=scenario, now_s=now_s)


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("uses", [1, None])
def test_a_proof_of_the_devices_key_is_taken_and_leaves_a_mark(alg: Algorithm, uses: int | None) -> None:
    token = _token(alg, uses=uses)
    mark = _verify(_proof(alg, token_hash=token.hash), token)
    assert mark is not None
    assert len(mark) == 32


def test_a_mark_is_of_token_and_proof() -> None:
    once, twice = _proof(proof_id="p" * 16), _proof(proof_id="p" * 16, issued_at=NOW - 1)
    assert _verify(once) == _verify(twice)  # the same id again is the same proof again
    assert _verify(once) != _verify(_proof(proof_id="q" * 16))
    other = _token(id=new_id())
    assert _verify(once) != _verify(_proof(proof_id="p" * 16, token_hash=other.hash), other)


def test_an_operators_proof_leaves_no_mark_and_no_devices_proof_is_remembered() -> None:
    assert VERIFIER.verify("", verified(counted()), scenario=BORROWING, now_s=NOW) is None
    _verify(_proof())
    assert not VERIFIER._seen


def test_a_devices_key_is_read_once_and_every_proof_of_it_is_verified() -> None:
    verifier = ProofVerifier({}, remember=2)
    once = verifier.verify(_proof(), TOKEN, scenario=BORROWING, now_s=NOW)
    assert [key.thumbprint for key in verifier._devices.values()] == [TOKEN.key_thumbprint]
    assert verifier.verify(_proof(), TOKEN, scenario=BORROWING, now_s=NOW) not in {None, once}
    head, claims, _ = _proof().split(".")
    forged = ".".join((head, claims, _proof().rpartition(".")[2]))
    with refuses(Reason.PROOF_INVALID):
        verifier.verify(forged, TOKEN, scenario=BORROWING, now_s=NOW)
    other = _token(key_thumbprint=thumbprint(public_jwk(KEYS["EdDSA"])))
    with refuses(Reason.PROOF_INVALID):  # a key that is known is not thereby this token's
        verifier.verify(_proof(token_hash=other.hash), other, scenario=BORROWING, now_s=NOW)


def test_keys_that_no_token_names_are_not_kept_and_the_others_within_a_bound() -> None:
    verifier = ProofVerifier({}, remember=2)
    for _ in range(4):
        stranger = issue_device_proof(
            generate_signing_key("ES256"),
            token_hash=TOKEN.hash,
            operator=LIBRARY,
            scenario=BORROWING,
            issued_at=NOW,
            proof_id=new_id(),
        )
        with refuses(Reason.PROOF_INVALID):
            verifier.verify(stranger, TOKEN, scenario=BORROWING, now_s=NOW)
    assert not verifier._devices
    for _ in range(4):
        key = generate_signing_key("ES256")
        token = _token(key_thumbprint=thumbprint(public_jwk(key)))
        proof = issue_device_proof(
            key, token_hash=token.hash, operator=LIBRARY, scenario=BORROWING, issued_at=NOW, proof_id=new_id()
        )
        verifier.verify(proof, token, scenario=BORROWING, now_s=NOW)
    assert len(verifier._devices) == 2


def test_the_window_is_exact_at_both_ends() -> None:
    text = _proof()
    for within in (NOW + DEVICE_PROOF_WINDOW_S, NOW - MAX_CLOCK_AHEAD_S):
        _verify(text, now_s=within)
    for now_s in (NOW + DEVICE_PROOF_WINDOW_S + 0.001, NOW - MAX_CLOCK_AHEAD_S - 0.001):
        with refuses(Reason.PROOF_STALE):
            _verify(text, now_s=now_s)


def test_a_mark_is_kept_for_longer_than_its_proof_can_be_fresh() -> None:
    assert PROOF_KEPT_S >= DEVICE_PROOF_WINDOW_S + 2 * MAX_CLOCK_AHEAD_S


def test_the_token_says_whose_key_it_is() -> None:
    """A key that the directory has dropped must not go on proving by calling itself a device's."""
    key = OPERATOR_KEYS["ES256"]
    of_operator = verified(bound())
    members: dict[str, Any] = {"operator": LIBRARY, "scenario": BORROWING, "issued_at": NOW, "proof_id": new_id()}
    with refuses(Reason.PROOF_MALFORMED):
        _verify(issue_device_proof(key, token_hash=of_operator.hash, **members), of_operator)
    with refuses(Reason.PROOF_MALFORMED):
        _verify(jws.issue(KEYS["ES256"], thumbprint(JWK), TYP, {"ath": b64url(TOKEN.hash)}))


def test_a_device_bound_token_needs_a_proof() -> None:
    with refuses(Reason.PROOF_REQUIRED):
        _verify("")


PRIVATE = {**JWK, "d": b64url(bytes(32))}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("garbage", id="no JWS"),
        pytest.param("a.b.c", id="no header"),
        pytest.param(_raw({"typ": "dpop+jwt"}), id="a DPoP proof's type"),
        pytest.param(_raw({"typ": "consent+jwt"}), id="a consent's type"),
        pytest.param(_raw({"jwk": GONE}), id="no key"),
        pytest.param(_raw({"jwk": GONE, "kid": thumbprint(JWK)}), id="an operator's header"),
        pytest.param(_raw({"kid": "x"}), id="kid beside the key"),
        pytest.param(_raw({"jku": "https://keys.invalid"}), id="jku"),
        pytest.param(_raw({"x5u": "https://keys.invalid"}), id="x5u"),
        pytest.param(_raw({"x5c": []}), id="x5c"),
        pytest.param(_raw({"crit": ["exp"]}), id="crit"),
        pytest.param(_raw({"b64": False}), id="b64"),
        pytest.param(_raw({"alg": GONE}), id="no alg"),
        pytest.param(_raw({"alg": None}), id="alg null"),
        pytest.param(_raw({"jwk": PRIVATE}), id="a private key"),
        pytest.param(_raw({"jwk": {**JWK, "kid": "x"}}), id="key with a name"),
        pytest.param(_raw({"jwk": {**JWK, "use": "sig"}}), id="key with a use"),
        pytest.param(_raw({"jwk": {**JWK, "ext": True}}), id="key as exported by a browser"),
        pytest.param(_raw({"jwk": changed(JWK, y=GONE)}), id="half a point"),
        pytest.param(_raw({"jwk": {**JWK, "y": b64url(bytes(32))}}), id="a point that is not on the curve"),
        pytest.param(_raw({"jwk": {**JWK, "x": JWK["x"] + "="}}), id="padded"),
        pytest.param(_raw({"jwk": {**JWK, "x": 7}}), id="a number for x"),
        pytest.param(_raw({"jwk": {**JWK, "crv": "P-384"}}), id="another curve"),
        pytest.param(_raw({"jwk": {"kty": "oct", "k": "AAAA"}}), id="a secret key"),
        pytest.param(_raw({"jwk": [JWK]}), id="several keys"),
        pytest.param(_raw({"jwk": thumbprint(JWK)}), id="a thumbprint"),
        pytest.param(_raw(iat=GONE), id="no iat"),
        pytest.param(_raw(iat=float(NOW)), id="iat a float"),
        pytest.param(_raw(jti="x" * 15), id="jti too short"),
        pytest.param(_raw(jti=GONE), id="no jti"),
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
        pytest.param(_proof(scenario="fuzhou-transit"), id="other scenario"),
        pytest.param(_proof(operator=TRANSIT), id="other operator"),
        pytest.param(_proof("EdDSA"), id="other key"),
        pytest.param(_raw({"alg": "none"}), id="alg none"),
        pytest.param(_raw({"alg": "HS256"}), id="alg HS256"),
        pytest.param(_raw({"alg": "EdDSA"}), id="other algorithm"),
        pytest.param(_raw(alg="EdDSA"), id="signed by another key than the one it names"),
        pytest.param(_proof()[:-4] + "AAAA", id="changed signature"),
    ],
)
def test_a_proof_of_something_else_is_invalid(text: str) -> None:
    with refuses(Reason.PROOF_INVALID):
        _verify(text)


def test_a_stolen_token_is_of_no_use_without_its_key() -> None:
    thief = generate_signing_key("ES256")
    members: dict[str, Any] = {"token_hash": TOKEN.hash, "operator": LIBRARY, "scenario": BORROWING, "issued_at": NOW}
    with refuses(Reason.PROOF_INVALID):
        _verify(issue_device_proof(thief, proof_id=new_id(), **members))
    genuine = _proof().split(".")
    swapped = jws.issue_keyed(thief, TYP, {}).split(".")
    with refuses(Reason.PROOF_INVALID):
        _verify(".".join([swapped[0], genuine[1], genuine[2]]))


@pytest.mark.parametrize("holder", ["operator", "", None, 1, ["device"]])
def test_a_token_names_no_other_holder(holder: object) -> None:
    claims = TOKEN.claims()
    claims["cnf"]["holder"] = holder
    with refuses(Reason.TOKEN_MALFORMED):
        consent_verifier().verify(compact({"alg": "ES256", "kid": "fuzhou-2026", "typ": "consent+jwt"}, claims),
                                  operator=LIBRARY, now_s=NOW)  # fmt: skip


def test_the_holder_is_read_back() -> None:
    text = compact({"alg": "ES256", "kid": "fuzhou-2026", "typ": "consent+jwt"}, TOKEN.claims())
    token = consent_verifier().verify(text, operator=LIBRARY, now_s=NOW)
    assert token.bound == "device"
    assert token.key_thumbprint == thumbprint(JWK)
    assert replace(token, of_device=False).bound == "operator"
    assert replace(token, key_thumbprint=None).bound == "none"


def test_a_proof_says_nothing_about_the_resident_but_her_key() -> None:
    head, payload, _ = _proof().split(".")
    assert set(json.loads(jws.decode_segment(head.encode()))) == {"alg", "jwk", "typ"}
    assert set(json.loads(jws.decode_segment(payload.encode()))) == {"ath", "operator", "scenario", "iat", "jti"}
