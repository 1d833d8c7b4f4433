"""The adapter on the wire: decode, call, encode. Roles are settled by the transport's access table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import grpc
import grpc.aio

from adapters.clock import Clock
from adapters.events import Ack
from adapters.handles import Attested, Presentations
from adapters.question import Question
from adapters.reference import Reference
from adapters.reports import Report, UseReports
from adapters.store.registrations import Registration
from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.api.peer.v1 import status_pb2 as status
from gateway.api.peer.v1.peer_pb2_grpc import ConsentEventServiceStub
from gateway.domain.decision import Outcome
from gateway.domain.ids import BundleDigest, OperatorId, RequestId, ScenarioId
from gateway.errors import Reason, TiergateError
from gateway.transport.errors import error_from_rpc
from gateway.transport.identity import Caller

MAX_CODE_CHARS = 64

_OUTCOMES = {peer.USE_OUTCOME_ENTITLED: Outcome.ENTITLED, peer.USE_OUTCOME_ORDINARY: Outcome.ORDINARY}


class AttestationServicer:
    """Answers the gateway."""

    def __init__(self, presentations: Presentations) -> None:
        self._presentations = presentations

    async def AttestTier(  # noqa: N802  # the RPC's name
        self, request: peer.AttestTierRequest, _caller: Caller
    ) -> peer.AttestTierResponse:
        """One attestation, or the error."""
        return _attested(await self._presentations.answer(_question(request)))

    async def BatchAttestTier(  # noqa: N802  # the RPC's name
        self, request: peer.BatchAttestTierRequest, _caller: Caller
    ) -> peer.BatchAttestTierResponse:
        """As many results as items, in order."""
        response = peer.BatchAttestTierResponse()
        for result in await self._presentations.answer_many([_question(item) for item in request.items]):
            if isinstance(result, TiergateError):
                retry_ms = round(1000 * (result.retry_after_s or 0))
                response.results.add(error=peer.PeerError(reason=result.reason.value, retry_after_ms=retry_ms))
            else:
                response.results.add(attested=_attested(result))
        return response


def _question(request: peer.AttestTierRequest) -> Question:
    return Question(
        request_id=RequestId(request.request_id),
        operator=OperatorId(request.operator),
        scenario=ScenarioId(request.scenario),
        bundle=BundleDigest(request.bundle_digest),
        token=request.token,
        proof=request.proof,
        handle=request.handle,
    )


def _attested(result: Attested) -> peer.AttestTierResponse:
    return peer.AttestTierResponse(attestation=result.attestation, redeemed_token=result.redeemed_token)


class StatusServicer:
    """Tells peers how far this adapter has followed the signed files, which keys it signs with now, and its time."""

    def __init__(
        self, reference: Callable[[], Reference], signing: Callable[[], Mapping[str, str]], clock: Clock
    ) -> None:
        self._reference = reference
        self._signing = signing
        self._clock = clock

    async def GetInForce(  # noqa: N802  # the RPC's name
        self, _request: status.GetInForceRequest, _caller: Caller
    ) -> status.GetInForceResponse:
        """As of now."""
        reference = self._reference()
        response = status.GetInForceResponse(
            directory_version=reference.directory.version,
            bundle_digest=reference.bundle.digest,
            signing=[status.SigningKey(purpose=purpose, kid=kid) for purpose, kid in self._signing().items()],
        )
        response.answered_at.FromMilliseconds(self._clock.now_ms())
        return response


class UseReportServicer:
    """Takes the gateway's reports."""

    def __init__(self, reports: UseReports) -> None:
        self._reports = reports

    async def ReportUses(  # noqa: N802  # the RPC's name
        self, request: peer.ReportUsesRequest, _caller: Caller
    ) -> peer.ReportUsesResponse:
        """Acknowledged after the reports are durable."""
        reports = [
            Report(
                item.attestation_id,
                _OUTCOMES[item.outcome],
                item.log_index,
                item.entry,
                tuple(item.inclusion),
                _registration(item.registration) if item.HasField("registration") else None,
            )
            for item in request.reports
        ]
        return peer.ReportUsesResponse(acknowledged_index=await self._reports.take(reports, request.checkpoint))


def _registration(found: peer.ConsentRegistration) -> Registration:
    return Registration(found.log_index, found.entry, b"".join(found.inclusion), found.opening)


class GatewayEvents:
    """The gateway's ``ConsentEventService`` as an event sink. ``deadline_s`` bounds every call."""

    def __init__(self, channel: grpc.aio.Channel, *, deadline_s: float = 5.0) -> None:
        self._stub = ConsentEventServiceStub(channel)
        self._deadline_s = deadline_s

    async def push(self, events: Sequence[str]) -> Sequence[Ack]:
        """See ``EventSink``."""
        try:
            response: peer.PushConsentEventsResponse = await self._stub.PushConsentEvents(
                peer.PushConsentEventsRequest(events=events), timeout=self._deadline_s
            )
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        return [_ack(item) for item in response.acks]


def _ack(item: peer.EventAck) -> Ack:
    match item.WhichOneof("result"):
        case "log_index":
            return Ack(item.event_id, item.log_index, None, item.receipt.entry, item.receipt.proof.encode())
        case "refused":
            return Ack(item.event_id, None, item.refused[:MAX_CODE_CHARS])
        case _:
            raise TiergateError(Reason.PEER_UNREACHABLE, "an acknowledgement without a result")
