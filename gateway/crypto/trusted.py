"""All verifiers that follow from one version of the directory, built once when it is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.crypto.attestation import AttestationVerifier
from gateway.crypto.consent import ConsentVerifier
from gateway.crypto.event import EventVerifier
from gateway.crypto.keys import KeyRing
from gateway.crypto.proof import ProofVerifier
from gateway.domain.directory import Directory


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The directory with its keys parsed; replaced as a whole when a newer directory is taken."""

    directory: Directory
    consents: ConsentVerifier
    proofs: ProofVerifier
    attestations: AttestationVerifier
    events: EventVerifier

    @classmethod
    def of(
        cls, directory: Directory, *, remember_tokens: int = 0, trust_remembered: bool = False, remember_proofs: int = 0
    ) -> TrustedKeys:
        """Build the rings. Raises KEY_INVALID for a key that cannot be used."""
        deployment = directory.gateway.deployment
        cities = directory.cities
        return cls(
            directory=directory,
            consents=ConsentVerifier(
                {city: KeyRing("consent", peer.keys) for city, peer in cities.items()},
                deployment,
                remember=remember_tokens,
                trusting=trust_remembered,
            ),
            proofs=ProofVerifier(
                {operator: KeyRing("proof", peer.keys) for operator, peer in directory.operators.items()},
                remember=remember_proofs,
            ),
            attestations=AttestationVerifier(
                {city: KeyRing("attestation", peer.keys) for city, peer in cities.items()}, deployment
            ),
            events=EventVerifier({city: KeyRing("event", peer.keys) for city, peer in cities.items()}, deployment),
        )
