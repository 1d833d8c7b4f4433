"""The adapter on the wire: decode, call, encode. Roles are settled by the transport's access table."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from adapters.attest import Attester
from adapters.authority import ConsentAuthority, ConsentView
from adapters.events import Ack
from adapters.question import Question
from adapters.reports import Report, UseReports
from adapters.terms import ConsentTerms, Offer
from gateway.api.consent.v1 import consent_pb2 as consent
from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.api.peer.v1.peer_pb2_grpc import ConsentEventServiceStub
from gateway.domain.decision import Outcome
from gateway.domain.ids import BundleDigest, CityId, OperatorId, RequestId, ResidentRef, ScenarioId
from gateway.errors import Reason, TiergateError
from gateway.transport.errors import error_from_rpc
from gateway.transport.identity import Caller

MAX_CODE_CHARS = 64

_OUTCOMES = {peer.USE_OUTCOME_ENTITLED: Outcome.ENTITLED, peer.USE_OUTCOME_ORDINARY: Outcome.ORDINARY}
_STATES = {
    "active": consent.CONSENT_STATE_ACTIVE,
    "withdrawn": consent.CONSENT_STATE_WITHDRAWN,
    "expired": consent.CONSENT_STATE_EXPIRED,
    "spent": consent.CONSENT_STATE_SPENT,
}


class AttestationServicer:
    """Answers the gateway. This city has issued no handles, so that none can be redeemed here."""

    def __init__(self, attester: Attester) -> None:
        self._attester = attester

    async def AttestTier(  # noqa: N802  # the RPC's name
        self, request: peer.AttestTierRequest, _caller: Caller
    ) -> peer.AttestTierResponse:
        """One attestation, or the error."""
        return peer.AttestTierResponse(attestation=await self._attester.answer(_question(request)))

    async def BatchAttestTier(  # noqa: N802  # the RPC's name
        self, request: peer.BatchAttestTierRequest, _caller: Caller
    ) -> peer.BatchAttestTierResponse:
        """As many results as items, in order."""
        questions = [_question_or_error(item) for item in request.items]
        asked = [item for item in questions if isinstance(item, Question)]
        answers = iter(await self._attester.answer_many(asked))
        response = peer.BatchAttestTierResponse()
        for item in questions:
            result = next(answers) if isinstance(item, Question) else item
            if isinstance(result, TiergateError):
                retry_ms = round(1000 * (result.retry_after_s or 0))
                response.results.add(error=peer.PeerError(reason=result.reason.value, retry_after_ms=retry_ms))
            else:
                response.results.add(attested=peer.AttestTierResponse(attestation=result))
        return response


def _question(request: peer.AttestTierRequest) -> Question:
    if request.WhichOneof("presentation") != "token":
        raise TiergateError(Reason.HANDLE_INVALID, "this city has issued no handles")
    return Question(
        request_id=RequestId(request.request_id),
        operator=OperatorId(request.operator),
        scenario=ScenarioId(request.scenario),
        bundle=BundleDigest(request.bundle_digest),
        token=request.token,
        proof=request.proof,
    )


def _question_or_error(request: peer.AttestTierRequest) -> Question | TiergateError:
    try:
        return _question(request)
    except TiergateError as error:
        return error


class UseReportServicer:
    """Takes the gateway's reports."""

    def __init__(self, reports: UseReports) -> None:
        self._reports = reports

    async def ReportUses(  # noqa: N802  # the RPC's name
        self, request: peer.ReportUsesRequest, _caller: Caller
    ) -> peer.ReportUsesResponse:
        """Acknowledged after the reports are durable."""
        reports = [
            Report(item.attestation_id, _OUTCOMES[item.outcome], item.log_index, item.entry, tuple(item.inclusion))
            for item in request.reports
        ]
        return peer.ReportUsesResponse(acknowledged_index=await self._reports.take(reports, request.checkpoint))


