"""A city's answer to a question: verified against exactly this question, or as good as none."""

from __future__ import annotations

from gateway.crypto.trusted import TrustedKeys
from gateway.ports import AttestationRecord
from gateway.services.attestation_cache import AttestationCache, LiveAttestation
from gateway.services.check import Asked, Check
from gateway.services.trust import accepted_attestation


def accept(
    check: Check, answer: str, asked: Asked, *, keys: TrustedKeys, cache: AttestationCache, now_s: float
) -> None:
    """Verify ``answer`` (a JWS) and let the check live by it; an unlimited token's is cached.

    The lifetime counts from before the question was sent: longer it can never be. Raises HOME_CITY_UNAVAILABLE.
    """
    attestation = accepted_attestation(keys, check, answer, now_s)
    check.live = LiveAttestation(
        attestation,
        AttestationRecord(attestation.id, answer),
        asked.monotonic + (attestation.expires_at - attestation.issued_at),
        asked.size,
    )
    if check.token.uses is None:
        cache.put(check.key, check.live, asked.epoch)
