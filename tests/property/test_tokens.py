from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.crypto import jws
from gateway.crypto.attestation import AttestationVerifier, issue_attestation
from gateway.crypto.consent import TYP, ConsentToken, ConsentVerifier, issue_consent
from gateway.crypto.event import EventVerifier, SecurityEvent, issue_event
from gateway.crypto.keys import Algorithm, KeyRing, b64url, generate_signing_key, public_jwk, sign, thumbprint
from gateway.crypto.proof import ProofVerifier, issue_proof
from gateway.domain.directory import DirectoryKey, KeyPurpose
from gateway.domain.ids import PeerIdentity, RequestId
from gateway.domain.tier import MAX_LEVEL
from gateway.errors import Reason, TiergateError
from tests.property import strategies

KEYS = {"ES256": generate_signing_key("ES256"), "EdDSA": generate_signing_key("EdDSA")}
KID = "key-1"
HEADER = b64url(json.dumps({"alg": "ES256", "kid": KID, "typ": TYP}).encode())
REFUSALS = {Reason.TOKEN_MALFORMED, Reason.TOKEN_TYPE_WRONG, Reason.MESSAGE_TOO_LARGE}


def _ring(alg: Algorithm, purpose: KeyPurpose, kid: str = KID) -> KeyRing:
    return KeyRing(purpose, [DirectoryKey(kid, purpose, alg, public_jwk(KEYS[alg]))])


def _verifier(alg: Algorithm, token: ConsentToken, *, remember: int = 0) -> ConsentVerifier:
    return ConsentVerifier({token.issuer: _ring(alg, "consent")}, token.audience, remember=remember)


@given(alg=strategies.algorithms, token=strategies.consents())
def test_a_consent_round_trips(alg: Algorithm, token: ConsentToken) -> None:
    text, digest = issue_consent(KEYS[alg], KID, token)
    verifier = _verifier(alg, token, remember=1)
    for _ in range(2):  # fresh and remembered
        back = verifier.verify(text, operator=token.operator, now_s=token.not_before)
        assert back == replace(token, hash=digest)


@given(alg=strategies.algorithms, token=strategies.consents(), data=st.data())
def test_a_proof_round_trips(alg: Algorithm, token: ConsentToken, data: st.DataObject) -> None:
    kid = thumbprint(public_jwk(KEYS[alg]))
    bound = replace(token, key_thumbprint=kid, of_device=False, hash=data.draw(strategies.hashes))
    scenario = data.draw(st.sampled_from(sorted(token.scenarios)))
    text = issue_proof(
        KEYS[alg],
        kid,
        token_hash=bound.hash,
        operator=bound.operator,
        scenario=scenario,
        issued_at=bound.not_before,
        proof_id=data.draw(strategies.request_ids),
    )
    verifier = ProofVerifier({bound.operator: _ring(alg, "proof", kid)}, remember=1)
    for _ in range(2):
        verifier.verify(text, bound, scenario=scenario, now_s=bound.not_before)


@given(alg=strategies.algorithms, token=strategies.consents(), data=st.data())
def test_an_attestation_round_trips(alg: Algorithm, token: ConsentToken, data: st.DataObject) -> None:
    token = replace(token, hash=data.draw(strategies.hashes))
    given_one = data.draw(strategies.attestations(token))
    verifier = AttestationVerifier({token.issuer: _ring(alg, "attestation")}, token.audience)
    back = verifier.verify(
        issue_attestation(KEYS[alg], KID, given_one),
        token,
        scenario=given_one.scenario,
        bundle=given_one.bundle,
        rungs=MAX_LEVEL,
        request=given_one.request or RequestId("not-looked-at-here"),
        now_s=given_one.issued_at,
    )
    assert back == given_one


@given(alg=strategies.algorithms, event=strategies.events())
def test_an_event_round_trips(alg: Algorithm, event: SecurityEvent) -> None:
    verifier = EventVerifier({event.issuer: _ring(alg, "event")}, event.audience)
    text = issue_event(KEYS[alg], KID, event)
    assert verifier.verify(text, sender=event.issuer, now_s=event.issued_at) == event


