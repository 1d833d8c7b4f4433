"""Home cities as peers: implements ``HomeCity`` and ``ReportReceiver`` over the peer API."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import grpc

from gateway.api.peer.v1 import peer_pb2 as pb
from gateway.api.peer.v1.peer_pb2_grpc import AttestationServiceStub
from gateway.errors import Reason, TiergateError
from gateway.ports import AttestQuestion
from gateway.services.report_uses import ProvedUse
from gateway.transport.breaker import Breaker
from gateway.transport.errors import error_from_rpc

RETRY_AFTER_S = 5.0
_REPORT_USES = "/gateway.api.peer.v1.UseReportService/ReportUses"
_CALLERS_OWN = frozenset(
    reason
    for reason in Reason
    if reason.name.startswith(("TOKEN_", "PROOF_"))
    or reason in {Reason.USES_EXHAUSTED, Reason.REQUEST_CONFLICT, Reason.HANDLE_INVALID, Reason.RATE_LIMITED}
)
"""What a city may tell the operator through us: things the operator can see from what it holds. All else is the
city's or our own trouble, and to the operator the city cannot answer."""
BREAK_AFTER = 16
BREAK_S = 1.0
_SILENT = frozenset({Reason.DEADLINE_EXCEEDED, Reason.PEER_UNREACHABLE, Reason.PEER_WRONG})
"""What counts as no answer at all; everything else shows that the city is there."""
AnswerT = TypeVar("AnswerT")
_REASONS = {reason.value: reason for reason in Reason}


def _told(reason: Reason, detail: str, retry_after_s: float | None) -> TiergateError:
    if reason in _CALLERS_OWN and reason is not Reason.PROOF_OF_LOG_INVALID:
        return TiergateError(reason, detail, retry_after_s=retry_after_s)
    return TiergateError(
        Reason.HOME_CITY_UNAVAILABLE, f"{reason}: {detail}", retry_after_s=retry_after_s or RETRY_AFTER_S
    )


class CityPeerClient:
    """One city; ``deadline_s`` bounds every call.

    There are no automatic retries: the caller's request id makes its own retry safe, and a second try here would only
    hide a slow city. A city that hangs must not take the others' checks with it: at most ``in_flight`` questions wait
    for it at once, and after ``BREAK_AFTER`` silent calls in a row the rest are answered at once for ``BREAK_S``.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        deadline_s: float,
        in_flight: int = 256,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._attestations = AttestationServiceStub(channel)
        # the message is serialised in the thread that made it
        self._report_uses: grpc.aio.UnaryUnaryMultiCallable[bytes, pb.ReportUsesResponse] = channel.unary_unary(
            _REPORT_USES, response_deserializer=pb.ReportUsesResponse.FromString
        )
        self._deadline_s = deadline_s
        self._free = in_flight
        self._breaker = Breaker(BREAK_AFTER, BREAK_S, monotonic)

    async def attest(self, question: AttestQuestion) -> str:
        """See ``HomeCity``."""
        answer = await self._ask(self._attestations.AttestTier, _request(question))
        return answer.attestation

    async def attest_many(self, questions: Sequence[AttestQuestion]) -> list[str | TiergateError]:
        """See ``HomeCity``."""
        request = pb.BatchAttestTierRequest(items=[_request(question) for question in questions])
        answer = await self._ask(self._attestations.BatchAttestTier, request)
        if len(answer.results) != len(questions):
            raise _told(Reason.ATTESTATION_INVALID, "another number of answers", None)
        results: list[str | TiergateError] = []
        for item in answer.results:
            if item.WhichOneof("result") == "attested":
                results.append(item.attested.attestation)
            else:
                reason = _REASONS.get(item.error.reason, Reason.HOME_CITY_UNAVAILABLE)
                results.append(_told(reason, "batch item", item.error.retry_after_ms / 1000 or None))
        return results

    def encode(self, uses: Sequence[ProvedUse]) -> bytes:
        """See ``ReportReceiver``."""
        request = pb.ReportUsesRequest(
            checkpoint=uses[0].receipt.checkpoint,
            reports=[
                pb.UseReport(
                    attestation_id=proved.use.attestation_id,
                    outcome=pb.USE_OUTCOME_ENTITLED if proved.use.rung else pb.USE_OUTCOME_ORDINARY,
                    log_index=proved.use.index,
                    entry=proved.use.entry,
                    inclusion=proved.receipt.hashes,
                )
                for proved in uses
            ],
        )
        return request.SerializeToString()

    async def deliver(self, run: bytes) -> int:
        """See ``ReportReceiver``."""
        try:
            answer: pb.ReportUsesResponse = await self._report_uses(run, timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from error
        return answer.acknowledged_index

    async def _ask(self, method: Callable[..., Awaitable[AnswerT]], request: object) -> AnswerT:
        """Ask one question under the city's bounds."""
        wait_s = self._breaker.admit() if self._free > 0 else RETRY_AFTER_S
        if wait_s:
            raise TiergateError(Reason.HOME_CITY_UNAVAILABLE, "the city is silent or has no room", retry_after_s=wait_s)
        self._free -= 1
        try:
            answer = await method(request, timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            found = error_from_rpc(error)
            if found.reason in _SILENT:
                self._breaker.failed()
            else:
                self._breaker.succeeded()
            raise _told(found.reason, found.detail, found.retry_after_s) from error
        except BaseException:
            self._breaker.abandoned()
            raise
        finally:
            self._free += 1
        self._breaker.succeeded()
        return answer

    @staticmethod
    def _error(error: grpc.aio.AioRpcError) -> TiergateError:
        found = error_from_rpc(error)
        return _told(found.reason, found.detail, found.retry_after_s)


def _request(question: AttestQuestion) -> pb.AttestTierRequest:
    return pb.AttestTierRequest(
        request_id=question.request_id,
        operator=question.operator,
        scenario=question.scenario,
        bundle_digest=question.bundle,
        token=question.token,
        proof=question.proof,
    )
