"""What a check is asked, what is known of it on its way, and what it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gateway.crypto.consent import ConsentToken
from gateway.crypto.trusted import TrustedKeys
from gateway.domain.bundle import Bundle
from gateway.domain.decision import Decision
from gateway.domain.ids import OperatorId, RequestId
from gateway.domain.scenario import Scenario, Terms
from gateway.errors import Reason, TiergateError
from gateway.services.attestation_cache import Key, LiveAttestation

RETRY_AFTER_S = 5.0


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
    """One question on its way: what has been established so far. ``keys``: those that it was last verified under."""

    question: CheckQuestion
    bundle: Bundle
    scenario: Scenario
    token: ConsentToken
    body: bytes
    request: bytes
    key: Key
    keys: TrustedKeys
    live: LiveAttestation | None = None
    known: Decision | None = None
    counted_at_ms: int | None = None
    """When it was counted for its consent's rate; None for a retry."""


class Asked(NamedTuple):
    """Taken before a city is asked: the gateway's monotonic clock, the city's flushes so far, the log's size."""

    monotonic: float
    epoch: int
    size: int


def is_void(result: object) -> bool:
    """Whether a correction, or a key's removal, has made the attestation void: the city is then asked again."""
    return isinstance(result, TiergateError) and result.reason is Reason.ATTESTATION_INVALID


def public(error: TiergateError) -> TiergateError:
    """A city that corrects faster than it can be asked cannot answer now."""
    if error.reason is Reason.ATTESTATION_INVALID:
        return TiergateError(Reason.HOME_CITY_UNAVAILABLE, error.detail, retry_after_s=RETRY_AFTER_S)
    return error
