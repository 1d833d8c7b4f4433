"""What a caller can see from what it holds, tested before anything that it cannot see (I3, I4)."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.clock import DAY_S, utc_day
from adapters.reference import Reference
from gateway.crypto.consent import ConsentToken, require_covered
from gateway.domain.ids import BundleDigest, OperatorId, RequestId, ScenarioId, request_body, request_key
from gateway.domain.scenario import Scenario, TimeGrain
from gateway.errors import Reason, TiergateError


@dataclass(frozen=True, slots=True, repr=False)
class Question:
    """One question as the gateway put it; token and proof exactly as presented. It has no ``repr``.

    ``handle``: a one-time code in place of the token, which is empty until the code has been redeemed.
    """

    request_id: RequestId
    operator: OperatorId
    scenario: ScenarioId
    bundle: BundleDigest
    token: str
    proof: str
    handle: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Examined:
    """A question whose token is this city's and covers it.

    ``request`` and ``body`` are SHA-256 digests: of (operator, request id), and of token and scenario. ``stale`` is the
    error to raise unless the request is a known one, whose proof need not be fresh. ``proof`` is the mark of a proof
    that is good once.
    """

    token: ConsentToken
    scenario: Scenario
    request: bytes
    body: bytes
    stale: TiergateError | None
    proof: bytes | None = None


def examine(question: Question, reference: Reference, now_s: float) -> Examined:
    """Verify token, scenario and proof without trusting the gateway.

    ``reference`` is under the bundle that the question names. Raises every TOKEN_* reason, SCENARIO_UNKNOWN,
    SCENARIO_NOT_OPEN, HOME_NOT_HONOURED, HOST_NOT_VOUCHED, PROOF_*, MESSAGE_TOO_LARGE.
    """
    token = reference.consents.verify(question.token, operator=question.operator, now_s=now_s)
    day = utc_day(now_s)
    scenario = reference.bundle.scenario_for(question.scenario, question.operator, reference.city.id, day)
    require_covered(token, scenario)
    stale: TiergateError | None = None
    proof: bytes | None = None
    try:
        proof = reference.proofs.verify(question.proof, token, scenario=scenario.id, now_s=now_s)
    except TiergateError as error:
        if error.reason is not Reason.PROOF_STALE:
            raise
        stale = error
    return Examined(
        token=token,
        scenario=scenario,
        request=request_key(question.operator, question.request_id),
        body=request_body(token.hash, scenario.id),
        stale=stale,
        proof=proof,
    )


def coarse(at_s: int, grain: TimeGrain) -> int:
    """A time for the journal: the minute or the UTC day in which it lies, as the scenario asks (Unix seconds)."""
    return at_s - at_s % (DAY_S if grain == "day" else 60)
