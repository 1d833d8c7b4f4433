"""``ConsentService`` on the wire: decode, call, encode. For this city's own app alone: it names residents."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from adapters.announce import Announced
from adapters.authority import ConsentAuthority, ConsentView, Granted
from adapters.handles import HandleDesk
from adapters.receipts import ConsentReceipts
from adapters.terms import ConsentTerms, Offer
from gateway.api.consent.v1 import consent_pb2 as consent
from gateway.crypto.keys import b64url
from gateway.domain.handle import HandleForm
from gateway.domain.ids import CityId, OperatorId, ResidentRef, ScenarioId
from gateway.errors import Reason, TiergateError
from gateway.transport.identity import Caller

_BINDINGS = {
    "none": consent.BINDING_NONE,
    "operator": consent.BINDING_OPERATOR,
    "device": consent.BINDING_DEVICE,
}
_FORMS: dict[int, HandleForm] = {consent.HANDLE_FORM_TYPED: "typed", consent.HANDLE_FORM_QR: "qr"}
_STATES = {
    "active": consent.CONSENT_STATE_ACTIVE,
    "withdrawn": consent.CONSENT_STATE_WITHDRAWN,
    "expired": consent.CONSENT_STATE_EXPIRED,
    "spent": consent.CONSENT_STATE_SPENT,
    "paused": consent.CONSENT_STATE_PAUSED,
    "replaced": consent.CONSENT_STATE_REPLACED,
}


class ConsentServicer:
    """Serves this city's own app; the city is compared here once more, for this API names residents."""

    def __init__(
        self, authority: ConsentAuthority, receipts: ConsentReceipts, counter: HandleDesk, city: CityId
    ) -> None:
        self._authority = authority
        self._receipts = receipts
        self._counter = counter
        self._city = city

    def _admit(self, caller: Caller) -> None:
        require_own_app(caller, self._city)

    async def PreviewConsent(  # noqa: N802  # the RPC's name
        self, request: consent.PreviewConsentRequest, caller: Caller
    ) -> consent.PreviewConsentResponse:
        """The notice and what is at stake."""
        self._admit(caller)
        asked_of = ResidentRef(request.asked_of) if request.asked_of else None
        return _preview(self._authority.preview(_terms(request.terms), asked_of=asked_of))

    async def GrantConsent(  # noqa: N802  # the RPC's name
        self, request: consent.GrantConsentRequest, caller: Caller
    ) -> consent.GrantConsentResponse:
        """The signed token, this once."""
        self._admit(caller)
        granted = await self._authority.grant(
            ResidentRef(request.resident_ref), _terms(request.terms), request.notice_digest
        )
        return _granted(granted)

    async def WithdrawConsent(  # noqa: N802  # the RPC's name
        self, request: consent.WithdrawConsentRequest, caller: Caller
    ) -> consent.WithdrawConsentResponse:
        """In force before the reply."""
        self._admit(caller)
        change = change_of(
            await self._authority.change(ResidentRef(request.resident_ref), request.consent_id, "withdraw")
        )
        response = consent.WithdrawConsentResponse(
            effective_at=change.effective_at,
            acknowledged=change.acknowledged,
            log_index=change.log_index,
            checkpoint_size=change.checkpoint_size,
        )
        if not change.acknowledged:
            response.exposed_until.CopyFrom(change.exposed_until)
        return response

    async def PauseConsent(  # noqa: N802  # the RPC's name
        self, request: consent.PauseConsentRequest, caller: Caller
    ) -> consent.PauseConsentResponse:
        """In force before the reply."""
        self._admit(caller)
        found = await self._authority.change(ResidentRef(request.resident_ref), request.consent_id, "pause")
        return consent.PauseConsentResponse(change=change_of(found))

    async def ResumeConsent(  # noqa: N802  # the RPC's name
        self, request: consent.ResumeConsentRequest, caller: Caller
    ) -> consent.ResumeConsentResponse:
        """In force before the reply."""
        self._admit(caller)
        found = await self._authority.change(ResidentRef(request.resident_ref), request.consent_id, "resume")
        return consent.ResumeConsentResponse(change=change_of(found))

    async def NarrowConsent(  # noqa: N802  # the RPC's name
        self, request: consent.NarrowConsentRequest, caller: Caller
    ) -> consent.NarrowConsentResponse:
        """The old one has ended before the reply."""
        self._admit(caller)
        granted, replaced = await self._authority.replace(
            ResidentRef(request.resident_ref),
            request.consent_id,
            "narrow",
            _terms(request.terms),
            request.notice_digest,
        )
        return consent.NarrowConsentResponse(granted=_granted(granted), replaced=change_of(replaced))

    async def RenewConsent(  # noqa: N802  # the RPC's name
        self, request: consent.RenewConsentRequest, caller: Caller
    ) -> consent.RenewConsentResponse:
        """The old one has ended before the reply."""
        self._admit(caller)
        granted, replaced = await self._authority.replace(
            ResidentRef(request.resident_ref), request.consent_id, "renew", _terms(request.terms), request.notice_digest
        )
        return consent.RenewConsentResponse(granted=_granted(granted), replaced=change_of(replaced))

    async def DeclineConsent(  # noqa: N802  # the RPC's name
        self, request: consent.DeclineConsentRequest, caller: Caller
    ) -> consent.DeclineConsentResponse:
        """Kept before the reply."""
        self._admit(caller)
        until = await self._authority.decline(
            ResidentRef(request.resident_ref), OperatorId(request.operator), ScenarioId(request.scenario)
        )
        return consent.DeclineConsentResponse(quiet_until=moment(until))

    async def ListConsents(  # noqa: N802  # the RPC's name
        self, request: consent.ListConsentsRequest, caller: Caller
    ) -> consent.ListConsentsResponse:
        """Newest first."""
        self._admit(caller)
        views = self._authority.list(ResidentRef(request.resident_ref), request.limit, request.consent_id or None)
        reported = self._authority.reported_index()
        return consent.ListConsentsResponse(
            consents=[_record(view) for view in views], reported_index=reported or 0, reported=reported is not None
        )

    async def GetConsentReceipt(  # noqa: N802  # the RPC's name
        self, request: consent.GetConsentReceiptRequest, caller: Caller
    ) -> consent.GetConsentReceiptResponse:
        """As of now."""
        self._admit(caller)
        receipt = self._receipts.issue(ResidentRef(request.resident_ref), request.consent_id)
        return consent.GetConsentReceiptResponse(receipt=receipt)

    async def IssueHandle(  # noqa: N802  # the RPC's name
        self, request: consent.IssueHandleRequest, caller: Caller
    ) -> consent.IssueHandleResponse:
        """The code, this once."""
        self._admit(caller)
        issued = await self._counter.issue(
            ResidentRef(request.resident_ref), _terms(request.terms), request.notice_digest, _FORMS[request.form]
        )
        return consent.IssueHandleResponse(
            consent_id=issued.consent_id,
            handle=issued.handle.text,
            handle_expires_at=moment(issued.handle_expires_at),
            expires_at=moment(issued.expires_at),
        )


