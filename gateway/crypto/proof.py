"""Proofs of possession: ``typ: consent-proof+jwt`` (after RFC 9449, for consents instead of access tokens).

Claims: ``ath`` (hash of the token), ``operator``, ``scenario``, ``iat``, ``jti``. An operator-bound proof is signed
with the operator's key from the directory, named by its RFC 7638 thumbprint as ``kid``, and may be reused for
``OPERATOR_PROOF_WINDOW_S``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.crypto import jws
from gateway.crypto.consent import MAX_CLOCK_AHEAD_S, ConsentToken
from gateway.crypto.keys import KeyRing, PrivateKey, b64url
from gateway.domain.ids import OperatorId, ScenarioId
from gateway.errors import Reason, TiergateError

TYP = "consent-proof+jwt"
OPERATOR_PROOF_WINDOW_S = 300
_ID = re.compile(r"[A-Za-z0-9_-]{16,64}\Z")


def issue_proof(
    key: PrivateKey, kid: str, *, token_hash: bytes, operator: str, scenario: str, issued_at: int, proof_id: str
) -> str:
    """Sign a proof. ``issued_at`` in Unix seconds."""
    return jws.issue(
        key,
        kid,
        TYP,
        {
            "ath": b64url(token_hash),
            "operator": operator,
            "scenario": scenario,
            "iat": issued_at,
            "jti": proof_id,
        },
    )


class ProofVerifier:
    """Verifies operator-bound proofs under one version of the directory.

    ``remember`` > 0 keeps that many proofs whose signature has verified (about 1 KiB each); everything but the
    signature is checked on every call.
    """

    def __init__(self, rings: Mapping[OperatorId, KeyRing], *, remember: int = 0) -> None:
        self._rings = rings
        self._remember = remember
        self._seen: dict[str, tuple[str, str, str, str, int]] = {}

    def _verified(self, text: str, operator: OperatorId) -> tuple[str, str, str, str, int]:
        known = self._seen.get(text)
        if known is not None:
            return known
        try:
            parsed = jws.parse(text, TYP, malformed=Reason.PROOF_MALFORMED)
            ring = self._rings.get(operator)
            if ring is None:
                raise TiergateError(Reason.PROOF_INVALID, "operator has no proof key")
            members = jws.verify(parsed, ring, invalid=Reason.PROOF_INVALID)
        except TiergateError as error:
            # token reasons here would point the operator at the wrong one of the two things it sent
            match error.reason:
                case Reason.TOKEN_TYPE_WRONG:
                    raise TiergateError(Reason.PROOF_MALFORMED, "typ") from error
                case Reason.TOKEN_KEY_UNKNOWN | Reason.TOKEN_ALGORITHM_WRONG:
                    raise TiergateError(Reason.PROOF_INVALID, error.detail) from error
            raise
        claims = jws.Claims(members, Reason.PROOF_MALFORMED)
        result = (
            parsed.kid,
            claims.text("operator"),
            claims.text("ath"),
            claims.text("scenario"),
            claims.integer("iat"),
        )
        proof_id = claims.text("jti")
        claims.done()
        if not _ID.match(proof_id):
            raise TiergateError(Reason.PROOF_MALFORMED, "jti")
        if result[1] != operator:  # what is remembered was verified with the keys of the operator that it names
            raise TiergateError(Reason.PROOF_INVALID, "other operator")
        if self._remember:
            if len(self._seen) >= self._remember:
                del self._seen[next(iter(self._seen))]
            self._seen[text] = result
        return result

    def verify(self, text: str, token: ConsentToken, *, scenario: ScenarioId, now_s: float) -> None:
        """Return if ``text`` proves possession of the key that ``token`` is bound to, for its operator and scenario.

        Raises PROOF_REQUIRED, PROOF_NOT_EXPECTED, MESSAGE_TOO_LARGE, PROOF_MALFORMED, PROOF_INVALID, PROOF_STALE.
        """
        if token.key_thumbprint is None:
            if text:
                raise TiergateError(Reason.PROOF_NOT_EXPECTED)
            return
        if not text:
            raise TiergateError(Reason.PROOF_REQUIRED)
        kid, operator, ath, proved, issued_at = self._verified(text, token.operator)
        if kid != token.key_thumbprint or ath != b64url(token.hash):
            raise TiergateError(Reason.PROOF_INVALID, "other key or other token")
        if operator != token.operator or proved != scenario:
            raise TiergateError(Reason.PROOF_INVALID, "other operator or scenario")
        if not now_s - OPERATOR_PROOF_WINDOW_S <= issued_at <= now_s + MAX_CLOCK_AHEAD_S:
            raise TiergateError(Reason.PROOF_STALE)