@given(alg=strategies.algorithms, token=strategies.consents(), data=st.data())
def test_a_token_with_one_character_changed_never_verifies(
    alg: Algorithm, token: ConsentToken, data: st.DataObject
) -> None:
    text, _ = issue_consent(KEYS[alg], KID, token)
    verifier = _verifier(alg, token, remember=4)
    verifier.verify(text, operator=token.operator, now_s=token.not_before)
    with pytest.raises(TiergateError):
        verifier.verify(
            data.draw(strategies.one_character_changed(text)), operator=token.operator, now_s=token.not_before
        )


@given(text=st.text() | st.text(strategies.BASE64URL + ".") | st.binary().map(b64url))
def test_any_text_is_refused_with_a_typed_error(text: str) -> None:
    with pytest.raises(TiergateError) as caught:
        jws.parse(text, TYP)
    assert caught.value.reason in REFUSALS


@given(head=st.binary(max_size=200), payload=st.binary(max_size=200), signature=st.binary(max_size=80))
def test_any_bytes_in_the_segments_are_refused_with_a_typed_error(
    head: bytes, payload: bytes, signature: bytes
) -> None:
    with pytest.raises(TiergateError) as caught:
        jws.parse(f"{b64url(head)}.{b64url(payload)}.{b64url(signature)}", TYP)
    assert caught.value.reason in REFUSALS


@given(payload=st.binary(max_size=200) | strategies.json_values.map(lambda value: json.dumps(value).encode()))
def test_any_signed_payload_is_a_consent_or_a_typed_error(payload: bytes) -> None:
    signing_input = f"{HEADER}.{b64url(payload)}"
    text = f"{signing_input}.{b64url(sign(KEYS['ES256'], signing_input.encode()))}"
    reason = None
    try:
        claims = jws.verify(jws.parse(text, TYP), _ring("ES256", "consent"))
    except TiergateError as error:
        reason = error.reason
    else:
        assert claims == json.loads(payload)
    assert reason in {None, Reason.TOKEN_MALFORMED}


@given(token=strategies.consents(), data=st.data())
def test_any_value_in_any_claim_is_refused_or_taken_as_it_is(token: ConsentToken, data: st.DataObject) -> None:
    claims = token.claims()
    name = data.draw(st.sampled_from(sorted(claims)) | st.text(max_size=12))
    claims[name] = data.draw(strategies.json_values)
    signing_input = f"{HEADER}.{b64url(json.dumps(claims).encode())}"
    text = f"{signing_input}.{b64url(sign(KEYS['ES256'], signing_input.encode()))}"
    try:
        back = _verifier("ES256", token).verify(text, operator=token.operator, now_s=token.not_before)
    except TiergateError:
        return
    assert back.claims() == claims


@given(data=st.binary(max_size=80))
def test_one_byte_string_has_one_spelling(data: bytes) -> None:
    segment = b64url(data).encode()
    assert jws.decode_segment(segment) == data


@given(segment=st.binary(max_size=12) | st.text(strategies.BASE64URL, max_size=40).map(str.encode))
def test_what_decodes_is_the_canonical_spelling(segment: bytes) -> None:
    try:
        data = jws.decode_segment(segment)
    except ValueError:
        return
    assert b64url(data).encode() == segment


@given(identity=strategies.identities())
def test_an_identity_round_trips(identity: PeerIdentity) -> None:
    assert PeerIdentity.parse(identity.uri) == identity


@given(uri=st.text() | st.from_regex(r"spiffe://[a-z.]{1,8}/(city|operator|gateway)[a-z/.-]{0,12}", fullmatch=True))
def test_any_text_is_an_identity_as_it_stands_or_unknown(uri: str) -> None:
    reason = None
    try:
        identity = PeerIdentity.parse(uri)
    except TiergateError as error:
        reason = error.reason
    else:
        assert identity.uri == uri
    assert reason in {None, Reason.CALLER_UNKNOWN}
