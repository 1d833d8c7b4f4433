"""What a check rests on must verify under the directory in force when it is decided, not when it was asked.

A directory may be replaced while a home city is being asked, and stored decisions and live attestations outlast the
moment in which they were made. A key that has been removed must vouch for nothing from then on (DESIGN: the peer
directory follows the newest).
"""

from __future__ import annotations

from gateway.crypto.attestation import Attestation, request_binding
from gateway.crypto.trusted import TrustedKeys
from gateway.domain.decision import Decision
from gateway.errors import Reason, TiergateError
from gateway.ports import KnownRequest
from gateway.services.check import Check, city_at_fault


def verified_attestation(keys: TrustedKeys, check: Check, answer: str, now_s: float) -> Attestation:
    """The home city's answer, if it answers exactly this question. Raises ATTESTATION_INVALID."""
    return keys.attestations.verify(
        answer,
        check.token,
        scenario=check.scenario.id,
        bundle=check.bundle.digest,
        rungs=len(check.scenario.rungs),
        request=request_binding(check.question.operator, check.question.request_id),
        now_s=now_s,
    )


def accepted_attestation(keys: TrustedKeys, check: Check, answer: str, now_s: float) -> Attestation:
    """As :func:`verified_attestation`, of an answer that has just come. Raises HOME_CITY_UNAVAILABLE."""
    try:
        return verified_attestation(keys, check, answer, now_s)
    except TiergateError as error:
        raise city_at_fault(f"{error.reason}: {error.detail}") from error


def require_trusted(keys: TrustedKeys, check: Check, now_s: float) -> None:
    """Return if what the check rests on verifies under ``keys``; at once if these are those it was examined under.

    Raises TOKEN_* and PROOF_*, which end the check, or ATTESTATION_INVALID, after which the city is asked again.
    """
    if keys is check.keys:
        return
    token = keys.consents.verify(check.question.token, operator=check.question.operator, now_s=now_s)
    try:
        keys.proofs.verify(check.question.proof, token, scenario=check.scenario.id, now_s=now_s)
    except TiergateError as error:
        if error.reason is not Reason.PROOF_STALE:  # how old it may be was settled when the check came in
            raise
    if check.known is not None:
        check.known = None
        raise TiergateError(Reason.ATTESTATION_INVALID, "decided under another directory")
    if check.live is not None:
        verified_attestation(keys, check, check.live.record.jws, now_s)
    check.keys = keys


def standing_decision(known: KnownRequest | None, check: Check, now_s: float) -> Decision | None:
    """The decision stored for a repeated request, if the attestation that it rests on would be taken today."""
    if known is None or known.decision is None:
        return None
    try:
        verified_attestation(check.keys, check, known.attestation, now_s)
    except TiergateError:
        return None
    return known.decision