def require_own_app(caller: Caller, city: CityId) -> None:
    """Return if the caller is the city's own app. Raises CALLER_NOT_PERMITTED."""
    if caller.identity.role != "city-app" or caller.identity.name != city:
        raise TiergateError(Reason.CALLER_NOT_PERMITTED, "not this city's app")


def change_of(found: Announced) -> consent.Change:
    """A change on the wire."""
    change = consent.Change(effective_at=_moment_ms(found.at_ms))
    if found.log_index is None:
        change.exposed_until.CopyFrom(_moment_ms(found.exposed_until_ms))
    else:
        change.acknowledged, change.log_index = True, found.log_index
        change.checkpoint_size = found.checkpoint_size or 0
    return change


def _granted(granted: Granted) -> consent.GrantConsentResponse:
    return consent.GrantConsentResponse(
        consent_id=granted.id, token=granted.token, expires_at=moment(granted.expires_at)
    )


def _terms(terms: consent.ConsentTerms) -> ConsentTerms:
    if terms.HasField("device_key") != (terms.binding == consent.BINDING_DEVICE):
        raise TiergateError(Reason.DEVICE_KEY_INVALID, "a device's key goes with BINDING_DEVICE, and with that alone")
    return ConsentTerms(
        operator=OperatorId(terms.operator),
        scenario=ScenarioId(terms.scenario),
        lifetime_s=terms.lifetime_s,
        uses=terms.uses,
        bound=terms.binding == consent.BINDING_OPERATOR,
        device_key=_jwk(terms.device_key) if terms.HasField("device_key") else None,
    )


def _jwk(key: consent.DeviceKey) -> dict[str, str]:
    members = {"x": b64url(key.x)} | ({"y": b64url(key.y)} if key.y else {})
    if key.type == consent.KEY_TYPE_P256:
        return {"kty": "EC", "crv": "P-256", **members}
    return {"kty": "OKP", "crv": "Ed25519", **members}


def _preview(offer: Offer) -> consent.PreviewConsentResponse:
    scenario, best = offer.scenario, offer.best
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
        granted_at=moment(row.granted_at),
        expires_at=moment(view.ends_at),
        uses=row.uses or 0,
        uses_spent=view.listed.life.spent,
        reported_uses=view.listed.reported,
        binding=_BINDINGS[row.bound],
    )


def moment(at_s: int) -> Timestamp:
    """Unix seconds on the wire."""
    return Timestamp(seconds=at_s)


def _moment_ms(at_ms: int) -> Timestamp:
    return Timestamp(seconds=at_ms // 1000, nanos=at_ms % 1000 * 1_000_000)
