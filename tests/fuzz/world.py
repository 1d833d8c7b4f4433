"""A made-up deployment whose keys follow from their names: what is signed in the corpus verifies in every run."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.consentlog.note import SignerKey
from gateway.consentlog.trust import NONE, TrustPolicy
from gateway.crypto.attestation import Attestation, AttestationVerifier, request_binding
from gateway.crypto.consent import ConsentToken, ConsentVerifier, issue_consent
from gateway.crypto.envelope import PAYLOAD_TYPES, Authority, Root
from gateway.crypto.event import EventVerifier
from gateway.crypto.keys import KeyRing, b64url, public_jwk, thumbprint
from gateway.crypto.proof import ProofVerifier
from gateway.domain.directory import DirectoryKey, KeyPurpose
from gateway.domain.ids import BundleDigest, CityId, OperatorId, RequestId, ScenarioId
from tests.unit.policy.files import valid

NOW = 1_800_000_000
DEPLOYMENT = "fuzz"
CITY, OPERATOR, SCENARIO = CityId("fuzhou"), OperatorId("xiamen-library"), ScenarioId("xiamen-library")
BUNDLE = BundleDigest("ab" * 32)
REQUEST = request_binding(OPERATOR, RequestId("request-0123456789"))
ORIGIN = "log.example.invalid/fuzz"


def seed_of(name: str) -> bytes:
    """32 bytes that follow from a name."""
    return hashlib.sha256(f"synthetic fuzzing key: {name}".encode()).digest()


@cache
def key(name: str) -> Ed25519PrivateKey:
    """A key that follows from its name, and so is no secret."""
    return Ed25519PrivateKey.from_private_bytes(seed_of(name))


def kid(name: str) -> str:
    """The thumbprint of a named key."""
    return thumbprint(public_jwk(key(name)))


def ring(purpose: KeyPurpose) -> KeyRing:
    """The ring of one purpose; its key has the purpose's name."""
    return KeyRing(purpose, [DirectoryKey(kid(purpose), purpose, "EdDSA", public_jwk(key(purpose)))])


def consent(*, bound: bool = False) -> ConsentToken:
    """A consent with its hash, for one use or bound to the operator's key."""
    claims = ConsentToken(
        hash=b"",
        issuer=CITY,
        audience=DEPLOYMENT,
        subject=b64url(seed_of("subject")),
        operator=OPERATOR,
        scenarios={SCENARIO: "borrowing-without-deposit"},
        issued_at=NOW,
        not_before=NOW,
        expires_at=NOW + 3600,
        id=b64url(bytes(16)),
        uses=None if bound else 1,
        notice="cd" * 32,
        key_thumbprint=kid("proof") if bound else None,
    )
    return replace(claims, hash=issue_consent(key("consent"), kid("consent"), claims)[1])


def attestation() -> Attestation:
    """What answers a question about :func:`consent`."""
    token = consent()
    return Attestation(
        id=b64url(bytes(16)),
        issuer=CITY,
        audience=DEPLOYMENT,
        subject=token.subject,
        operator=OPERATOR,
        token_hash=token.hash,
        scenario=SCENARIO,
        bundle=BUNDLE,
        rung=1,
        issued_at=NOW,
        expires_at=NOW + 300,
        request=REQUEST,
    )


CONSENTS = ConsentVerifier({CITY: ring("consent")}, DEPLOYMENT)
PROOFS = ProofVerifier({OPERATOR: ring("proof")})
ATTESTATIONS = AttestationVerifier({CITY: ring("attestation")}, DEPLOYMENT)
EVENTS = EventVerifier({CITY: ring("event")}, DEPLOYMENT)

LOG = SignerKey(ORIGIN, key("log"))
TRUST = TrustPolicy((LOG.verifier,), {}, {}, NONE)

ROOT = Root((Authority("province", public_jwk(key("authority")), PAYLOAD_TYPES),), dict.fromkeys(PAYLOAD_TYPES, 1))


def small_policies() -> dict[str, str]:
    """Path and text of a valid set of two cities, small enough for work and memory to be those of the input."""

    def named(text: str) -> str:
        return text.replace("alpha", CITY).replace("beta", "xiamen")

    return {named(path): named(text) for path, text in valid().items()}
