"""Faults of how a city reads tokens and proofs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import adapters.app
import adapters.authority
import adapters.handles
import adapters.question
import adapters.reference
import adapters.reports
import gateway.crypto.proof
import gateway.transport.refusals
from adapters.rpc_consents import ConsentServicer
from gateway.conformance.session import claims_of
from gateway.conformance.tokens import b64url_bytes
from gateway.crypto import consent, jws
from gateway.crypto.consent import ConsentToken, ConsentVerifier, require_covered
from gateway.crypto.proof import ProofVerifier
from gateway.domain.ids import OperatorId
from gateway.errors import Reason, TiergateError

Plant = Callable[[pytest.MonkeyPatch], None]
VERIFY = ConsentVerifier.verify


def consents(verify: Callable[[ConsentVerifier, str, OperatorId, float], ConsentToken]) -> Plant:
    """Tokens are read in another way."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        class Faulty(ConsentVerifier):
            def verify(self, text: str, *, operator: OperatorId, now_s: float) -> ConsentToken:
                return verify(self, text, operator, now_s)

        patch.setattr(adapters.reference, "ConsentVerifier", Faulty)

    return plant


def any_audience(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
    token = rings._verified(text)
    rings._deployment, kept = token.audience, rings._deployment
    try:
        return VERIFY(rings, text, operator=operator, now_s=now_s)
    finally:
        rings._deployment = kept


def any_operator(rings: ConsentVerifier, text: str, _operator: OperatorId, now_s: float) -> ConsentToken:
    return VERIFY(rings, text, operator=rings._verified(text).operator, now_s=now_s)


def leeway(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
    try:
        return VERIFY(rings, text, operator=operator, now_s=now_s)
    except TiergateError as error:
        if error.reason is not Reason.TOKEN_EXPIRED:
            raise
        token = VERIFY(rings, text, operator=operator, now_s=now_s - 60)
        return replace(token, expires_at=int(now_s) + 60)


def early(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
    return VERIFY(rings, text, operator=operator, now_s=max(now_s, rings._verified(text).not_before))


def believing(accept: Callable[[str], bool]) -> Callable[[ConsentVerifier, str, OperatorId, float], ConsentToken]:
    """A verifier that takes tokens with some header without looking at their signature."""

    def verify(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
        if text.count(".") == 2 and accept(b64url_bytes(text.split(".", maxsplit=1)[0]).decode()):
            return consent._shape(claims_of(text), consent.token_hash(text))
        return VERIFY(rings, text, operator=operator, now_s=now_s)

    return verify


def unsigned(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
    """The key is looked up; what it would say is not asked."""
    try:
        return VERIFY(rings, text, operator=operator, now_s=now_s)
    except TiergateError as error:
        if error.reason is not Reason.TOKEN_SIGNATURE_INVALID:
            raise
        return consent._shape(claims_of(text), consent.token_hash(text))


def one_reason(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
    try:
        return VERIFY(rings, text, operator=operator, now_s=now_s)
    except TiergateError as error:
        if error.reason is Reason.TOKEN_KEY_UNKNOWN:
            raise TiergateError(Reason.TOKEN_SIGNATURE_INVALID) from error
        raise


def proofs(forgive: Reason, *, mark: bool = True) -> Plant:
    """One refusal of proofs is passed over; without ``mark`` no proof is ever remembered."""

    real = ProofVerifier.verify

    def verify(self: ProofVerifier, text: str, token: ConsentToken, **asked: Any) -> bytes | None:
        try:
            found = real(self, text, token, **asked)
        except TiergateError as error:
            if error.reason is not forgive:
                raise
            return None
        return found if mark else None

    return lambda patch: patch.setattr(ProofVerifier, "verify", verify)


def forged(read: str) -> Plant:
    """Proofs of one kind are read, and what the key would say to their signature is not asked."""

    def lenient(parsed: Any, alg: Any, _check: Any, *, invalid: Reason, real: Any = jws.verify_with) -> Any:
        return real(parsed, alg, lambda _signature, _data: None, invalid=invalid)

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = getattr(ProofVerifier, read)

        def verify(self: ProofVerifier, *given: Any) -> Any:
            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(jws, "verify_with", lenient)
                return real(self, *given)

        patch.setattr(ProofVerifier, read, verify)

    return plant


def unsigned_tokens(patch: pytest.MonkeyPatch) -> None:
    """As :func:`unsigned`, for verifiers that are there already."""

    def verify(self: ConsentVerifier, text: str, *, operator: OperatorId, now_s: float) -> ConsentToken:
        return unsigned(self, text, operator, now_s)

    patch.setattr(ConsentVerifier, "verify", verify)


def _ended(patch: pytest.MonkeyPatch) -> set[str]:
    """The ids of consents that are withdrawn from now on."""
    ended: set[str] = set()
    real: Any = ConsentServicer.WithdrawConsent

    async def withdraw(self: Any, request: Any, caller: Any) -> Any:
        answer = await real(self, request, caller)
        ended.add(request.consent_id)
        return answer

    patch.setattr(ConsentServicer, "WithdrawConsent", withdraw)
    return ended


def ended_need_no_proof(patch: pytest.MonkeyPatch) -> None:
    """What is withdrawn is rung 0 before its proof is looked at."""
    ended, real = _ended(patch), ProofVerifier.verify

    def verify(self: ProofVerifier, text: str, token: ConsentToken, **asked: Any) -> bytes | None:
        return None if token.id in ended else real(self, text, token, **asked)

    patch.setattr(ProofVerifier, "verify", verify)


def ended_cover_everything(patch: pytest.MonkeyPatch) -> None:
    """What is withdrawn is rung 0 before it is asked which scenarios it names."""
    ended = _ended(patch)

    def covered(token: ConsentToken, scenario: Any) -> None:
        if token.id not in ended:
            require_covered(token, scenario)

    patch.setattr(adapters.question, "require_covered", covered)


def proof_window(name: str, seconds: int) -> Plant:
    return lambda patch: patch.setattr(gateway.crypto.proof, name, seconds)
