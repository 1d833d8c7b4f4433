"""What a check is asked, what is known of it on its way, and what it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gateway.crypto.consent import ConsentToken
from gateway.crypto.trusted import TrustedKeys
from gateway.domain.bundle import Bundle
from gateway.domain.decision import Decision
from gateway.domain.evaluate import GRAINS_MS
from gateway.domain.ids import OperatorId, RequestId
from gateway.domain.scenario import Scenario, Terms
from gateway.errors import Reason, TiergateError
from gateway.ports import DecisionDraft, consent_key
from gateway.services.attestation_cache import Key, LiveAttestation

RETRY_AFTER_S = 5.0


@dataclass(frozen=True, slots=True, repr=False)
class CheckQuestion:
    """One question of an operator; the strings are as received. It has no ``repr``: it holds a token.

    ``handle``: a one-time code in place of token and proof, which are empty until its city has redeemed it.
    """

    operator: OperatorId
    request_id: RequestId
    scenario: str
    token: str
    proof: str
    handle: str = ""


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """A logged decision with the terms that follow from it."""

    decision: Decision
    terms: Terms
    illustrative: bool


@dataclass(slots=True)
class Check:
    """One question on its way: what has been established so far.

    ``keys``: those that it was last verified under. ``proof``: the mark of a proof that is good once.
    """

    question: CheckQuestion
    bundle: Bundle
    scenario: Scenario
    token: ConsentToken
    body: bytes
    request: bytes
    key: Key
    keys: TrustedKeys
    proof: bytes | None = None
    live: LiveAttestation | None = None
    known: Decision | None = None
    counted_at_ms: int | None = None
    """When it was counted for its consent's rate; None for a retry."""
    decided: bool = False
    """Whether the log has its decision, or may have: it has been submitted and nothing was heard of it."""

    def draft(self, now_ms: int, monotonic: float) -> DecisionDraft:
        """What is to be logged at ``now_ms`` (Unix milliseconds; ``monotonic`` is the same moment in seconds).

        Raises HOME_CITY_UNAVAILABLE when the attestation has ended meanwhile.
        """
        live, token = self.live, self.token
        if live is None:
            raise TiergateError(Reason.INTERNAL, "no attestation to decide on")
        valid_until_ms = min(live.attestation.expires_at * 1000, now_ms + int((live.deadline - monotonic) * 1000))
        if valid_until_ms <= now_ms:  # it ended while the answer was on its way
            raise city_at_fault("attestation ended")
        return DecisionDraft(
            request=self.request,
            body=self.body,
            operator=self.question.operator,
            city=token.issuer,
            scenario=self.scenario.id,
            bundle=self.bundle.digest,
            rung=live.attestation.rung,
            decided_at_ms=now_ms,
            valid_until_ms=valid_until_ms,
            consent=consent_key(token.issuer, token.id),
            token_hash=token.hash,
            bound=token.bound,
            consent_expires_s=token.expires_at,
            attestation=live.record,
            asked_at_size=live.asked_at_size,
            grain_ms=GRAINS_MS[self.scenario.time_grain],
            proof=self.proof,
        )


class Asked(NamedTuple):
    """Taken before a city is asked: the gateway's monotonic clock, the city's flushes so far, the log's size."""

    monotonic: float
    epoch: int
    size: int


def city_at_fault(detail: str) -> TiergateError:
    """To the operator, a city whose answer cannot be believed, or came too late, is a city that cannot answer."""
    return TiergateError(Reason.HOME_CITY_UNAVAILABLE, detail, retry_after_s=RETRY_AFTER_S)


def is_void(result: object) -> bool:
    """Whether a correction, or a key's removal, has made the attestation void: the city is then asked again."""
    return isinstance(result, TiergateError) and result.reason is Reason.ATTESTATION_INVALID


def public(error: TiergateError) -> TiergateError:
    """A city that corrects faster than it can be asked cannot answer now."""
    if error.reason is Reason.ATTESTATION_INVALID:
        return city_at_fault(error.detail)
    return error
