"""Domain objects as messages of the operator API."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.api.operator.v1 import operator_pb2 as pb
from gateway.domain.decision import Outcome
from gateway.domain.scenario import (
    DepositWaiver,
    ExtraQuota,
    FreePeriod,
    Included,
    PapersLater,
    PayLater,
    PercentageOff,
    Priority,
    Scenario,
    Term,
    Terms,
)
from gateway.services.check import CheckAnswer

_OUTCOMES = {Outcome.ENTITLED: pb.OUTCOME_ENTITLED, Outcome.ORDINARY: pb.OUTCOME_ORDINARY}


def timestamp_of(milliseconds: int) -> Timestamp:
    """A protobuf timestamp of Unix milliseconds."""
    seconds, rest = divmod(milliseconds, 1000)
    return Timestamp(seconds=seconds, nanos=rest * 1_000_000)


def _term(term: Term) -> pb.Term:
    match term:
        case DepositWaiver():
            return pb.Term(deposit_waiver=pb.DepositWaiver())
        case PercentageOff(percent):
            return pb.Term(percentage_off=pb.PercentageOff(percent=percent))
        case PayLater(days):
            return pb.Term(pay_later=pb.PayLater(days=days))
        case ExtraQuota(unit, count):
            return pb.Term(extra_quota=pb.ExtraQuota(unit=unit, count=count))
        case Priority():
            return pb.Term(priority=pb.Priority())
        case FreePeriod(minutes):
            return pb.Term(free_period=pb.FreePeriod(minutes=minutes))
        case PapersLater():
            return pb.Term(papers_later=pb.PapersLater())
        case Included(service):
            return pb.Term(included=pb.Included(service=service))


def encode_terms(terms: Terms) -> pb.Terms:
    """Terms, typed and in words."""
    return pb.Terms(items=[_term(item) for item in terms.items], text_zh=terms.text_zh, text_en=terms.text_en)


def encode_scenario(scenario: Scenario) -> pb.Scenario:
    """A scenario as its operators see it."""
    return pb.Scenario(
        id=scenario.id,
        host_city=scenario.host_city,
        purpose=scenario.purpose,
        name_zh=scenario.name_zh,
        name_en=scenario.name_en,
        base=encode_terms(scenario.base),
        rungs=[encode_terms(rung.terms) for rung in scenario.rungs],
        illustrative=scenario.illustrative,
    )


class DecisionEncoder:
    """Encodes decisions. Terms are the same objects for every decision of a rung and are encoded once (bounded)."""

    def __init__(self) -> None:
        self._terms: dict[int, tuple[Terms, pb.Terms]] = {}

    def encode(self, answer: CheckAnswer) -> pb.Decision:
        """The decision message, without receipt."""
        decision = answer.decision
        return pb.Decision(
            decision_id=decision.id,
            outcome=_OUTCOMES[decision.outcome],
            terms=self._encoded(answer.terms),
            bundle_digest=decision.bundle,
            decided_at=timestamp_of(decision.decided_at_ms),
            valid_until=timestamp_of(decision.valid_until_ms),
            log_index=decision.log_index,
            illustrative=answer.illustrative,
        )

    def _encoded(self, terms: Terms) -> pb.Terms:
        # by identity: hashing a nested dataclass on every call costs more than encoding it; the entry keeps the
        # object alive, so that its id cannot become another's
        found = self._terms.get(id(terms))
        if found is None:
            if len(self._terms) >= 10_000:
                self._terms.clear()
            found = self._terms[id(terms)] = (terms, encode_terms(terms))
        return found[1]
