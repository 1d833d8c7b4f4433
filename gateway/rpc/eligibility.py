"""``EligibilityService``: the operators' API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from gateway.api.operator.v1 import operator_pb2 as pb
from gateway.domain.bundle import Bundle
from gateway.domain.ids import OperatorId, RequestId
from gateway.errors import Reason, TiergateError
from gateway.ports import Clock
from gateway.rpc.encode import DecisionEncoder, encode_scenario
from gateway.services.check import CheckAnswer, CheckQuestion
from gateway.services.check_eligibility import CheckEligibility
from gateway.services.limit_refusals import LogRefusals
from gateway.services.list_scenarios import list_scenarios
from gateway.services.read_log import ReadLog
from gateway.transport.identity import Caller

MAX_BATCH = 256
_log = structlog.get_logger("gateway")


class EligibilityServicer:
    """Decodes questions, calls the service, encodes answers."""

    def __init__(
        self,
        *,
        checks: CheckEligibility,
        refusals: LogRefusals,
        log: ReadLog,
        bundle: Callable[[], Bundle],
        clock: Clock,
        away_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """``away_s``: for how many seconds more the gateway has announced not to answer; 0 while it should."""
        self._checks = checks
        self._refusals = refusals
        self._log = log
        self._bundle = bundle
        self._clock = clock
        self._away_s = away_s
        self._encoder = DecisionEncoder()

    async def CheckEligibility(  # noqa: N802 - the RPC's name
        self, request: pb.CheckEligibilityRequest, caller: Caller
    ) -> pb.CheckEligibilityResponse:
        """One check."""
        self._require_open()
        operator = OperatorId(caller.identity.name)
        try:
            answer = await self._checks.check(_question(request, operator))
        except TiergateError as error:
            await self._refusals.log(operator, request.scenario, error.reason)
            raise
        decision = self._encoder.encode(answer)
        if request.want_receipt:
            await self._attach_receipt(decision, operator)
        return pb.CheckEligibilityResponse(decision=decision)

    async def BatchCheckEligibility(  # noqa: N802 - the RPC's name
        self, request: pb.BatchCheckEligibilityRequest, caller: Caller
    ) -> pb.BatchCheckEligibilityResponse:
        """Several checks; one commit, results in order."""
        self._require_open()
        operator = OperatorId(caller.identity.name)
        items = request.items
        if len(items) > MAX_BATCH:
            raise TiergateError(Reason.BATCH_TOO_LARGE)
        answers = await self._checks.check_many([_question(item, operator) for item in items])
        response = pb.BatchCheckEligibilityResponse()
        for item, result in zip(items, answers, strict=True):
            if isinstance(result, CheckAnswer):
                decision = self._encoder.encode(result)
                if item.want_receipt:
                    await self._attach_receipt(decision, operator)
                response.results.add(request_id=item.request_id, decision=decision)
                continue
            failure = result
            try:
                await self._refusals.log(operator, item.scenario, failure.reason)
            except TiergateError as unlogged:
                failure = unlogged  # the other items are decided and logged: this one alone fails
            response.results.add(
                request_id=item.request_id,
                error=pb.ItemError(
                    reason=failure.reason.value,
                    message=failure.public_text,
                    retry_after_ms=int((failure.retry_after_s or 0) * 1000),
                ),
            )
        return response

    async def ListScenarios(  # noqa: N802 - the RPC's name
        self, _request: pb.ListScenariosRequest, caller: Caller
    ) -> pb.ListScenariosResponse:
        """The caller's catalogue."""
        bundle = self._bundle()
        found = list_scenarios(bundle, OperatorId(caller.identity.name), self._clock.now_ms())
        return pb.ListScenariosResponse(
            scenarios=[encode_scenario(scenario) for scenario in found], bundle_digest=bundle.digest
        )

    async def GetReceipt(  # noqa: N802 - the RPC's name
        self, request: pb.GetReceiptRequest, caller: Caller
    ) -> pb.GetReceiptResponse:
        """A receipt of one of the caller's decisions."""
        operator = OperatorId(caller.identity.name)
        entry, proof = await asyncio.to_thread(self._log.receipt, request.log_index, operator)
        return pb.GetReceiptResponse(receipt=pb.Receipt(entry=entry, proof=proof))

    def _require_open(self) -> None:
        """Return unless maintenance has been announced for now; what was decided before is still shown (receipts)."""
        away_s = self._away_s()
        if away_s > 0:
            raise TiergateError(Reason.GATEWAY_MAINTENANCE, retry_after_s=away_s)

    async def _attach_receipt(self, decision: pb.Decision, operator: OperatorId) -> None:
        """Add the receipt, if it can be had now: the decision is made and logged, and is told in any case."""
        try:
            entry, proof = await asyncio.to_thread(self._log.receipt, decision.log_index, operator)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not take the answer along
            failure = TiergateError(Reason.INTERNAL, f"reading a receipt: {type(error).__name__}")
            failure = error if isinstance(error, TiergateError) else failure
            _log.warning("receipt_left_out", reason=failure.reason.value, detail=failure.detail)
            return
        decision.receipt.entry = entry
        decision.receipt.proof = proof


def _question(request: pb.CheckEligibilityRequest, operator: OperatorId) -> CheckQuestion:
    shown = request.presentation  # of the two kinds one is set, and the other's fields are empty
    return CheckQuestion(
        operator, RequestId(request.request_id), request.scenario, shown.token.token, shown.token.proof, shown.handle
    )
