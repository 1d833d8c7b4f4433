"""What a check is asked, what is known of it on its way, and what it is answered."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.crypto.consent import ConsentToken
from gateway.domain.bundle import Bundle
from gateway.domain.decision import Decision
from gateway.domain.ids import OperatorId, RequestId
from gateway.domain.scenario import Scenario, Terms
from gateway.services.attestation_cache import Key, LiveAttestation


@dataclass(frozen=True, slots=True, repr=False)
class CheckQuestion:
    """One question of an operator; the strings are as received. It has no ``repr``: it holds a token."""

    operator: OperatorId
    request_id: RequestId
    scenario: str
    token: str
    proof: str


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """A logged decision with the terms that follow from it."""

    decision: Decision
    terms: Terms
    illustrative: bool


@dataclass(slots=True)
class Check:
    """One question on its way: what has been established so far."""

    question: CheckQuestion
    bundle: Bundle
    scenario: Scenario
    token: ConsentToken
    body: bytes
    request: bytes
    key: Key
    live: LiveAttestation | None = None
    known: Decision | None = None
