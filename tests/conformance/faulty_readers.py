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
from gateway.conformance.session import claims_of
from gateway.conformance.tokens import b64url_bytes
from gateway.crypto import consent
from gateway.crypto.consent import ConsentToken, ConsentVerifier
from gateway.crypto.proof import ProofVerifier
from gateway.domain.ids import OperatorId
from gateway.errors import Reason, TiergateError

Plant = Callable[[pytest.MonkeyPatch], None]


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
        return ConsentVerifier.verify(rings, text, operator=operator, now_s=now_s)
    finally:
        rings._deployment = kept


def any_operator(rings: ConsentVerifier, text: str, _operator: OperatorId, now_s: float) -> ConsentToken:
    return ConsentVerifier.verify(rings, text, operator=rings._verified(text).operator, now_s=now_s)


def leeway(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
    try:
        return ConsentVerifier.verify(rings, text, operator=operator, now_s=now_s)
    except TiergateError as error:
        if error.reason is not Reason.TOKEN_EXPIRED:
            raise
        token = ConsentVerifier.verify(rings, text, operator=operator, now_s=now_s - 60)
        return replace(token, expires_at=int(now_s) + 60)


def early(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
    return ConsentVerifier.verify(rings, text, operator=operator, now_s=max(now_s, rings._verified(text).not_before))


def believing(accept: Callable[[str], bool]) -> Callable[[ConsentVerifier, str, OperatorId, float], ConsentToken]:
    """A verifier that takes tokens with some header without looking at their signature."""

    def verify(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
        if text.count(".") == 2 and accept(b64url_bytes(text.split(".", maxsplit=1)[0]).decode()):
            return consent._shape(claims_of(text), consent.token_hash(text))
        return ConsentVerifier.verify(rings, text, operator=operator, now_s=now_s)

    return verify


def unsigned(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
    """The key is looked up; what it would say is not asked."""
    try:
        return ConsentVerifier.verify(rings, text, operator=operator, now_s=now_s)
    except TiergateError as error:
        if error.reason is not Reason.TOKEN_SIGNATURE_INVALID:
            raise
        return consent._shape(claims_of(text), consent.token_hash(text))


def one_reason(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
    try:
        return ConsentVerifier.verify(rings, text, operator=operator, now_s=now_s)
    except TiergateError as error:
        if error.reason is Reason.TOKEN_KEY_UNKNOWN:
            raise TiergateError(Reason.TOKEN_SIGNATURE_INVALID) from error
        raise


def proofs(forgive: Reason, *, mark: bool = True) -> Plant:
    """One refusal of proofs is passed over; without ``mark`` no proof is ever remembered."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        class Faulty(ProofVerifier):
            def verify(self, text: str, token: ConsentToken, *, scenario: Any, now_s: float) -> bytes | None:
                try:
                    found = super().verify(text, token, scenario=scenario, now_s=now_s)
                except TiergateError as error:
                    if error.reason is not forgive:
                        raise
                    return None
                return found if mark else None

        patch.setattr(adapters.reference, "ProofVerifier", Faulty)

    return plant


def proof_window(name: str, seconds: int) -> Plant:
    return lambda patch: patch.setattr(gateway.crypto.proof, name, seconds)
