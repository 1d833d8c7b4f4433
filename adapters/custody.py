"""The city's own keys, by purpose, held by this process alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adapters.pairwise import PairwiseSecret
from gateway.crypto.attestation import Attestation, issue_attestation
from gateway.crypto.consent import ConsentToken, issue_consent
from gateway.crypto.event import SecurityEvent, issue_event
from gateway.crypto.keys import PrivateKey, load_private_key, public_jwk
from gateway.domain.directory import CityPeer
from gateway.errors import Problem, ProblemsError, Reason

Purpose = Literal["consent", "attestation", "event"]


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """A private key and the key id under which the directory knows it."""

    kid: str
    key: PrivateKey

    @classmethod
    def load(cls, kid: str, path: Path) -> SigningKey:
        """Read a PEM PKCS #8 key. Raises KEY_INVALID."""
        return cls(kid, load_private_key(path))


@dataclass(frozen=True, slots=True, repr=False)
class CityKeys:
    """One key per purpose, and the secret of the pairwise identifiers. It has no ``repr``."""

    consent: SigningKey
    attestation: SigningKey
    event: SigningKey
    pairwise: PairwiseSecret

    def sign_consent(self, token: ConsentToken) -> tuple[str, bytes]:
        """Sign a consent token; the token and its hash."""
        return issue_consent(self.consent.key, self.consent.kid, token)

    def sign_attestation(self, attestation: Attestation) -> str:
        """Sign an attestation."""
        return issue_attestation(self.attestation.key, self.attestation.kid, attestation)

    def sign_event(self, event: SecurityEvent) -> str:
        """Sign an event."""
        return issue_event(self.event.key, self.event.kid, event)

    def check_against(self, city: CityPeer, file: str) -> None:
        """Return if the directory lists each of these keys for its purpose: else nobody could verify this city.

        Raises ProblemsError (KEY_INVALID) that names every key that does not agree.
        """
        held: tuple[tuple[Purpose, SigningKey], ...] = (
            ("consent", self.consent),
            ("attestation", self.attestation),
            ("event", self.event),
        )
        problems = [
            Problem(
                file,
                f"cities.{city.id}.keys",
                f"does not list this adapter's {purpose} key as {signing.kid}",
                "send the public key to the authority that signs the directory, or mend the key settings",
            )
            for purpose, signing in held
            if not any(
                listed.purpose == purpose and listed.kid == signing.kid and dict(listed.jwk) == public_jwk(signing.key)
                for listed in city.keys
            )
        ]
        if problems:
            raise ProblemsError(Reason.KEY_INVALID, problems)
