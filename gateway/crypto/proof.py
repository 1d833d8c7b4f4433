"""Proofs of possession: ``typ: consent-proof+jwt`` (after RFC 9449, for consents instead of access tokens).

Claims: ``ath`` (hash of the token), ``operator``, ``scenario``, ``iat``, ``jti``. Whose key, says the token:

- An operator-bound proof is signed with the operator's key from the directory, named by its RFC 7638 thumbprint as
  ``kid``, and may be reused for ``OPERATOR_PROOF_WINDOW_S``.
- A device-bound one carries the device's public key as ``jwk`` in its header (RFC 9449, section 4.2), is fresh for
  ``DEVICE_PROOF_WINDOW_S``, and good once: whoever takes it keeps its mark for ``PROOF_KEPT_S``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from gateway.crypto import jws
from gateway.crypto.consent import MAX_CLOCK_AHEAD_S, ConsentToken
from gateway.crypto.keys import KeyRing, PrivateKey, b64url
from gateway.domain.ids import OperatorId, ScenarioId
from gateway.errors import Reason, TiergateError

TYP = "consent-proof+jwt"
OPERATOR_PROOF_WINDOW_S = 300
DEVICE_PROOF_WINDOW_S = 60
PROOF_KEPT_S = 80
"""Longer than a device's proof can be fresh: its window, what a clock may be ahead, and something to spare."""
_K = TypeVar("_K")
_V = TypeVar("_V")
_ID = re.compile(r"[A-Za-z0-9_-]{16,64}\Z")


def _members(token_hash: bytes, operator: str, scenario: str, issued_at: int, proof_id: str) -> dict[str, Any]:
    return {"ath": b64url(token_hash), "operator": operator, "scenario": scenario, "iat": issued_at, "jti": proof_id}


def issue_proof(
    key: PrivateKey, kid: str, *, token_hash: bytes, operator: str, scenario: str, issued_at: int, proof_id: str
) -> str:
    """Sign an operator's proof. ``issued_at`` in Unix seconds."""
    return jws.issue(key, kid, TYP, _members(token_hash, operator, scenario, issued_at, proof_id))


def issue_device_proof(
    key: PrivateKey, *, token_hash: bytes, operator: str, scenario: str, issued_at: int, proof_id: str
) -> str:
    """Sign a device's proof; what an app does for the resident. ``proof_id`` is never used again."""
    return jws.issue_keyed(key, TYP, _members(token_hash, operator, scenario, issued_at, proof_id))


class _Proof(NamedTuple):
    """A proof whose signature has verified under the key of that thumbprint."""

    key: str
    operator: str
    ath: str
    scenario: str
    issued_at: int
    id: str


def _read(key: str, members: Mapping[str, Any]) -> _Proof:
    claims = jws.Claims(members, Reason.PROOF_MALFORMED)
    proof = _Proof(
        key,
        claims.text("operator"),
        claims.text("ath"),
        claims.text("scenario"),
        claims.integer("iat"),
        claims.text("jti"),
    )
    claims.done()
    if not _ID.match(proof.id):
        raise TiergateError(Reason.PROOF_MALFORMED, "jti")
    return proof


class ProofVerifier:
    """Verifies proofs under one version of the directory.

    ``remember`` > 0 keeps that many operators' proofs whose signature has verified (about 1 KiB each); everything but
    the signature is checked on every call. A device's proof is good once, so there is nothing to remember of it but
    its key, read: that many keys (about 3 KiB each), of those alone that a city's token names, so that nobody fills
    the memory with keys of her own making.
    """

    def __init__(self, rings: Mapping[OperatorId, KeyRing], *, remember: int = 0) -> None:
        self._rings = rings
        self._remember = remember
        self._seen: dict[str, _Proof] = {}
        self._devices: dict[bytes, jws.HolderKey] = {}

    def _by_operator(self, text: str, operator: OperatorId) -> _Proof:
        known = self._seen.get(text)
        if known is not None:
            return known
        parsed = jws.parse(text, TYP, malformed=Reason.PROOF_MALFORMED)
        ring = self._rings.get(operator)
        if ring is None:
            raise TiergateError(Reason.PROOF_INVALID, "operator has no proof key")
        proof = _read(parsed.kid, jws.verify(parsed, ring, invalid=Reason.PROOF_INVALID))
        if proof.operator != operator:  # what is remembered was verified with the keys of the operator that it names
            raise TiergateError(Reason.PROOF_INVALID, "other operator")
        self._keep(self._seen, text, proof)
        return proof

    def _by_device(self, text: str, named: str | None) -> _Proof:
        parsed, key = jws.parse_keyed(text, TYP, malformed=Reason.PROOF_MALFORMED, known=self._devices)
        claims = jws.verify_with(parsed, key.key_alg, key.verify, invalid=Reason.PROOF_INVALID)
        proof = _read(key.thumbprint, claims)
        if key.thumbprint == named and key.header not in self._devices:
            self._keep(self._devices, key.header, key)
        return proof

    def _keep(self, kept: dict[_K, _V], key: _K, value: _V) -> None:
        if self._remember:
            if len(kept) >= self._remember:
                del kept[next(iter(kept))]
            kept[key] = value

    def _verified(self, text: str, token: ConsentToken) -> _Proof:
        try:
            return (
                self._by_device(text, token.key_thumbprint)
                if token.of_device
                else self._by_operator(text, token.operator)
            )
        except TiergateError as error:
            # token reasons here would point the operator at the wrong one of the two things it sent
            match error.reason:
                case Reason.TOKEN_TYPE_WRONG:
                    raise TiergateError(Reason.PROOF_MALFORMED, "typ") from error
                case Reason.TOKEN_KEY_UNKNOWN | Reason.TOKEN_ALGORITHM_WRONG:
                    raise TiergateError(Reason.PROOF_INVALID, error.detail) from error
            raise

    def verify(self, text: str, token: ConsentToken, *, scenario: ScenarioId, now_s: float) -> bytes | None:
        """Return if ``text`` proves possession of the key that ``token`` is bound to, for its operator and scenario.

        The result is the mark of a proof that is good once: 32 bytes, SHA-256 over (token, jti), to be kept for
        ``PROOF_KEPT_S`` and refused when it comes again (PROOF_REPLAYED); None for one that may be reused, or none.
        Raises PROOF_REQUIRED, PROOF_NOT_EXPECTED, MESSAGE_TOO_LARGE, PROOF_MALFORMED, PROOF_INVALID, PROOF_STALE.
        """
        if token.key_thumbprint is None:
            if text:
                raise TiergateError(Reason.PROOF_NOT_EXPECTED)
            return None
        if not text:
            raise TiergateError(Reason.PROOF_REQUIRED)
        proof = self._verified(text, token)
        if proof.key != token.key_thumbprint or proof.ath != b64url(token.hash):
            raise TiergateError(Reason.PROOF_INVALID, "other key or other token")
        if proof.operator != token.operator or proof.scenario != scenario:
            raise TiergateError(Reason.PROOF_INVALID, "other operator or scenario")
        window_s = DEVICE_PROOF_WINDOW_S if token.of_device else OPERATOR_PROOF_WINDOW_S
        if not now_s - window_s <= proof.issued_at <= now_s + MAX_CLOCK_AHEAD_S:
            raise TiergateError(Reason.PROOF_STALE)
        return hashlib.sha256(token.hash + proof.id.encode("ascii")).digest() if token.of_device else None