class ConsentServicer:
    """Serves this city's own app; the city is compared here once more, for this API names residents."""

    def __init__(self, authority: ConsentAuthority, city: CityId) -> None:
        self._authority = authority
        self._city = city

    def _admit(self, caller: Caller) -> None:
        if caller.identity.role != "city-app" or caller.identity.name != self._city:
            raise TiergateError(Reason.CALLER_NOT_PERMITTED, "not this city's app")

    async def PreviewConsent(  # noqa: N802  # the RPC's name
        self, request: consent.PreviewConsentRequest, caller: Caller
    ) -> consent.PreviewConsentResponse:
        """The notice and what is at stake."""
        self._admit(caller)
        return _preview(self._authority.preview(_terms(request.terms)))

    async def GrantConsent(  # noqa: N802  # the RPC's name
        self, request: consent.GrantConsentRequest, caller: Caller
    ) -> consent.GrantConsentResponse:
        """The signed token, this once."""
        self._admit(caller)
        granted = await self._authority.grant(
            ResidentRef(request.resident_ref), _terms(request.terms), request.notice_digest
        )
        return consent.GrantConsentResponse(
            consent_id=granted.id, token=granted.token, expires_at=_moment(granted.expires_at)
        )

    async def WithdrawConsent(  # noqa: N802  # the RPC's name
        self, request: consent.WithdrawConsentRequest, caller: Caller
    ) -> consent.WithdrawConsentResponse:
        """In force before the reply."""
        self._admit(caller)
        found = await self._authority.withdraw(ResidentRef(request.resident_ref), request.consent_id)
        response = consent.WithdrawConsentResponse(effective_at=_moment_ms(found.at_ms))
        if found.log_index is None:
            response.exposed_until.CopyFrom(_moment_ms(found.exposed_until_ms))
        else:
            response.acknowledged, response.log_index = True, found.log_index
        return response

    async def ListConsents(  # noqa: N802  # the RPC's name
        self, request: consent.ListConsentsRequest, caller: Caller
    ) -> consent.ListConsentsResponse:
        """Newest first."""
        self._admit(caller)
        views = self._authority.list(ResidentRef(request.resident_ref), request.limit)
        return consent.ListConsentsResponse(
            consents=[_record(view) for view in views], reported_index=self._authority.reported_index() or 0
        )


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
            return Ack(item.event_id, item.log_index, None)
        case "refused":
            return Ack(item.event_id, None, item.refused[:MAX_CODE_CHARS])
        case _:
            raise TiergateError(Reason.PEER_UNREACHABLE, "an acknowledgement without a result")


def _terms(terms: consent.ConsentTerms) -> ConsentTerms:
    return ConsentTerms(
        operator=OperatorId(terms.operator),
        scenario=ScenarioId(terms.scenario),
        lifetime_s=terms.lifetime_s,
        uses=terms.uses,
        bound=terms.binding == consent.BINDING_OPERATOR,
    )


def _preview(offer: Offer) -> consent.PreviewConsentResponse:
    scenario = offer.scenario
    best = scenario.terms_of(len(scenario.rungs))
    return consent.PreviewConsentResponse(
        notice_zh=offer.notice.zh,
        notice_en=offer.notice.en,
        notice_digest=offer.notice.digest,
        without_zh=scenario.base.text_zh,
        without_en=scenario.base.text_en,
        at_best_zh=best.text_zh,
        at_best_en=best.text_en,
        illustrative=offer.illustrative,
    )


def _record(view: ConsentView) -> consent.ConsentRecord:
    row = view.listed.row
    return consent.ConsentRecord(
        consent_id=row.id,
        operator=row.operator,
        scenario=row.scenario,
        purpose=row.purpose,
        state=_STATES[view.state],
        granted_at=_moment(row.granted_at),
        expires_at=_moment(view.ends_at),
        uses=row.uses or 0,
        uses_spent=view.listed.spent,
        reported_uses=view.listed.reported,
        binding=consent.BINDING_OPERATOR if row.bound else consent.BINDING_NONE,
    )


def _moment(at_s: int) -> Timestamp:
    return Timestamp(seconds=at_s)


def _moment_ms(at_ms: int) -> Timestamp:
    return Timestamp(seconds=at_ms // 1000, nanos=at_ms % 1000 * 1_000_000)
