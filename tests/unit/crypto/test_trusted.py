from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.crypto.attestation import issue_attestation
from gateway.crypto.consent import issue_consent, new_id
from gateway.crypto.event import SecurityEvent, issue_event
from gateway.crypto.keys import generate_signing_key, public_jwk, thumbprint
from gateway.crypto.proof import issue_proof
from gateway.crypto.trusted import TrustedKeys
from gateway.domain.directory import CityPeer, Directory, DirectoryKey, Endpoint, GatewayPeer, KeyPurpose, OperatorPeer
from gateway.domain.ids import PeerIdentity
from gateway.errors import Reason
from tests.unit.crypto.samples import (
    BORROWING,
    BUNDLE,
    DEPLOYMENT,
    FUZHOU,
    LIBRARY,
    NOW,
    OPERATOR_KEYS,
    REQUEST,
    attestation,
    bound,
    directory_key,
    refuses,
)

PURPOSES: tuple[KeyPurpose, ...] = ("consent", "attestation", "event")
KEYS = {purpose: generate_signing_key("ES256") for purpose in PURPOSES}


def _city(keys: tuple[DirectoryKey, ...]) -> CityPeer:
    identity = PeerIdentity("tiergate.example", "city", FUZHOU)
    return CityPeer(FUZHOU, "福州", "Fuzhou", identity, Endpoint("localhost:1", "fuzhou.example"), keys)


def _directory(keys: tuple[DirectoryKey, ...] | None = None) -> Directory:
    if keys is None:
        keys = tuple(directory_key(KEYS[purpose], purpose, purpose) for purpose in PURPOSES)
    operator = PeerIdentity("tiergate.example", "operator", LIBRARY)
    gateway = PeerIdentity("tiergate.example", "gateway", "")
    return Directory(
        version=1,
        issued=NOW,
        expires=NOW + 86_400,
        trust_domain="tiergate.example",
        gateway=GatewayPeer(DEPLOYMENT, gateway, Endpoint("localhost:2", "gateway.example"), "log.example", "vkey"),
        cities={FUZHOU: _city(keys)},
        operators={
            LIBRARY: OperatorPeer(LIBRARY, operator, (directory_key(OPERATOR_KEYS["ES256"], "proof"),)),
        },
        auditors={},
        witnesses={},
    )


def test_each_purpose_verifies_with_its_own_key() -> None:
    keys = TrustedKeys.of(_directory())
    text, digest = issue_consent(KEYS["consent"], "consent", bound())
    token = keys.consents.verify(text, operator=LIBRARY, now_s=NOW)
    proof = issue_proof(
        OPERATOR_KEYS["ES256"],
        thumbprint(public_jwk(OPERATOR_KEYS["ES256"])),
        token_hash=digest,
        operator=LIBRARY,
        scenario=BORROWING,
        issued_at=NOW,
        proof_id=new_id(),
    )
    keys.proofs.verify(proof, token, scenario=BORROWING, now_s=NOW)
    given = attestation(token)
    signed = issue_attestation(KEYS["attestation"], "attestation", given)
    question: dict[str, Any] = {"scenario": BORROWING, "bundle": BUNDLE, "rungs": 1, "request": REQUEST, "now_s": NOW}
    assert keys.attestations.verify(signed, token, **question) == given
    event = SecurityEvent(new_id(), FUZHOU, DEPLOYMENT, "correction", None, NOW)
    assert keys.events.verify(issue_event(KEYS["event"], "event", event), sender=FUZHOU, now_s=NOW) == event


@pytest.mark.parametrize("purpose", ["attestation", "event"])
def test_a_consent_signed_with_a_key_of_another_purpose_is_refused(purpose: KeyPurpose) -> None:
    text, _ = issue_consent(KEYS[purpose], purpose, bound())
    with refuses(Reason.TOKEN_KEY_UNKNOWN):
        TrustedKeys.of(_directory()).consents.verify(text, operator=LIBRARY, now_s=NOW)


def test_a_removed_key_takes_its_remembered_tokens_with_it() -> None:
    directory = _directory()
    text, _ = issue_consent(KEYS["consent"], "consent", bound())
    TrustedKeys.of(directory, remember_tokens=8).consents.verify(text, operator=LIBRARY, now_s=NOW)
    newer = replace(directory, version=2, cities={FUZHOU: _city(())})
    with refuses(Reason.TOKEN_KEY_UNKNOWN):
        TrustedKeys.of(newer, remember_tokens=8).consents.verify(text, operator=LIBRARY, now_s=NOW)


def test_a_directory_with_an_unusable_key_is_refused_as_a_whole() -> None:
    broken = DirectoryKey("consent", "consent", "EdDSA", public_jwk(KEYS["consent"]))
    with refuses(Reason.KEY_INVALID):
        TrustedKeys.of(_directory((broken,)))


def test_memory_is_only_kept_when_asked_for() -> None:
    text, _ = issue_consent(KEYS["consent"], "consent", bound())
    for remember in (0, 8):
        keys = TrustedKeys.of(_directory(), remember_tokens=remember, remember_proofs=remember)
        keys.consents.verify(text, operator=LIBRARY, now_s=NOW)
        assert len(keys.consents._seen) == min(remember, 1)
        assert keys.proofs._remember == remember
