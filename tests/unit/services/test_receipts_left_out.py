"""A decision that was made is answered, whether or not its receipt can be had at the moment."""

from __future__ import annotations

import pytest

from gateway.api.operator.v1 import operator_pb2 as pb
from gateway.domain.ids import OperatorId
from gateway.errors import Reason, TiergateError
from gateway.rpc.eligibility import EligibilityServicer
from gateway.services.check import CheckQuestion
from gateway.services.limit_refusals import LogRefusals
from gateway.services.read_log import ReadLog
from gateway.transport.identity import Caller
from tests.fakes.ca import identity
from tests.fakes.world import LIBRARY
from tests.unit.services.bench_of_checks import Bench, bench

__all__ = ["bench"]  # a fixture

CALLER = Caller(identity("operator", LIBRARY))


class Broken(ReadLog):
    """A log that cannot be read for the first of the receipts that are asked for."""

    fault: Exception | None

    def receipt(self, index: int, operator: OperatorId) -> tuple[bytes, str]:
        """As ``ReadLog``."""
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        return super().receipt(index, operator)


def _servicer(bench: Bench, fault: Exception) -> EligibilityServicer:
    log = Broken(bench.store)
    log.fault = fault
    refusals = LogRefusals(clock=bench.clock, store=bench.store)
    return EligibilityServicer(
        checks=bench.checks, refusals=refusals, log=log, bundle=lambda: bench.world.bundle, clock=bench.clock
    )


def _request(asked: CheckQuestion) -> pb.CheckEligibilityRequest:
    token = pb.TokenPresentation(token=asked.token, proof=asked.proof)
    presentation = pb.Presentation(token=token)
    return pb.CheckEligibilityRequest(
        request_id=asked.request_id, scenario=asked.scenario, presentation=presentation, want_receipt=True
    )


faults = pytest.mark.parametrize(
    "fault", [TiergateError(Reason.LOG_UNAVAILABLE), ValueError("a fault")], ids=["typed", "our own"]
)


@faults
async def test_a_check_whose_receipt_cannot_be_had_is_answered_without(bench: Bench, fault: Exception) -> None:
    servicer = _servicer(bench, fault)
    request = _request(bench.question(bench.world.consent(uses=1)))
    decision = (await servicer.CheckEligibility(request, CALLER)).decision
    assert decision.outcome == pb.OUTCOME_ENTITLED
    assert not decision.HasField("receipt")
    later = await servicer.GetReceipt(pb.GetReceiptRequest(log_index=decision.log_index), CALLER)
    assert later.receipt.entry == next(bench.store.entries(decision.log_index, decision.log_index + 1))


@faults
async def test_one_receipt_of_a_batch_takes_no_other_answer_along(bench: Bench, fault: Exception) -> None:
    token = bench.world.consent(uses=2)
    items = [_request(bench.question(token, number)) for number in range(2)]
    answer = await _servicer(bench, fault).BatchCheckEligibility(pb.BatchCheckEligibilityRequest(items=items), CALLER)
    assert [item.decision.outcome for item in answer.results] == [pb.OUTCOME_ENTITLED] * 2
    assert [item.decision.HasField("receipt") for item in answer.results] == [False, True]
