"""Tokens against PyJWT, an independent implementation: what we sign it verifies, what it signs we verify."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from gateway.crypto import attestation as attestations
from gateway.crypto import consent, event, proof
from gateway.crypto.consent import issue_consent, new_id
from gateway.crypto.keys import Algorithm, b64url, public_jwk, thumbprint
from gateway.errors import Reason, TiergateError
from tests.unit.crypto.samples import (
    ALGORITHMS,
    BORROWING,
    BUNDLE,
    CITY_KEYS,
    DEPLOYMENT,
    FUZHOU,
    KID,
    LIBRARY,
    NOW,
    OPERATOR_KEYS,
    REQUEST,
    attestation,
    bound,
    consent_verifier,
    counted,
    ring,
    verified,
)

NO_CLOCK = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


def _decode(text: str, alg: Algorithm, keys: Any = CITY_KEYS) -> dict[str, Any]:
    # from our JWK, so that PyJWT's reading of it is tried too
    key = jwt.PyJWK(public_jwk(keys[alg]), algorithm=alg)
    claims: dict[str, Any] = jwt.decode(text, key, algorithms=[alg], options=NO_CLOCK)  # type: ignore[arg-type]
    return claims


def _encode(claims: dict[str, Any], alg: Algorithm, typ: str, kid: str = KID, keys: Any = CITY_KEYS) -> str:
    return jwt.encode(claims, keys[alg], algorithm=alg, headers={"kid": kid, "typ": typ})


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("token", [counted(), bound()], ids=["counted", "bound"])
def test_pyjwt_verifies_our_consents(alg: Algorithm, token: consent.ConsentToken) -> None:
    text, _ = issue_consent(CITY_KEYS[alg], KID, token)
    assert _decode(text, alg) == token.claims()
    assert jwt.get_unverified_header(text) == {"alg": alg, "kid": KID, "typ": consent.TYP}


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("token", [counted(), bound()], ids=["counted", "bound"])
def test_we_verify_pyjwts_consents(alg: Algorithm, token: consent.ConsentToken) -> None:
    text = _encode(token.claims(), alg, consent.TYP)
    assert consent_verifier(alg).verify(text, operator=LIBRARY, now_s=NOW).claims() == token.claims()


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_proofs_go_both_ways(alg: Algorithm) -> None:
    token, kid = verified(bound(alg)), thumbprint(public_jwk(OPERATOR_KEYS[alg]))
    proof_id = new_id()
    claims = {"ath": b64url(token.hash), "operator": LIBRARY, "scenario": BORROWING, "iat": NOW, "jti": proof_id}
    ours = proof.issue_proof(
        OPERATOR_KEYS[alg],
        kid,
        token_hash=token.hash,
        operator=LIBRARY,
        scenario=BORROWING,
        issued_at=NOW,
        proof_id=proof_id,
    )
    assert _decode(ours, alg, OPERATOR_KEYS) == claims
    verifier = proof.ProofVerifier({LIBRARY: ring(OPERATOR_KEYS[alg], "proof")})
    theirs = _encode(claims, alg, proof.TYP, kid, OPERATOR_KEYS)
    verifier.verify(theirs, token, scenario=BORROWING, now_s=NOW)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_attestations_go_both_ways(alg: Algorithm) -> None:
    token = verified(counted())
    given = attestation(token)
    claims = _decode(attestations.issue_attestation(CITY_KEYS[alg], KID, given), alg)
    verifier = attestations.AttestationVerifier({FUZHOU: ring(CITY_KEYS[alg], "attestation", KID)}, DEPLOYMENT)
    text = _encode(claims, alg, attestations.TYP)
    assert given == verifier.verify(text, token, scenario=BORROWING, bundle=BUNDLE, rungs=1, request=REQUEST, now_s=NOW)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_events_go_both_ways(alg: Algorithm) -> None:
    given = event.SecurityEvent(new_id(), FUZHOU, DEPLOYMENT, "withdrawal", new_id(), NOW)
    claims = _decode(event.issue_event(CITY_KEYS[alg], KID, given), alg)
    verifier = event.EventVerifier({FUZHOU: ring(CITY_KEYS[alg], "event", KID)}, DEPLOYMENT)
    assert verifier.verify(_encode(claims, alg, event.TYP), sender=FUZHOU, now_s=NOW) == given


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_usual_jwt_of_pyjwt_is_not_a_consent(alg: Algorithm) -> None:
    text = jwt.encode(counted().claims(), CITY_KEYS[alg], algorithm=alg, headers={"kid": KID})
    with pytest.raises(TiergateError) as caught:
        consent_verifier(alg).verify(text, operator=LIBRARY, now_s=NOW)
    assert caught.value.reason is Reason.TOKEN_TYPE_WRONG


def test_pyjwt_refuses_what_we_refuse_for_the_algorithm() -> None:
    text, _ = issue_consent(CITY_KEYS["ES256"], KID, counted())
    with pytest.raises(jwt.InvalidTokenError):
        _decode(text, "EdDSA")
    with pytest.raises(TiergateError) as caught:
        consent_verifier("EdDSA").verify(text, operator=LIBRARY, now_s=NOW)
    assert caught.value.reason is Reason.TOKEN_ALGORITHM_WRONG
