"""Tier attestations: ``typ: tier-attestation+jwt``, signed by the home city (invariants I1, I3, I7).

Bound to token hash, operator, subject, scenario and bundle, and for a counted token also to the request. The only
thing about a person in it is ``rung``: 0 to 3, capped to the rungs that the scenario distinguishes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.crypto import jws
from gateway.crypto.consent import MAX_CLOCK_AHEAD_S, ConsentToken
from gateway.crypto.keys import KeyRing, PrivateKey, b64url
from gateway.domain.ids import BundleDigest, CityId, OperatorId, RequestId, ScenarioId, request_key
from gateway.domain.tier import MAX_LEVEL
from gateway.errors import Reason, TiergateError

TYP = "tier-attestation+jwt"
MAX_LIFETIME_S = 300
_ID = re.compile(r"[A-Za-z0-9_-]{22,64}\Z")


@dataclass(frozen=True, slots=True, repr=False)
class Attestation:
    """One attested rung. Times are Unix seconds. ``request`` is None for a token that is not counted.

    It has no ``repr``: it says something about a person.
    """

    id: str
    issuer: CityId
    audience: str
    subject: str
    operator: OperatorId
    token_hash: bytes
    scenario: ScenarioId
    bundle: BundleDigest
    rung: int
    issued_at: int
    expires_at: int
    request: str | None


def request_binding(operator: OperatorId, request_id: RequestId) -> str:
    """What a counted token's attestation names as ``req``: SHA-256 over (operator, request id), base64url."""
    return b64url(request_key(operator, request_id))


def issue_attestation(key: PrivateKey, kid: str, attestation: Attestation) -> str:
    """Sign an attestation; ValueError for a rung or lifetime that no verifier accepts."""
    if not 0 <= attestation.rung <= MAX_LEVEL:
        raise ValueError("rung")
    if not 0 < attestation.expires_at - attestation.issued_at <= MAX_LIFETIME_S:
        raise ValueError("lifetime")
    claims: dict[str, str | int] = {
        "iss": attestation.issuer,
        "aud": attestation.audience,
        "sub": attestation.subject,
        "azp": attestation.operator,
        "ath": b64url(attestation.token_hash),
        "scenario": attestation.scenario,
        "bundle": attestation.bundle,
        "rung": attestation.rung,
        "iat": attestation.issued_at,
        "exp": attestation.expires_at,
        "jti": attestation.id,
    }
    if attestation.request is not None:
        claims["req"] = attestation.request
    return jws.issue(key, kid, TYP, claims)


class AttestationVerifier:
    """Verifies attestations under one version of the directory."""

    def __init__(self, rings: Mapping[CityId, KeyRing], deployment: str) -> None:
        self._rings = rings
        self._deployment = deployment

    def verify(
        self, text: str, token: ConsentToken, *, scenario: ScenarioId, bundle: BundleDigest, rungs: int,
        request: str, now_s: float,
    ) -> Attestation:  # fmt: skip
        """The attestation, if it answers exactly this question. ``rungs``: how many the scenario has above the base.

        ``request`` is the question's :func:`request_binding`; only a counted token's attestation names it.
        Raises ATTESTATION_INVALID for everything: to the operator this is a home city that cannot answer.
        """
        try:
            parsed = jws.parse(text, TYP, malformed=Reason.ATTESTATION_INVALID)
            ring = self._rings.get(token.issuer)
            if ring is None:
                raise TiergateError(Reason.ATTESTATION_INVALID, "issuer has no attestation key")
            claims = jws.Claims(jws.verify(parsed, ring), Reason.ATTESTATION_INVALID)
            expected = (
                ("iss", token.issuer),
                ("aud", self._deployment),
                ("sub", token.subject),
                ("azp", token.operator),
                ("ath", b64url(token.hash)),
                ("scenario", scenario),
                ("bundle", bundle),
            )
            for name, value in expected:
                if claims.text(name) != value:
                    raise TiergateError(Reason.ATTESTATION_INVALID, f"claim {name} is of another question")
            rung = claims.integer("rung", 0, rungs)
            issued_at, expires_at = claims.integer("iat"), claims.integer("exp")
            attestation_id = claims.text("jti")
            bound_to = claims.optional_text("req")
            claims.done()
        except TiergateError as error:
            if error.reason is Reason.ATTESTATION_INVALID:
                raise
            raise TiergateError(Reason.ATTESTATION_INVALID, error.reason.value) from error
        if bound_to != (request if token.uses is not None else None):
            raise TiergateError(Reason.ATTESTATION_INVALID, "claim req")
        if not _ID.match(attestation_id):
            raise TiergateError(Reason.ATTESTATION_INVALID, "claim jti")
        if not 0 < expires_at - issued_at <= MAX_LIFETIME_S or expires_at > token.expires_at:
            raise TiergateError(Reason.ATTESTATION_INVALID, "lifetime")
        if not issued_at - MAX_CLOCK_AHEAD_S <= now_s < expires_at:
            raise TiergateError(Reason.ATTESTATION_INVALID, "not valid now")
        return Attestation(
            attestation_id, token.issuer, self._deployment, token.subject, token.operator, token.hash, scenario,
            bundle, rung, issued_at, expires_at, bound_to,
        )  # fmt: skip
