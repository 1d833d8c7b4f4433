"""The kit's side of the wire: it calls the city as gateway, as the city's app, or as somebody who may not.

Answers are kept as they came, bytes and metadata, and read leniently: whether they are exactly right is for the one
check that asks for it, so that one fault shows in one place.
"""

from __future__ import annotations

import base64
import json
import re
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Self

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # it has none

from gateway.api.consent.v1 import consent_pb2 as consent
from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.conformance import tokens
from gateway.conformance.check import FailedError, NotApplicableError
from gateway.conformance.deployment import Deployment
from gateway.conformance.policies import LADDER, LIBRARY
from gateway.crypto.consent import new_id
from gateway.domain.directory import Endpoint
from gateway.transport.channel import open_channel
from gateway.transport.errors import DETAILS_KEY
from gateway.transport.tls import WatchedCertificate

TIMEOUT_S: Final = 15.0
PEER: Final = "/gateway.api.peer.v1."
CONSENT: Final = "/gateway.api.consent.v1."
ATTEST: Final = f"{PEER}AttestationService/AttestTier"
BATCH: Final = f"{PEER}AttestationService/BatchAttestTier"
REPORT: Final = f"{PEER}UseReportService/ReportUses"
GRANT: Final = f"{CONSENT}ConsentService/GrantConsent"
PREVIEW: Final = f"{CONSENT}ConsentService/PreviewConsent"
WITHDRAW: Final = f"{CONSENT}ConsentService/WithdrawConsent"
MANDATORY: Final = {
    **dict.fromkeys((ATTEST, BATCH, REPORT), "gateway"),
    **dict.fromkeys((PREVIEW, GRANT, WITHDRAW), "app"),
}
"""What every city serves, and as whom the kit calls it. A method that is not here may be UNIMPLEMENTED."""
_CODE = re.compile(r"[A-Z_]{1,40}\Z")


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """One answer as it came. ``code``: ``OK`` or a gRPC status name; ``keys``: names of all metadata."""

    code: str
    data: bytes
    text: str
    details: tuple[bytes, ...]
    keys: frozenset[str]
    seconds: float

    @property
    def status(self) -> Any:
        """The ``google.rpc.Status`` of a refusal, or None."""
        try:
            return status_pb2.Status.FromString(self.details[0]) if len(self.details) == 1 else None
        except DecodeError:
            return None

    def detail(self, kind: type[Message]) -> list[Any]:
        """The details of one kind."""
        found: list[Any] = []
        for item in self.status.details if self.status is not None else ():
            message = kind()
            if item.Is(kind.DESCRIPTOR) and item.Unpack(message):
                found.append(message)
        return found

    @property
    def reason(self) -> str:
        """The reason code of a refusal; empty if there is none of that form."""
        reasons = [item.reason for item in self.detail(error_details_pb2.ErrorInfo)]
        return reasons[0] if reasons and _CODE.match(reasons[0]) else ""

    @property
    def shown(self) -> str:
        """What came, in a word or two that quote nothing but codes."""
        return "an answer" if self.code == "OK" else self.reason or f"{self.code} without a reason code"

    def attested(self) -> peer.AttestTierResponse:
        """The attestation's message. FailedError for a refusal."""
        if self.code != "OK":
            raise FailedError("an attestation", self.shown)
        found: peer.AttestTierResponse = _decoded(peer.AttestTierResponse(), self.data)
        return found

    def refused(self, *reasons: str) -> None:
        """Return if it was refused for one of these reasons."""
        if self.reason not in reasons:
            raise FailedError(f"a refusal with {' or '.join(reasons)}", self.shown)


def _decoded(message: Any, data: bytes) -> Any:
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise FailedError("a message of the contract", "bytes that are none") from error
    return message


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a JWS, NOT verified; FailedError for what is none."""
    parts = token.split(".")
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, IndexError) as error:
        raise FailedError("a JWS in compact serialisation", "text that is none") from error
    if not isinstance(found, dict):
        raise FailedError("claims", "a payload that is no object")
    return found


def _is_bound_to_operator(token: str) -> bool:
    """Whether it says so; it may be no token at all."""
    try:
        cnf = claims_of(token).get("cnf")
    except FailedError:
        return False
    return isinstance(cnf, dict) and "holder" not in cnf


def rung_of(attested: peer.AttestTierResponse) -> int:
    """The rung that an attestation says."""
    rung = claims_of(attested.attestation).get("rung")
    if type(rung) is not int:
        raise FailedError("a rung", "an attestation without a whole number as rung")
    return rung


def outcome_of(result: peer.AttestResult) -> str:
    """What came of one item of a batch: its rung, or the reason of its refusal."""
    if result.WhichOneof("result") == "attested":
        return f"rung {rung_of(result.attested)}"
    return result.error.reason if _CODE.match(result.error.reason) else "no reason code"


class Kit:
    """One run against one city. ``async with`` opens and closes its connections."""

    def __init__(self, deployment: Deployment, address: str) -> None:
        self.deployment = deployment
        self.address = address
        self.unavailable: list[Reply] = []
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._open.aclose()

    def channel(self, client: str) -> grpc.aio.Channel:
        """The connection of one of the deployment's clients."""
        if client not in self._channels:
            endpoint = Endpoint(self.address, self.deployment.endpoint.server_name)
            channel = open_channel(endpoint, WatchedCertificate(self.deployment.certificate(client)))
            self._open.push_async_callback(channel.close)
            self._channels[client] = channel
        return self._channels[client]

    async def call(
        self, method: str, request: Message, *, client: str = "gateway", timeout_s: float = TIMEOUT_S
    ) -> Reply:
        """One call; a refusal is an answer, too."""
        multi: Any = self.channel(client).unary_unary(method, request_serializer=lambda item: item.SerializeToString())
        started = time.monotonic()
        call = multi(request, timeout=timeout_s)
        data, code, text = b"", "OK", ""
        try:
            data = await call
            trailing = await call.trailing_metadata()
        except grpc.aio.AioRpcError as error:
            code, text = error.code().name, error.details() or ""
            trailing = error.trailing_metadata()
        initial = await call.initial_metadata()
        pairs = [*(initial or ()), *(trailing or ())]
        details = tuple(value for key, value in pairs if key == DETAILS_KEY and isinstance(value, bytes))
        keys = frozenset(key for key, _ in pairs)
        reply = Reply(code, data, text, details, keys, time.monotonic() - started)
        if code == "UNAVAILABLE" and client == "gateway":
            self.unavailable.append(reply)
        return reply

    def question(self, token: str, **changes: Any) -> peer.AttestTierRequest:
        """A question of the library about the scenario with a rung for each tier, but for the changes.

        About a token that is bound to its operator's key it has a fresh proof, unless the changes name one.
        """
        members: dict[str, Any] = {
            "request_id": new_id(),
            "operator": LIBRARY,
            "scenario": LADDER,
            "bundle_digest": self.deployment.bundle.digest,
            **({"token": token} if token else {}),
        }
        asked = {**members, **changes}
        if "proof" not in asked and _is_bound_to_operator(token):
            operator, scenario = asked["operator"], asked["scenario"]
            known = f"{operator}-proof" in self.deployment.keys
            key = f"{operator if known else LIBRARY}-proof"
            asked["proof"] = tokens.proved(self.deployment, token, key=key, operator=operator, scenario=scenario)
        return peer.AttestTierRequest(**asked)

    async def attest(self, token: str, **changes: Any) -> Reply:
        """Ask about a token."""
        return await self.call(ATTEST, self.question(token, **changes))

    async def rung(self, token: str, **changes: Any) -> int:
        """The rung that is attested for a token. FailedError for a refusal."""
        return rung_of((await self.attest(token, **changes)).attested())

    async def batch(self, questions: list[peer.AttestTierRequest]) -> list[peer.AttestResult]:
        """Ask several at once."""
        reply = await self.call(BATCH, peer.BatchAttestTierRequest(items=questions))
        if reply.code != "OK":
            raise FailedError("an answer to a batch", reply.shown)
        return list(_decoded(peer.BatchAttestTierResponse(), reply.data).results)

    async def app(self, method: str, request: Message, answer: Message) -> Any:
        """Call as the city's app. NotApplicableError where the city does not serve the method, and need not."""
        name = f"{CONSENT}{method}"
        reply = await self.call(name, request, client="app")
        if reply.code == "UNIMPLEMENTED" and name not in MANDATORY:
            raise NotApplicableError(f"the city does not serve {method.partition('/')[2]}")
        if reply.code != "OK":
            raise FailedError(f"an answer of {method.partition('/')[2]}", reply.shown)
        return _decoded(answer, reply.data)

    async def preview(self, terms: consent.ConsentTerms) -> consent.PreviewConsentResponse:
        """The notice of terms."""
        request = consent.PreviewConsentRequest(terms=terms)
        shown: consent.PreviewConsentResponse = await self.app(
            "ConsentService/PreviewConsent", request, consent.PreviewConsentResponse()
        )
        return shown

    async def grant(self, resident: str, **changes: Any) -> consent.GrantConsentResponse:
        """A resident's consent: five uses within a day, bound to the operator's key, but for changes of the terms."""
        terms = terms_of(**changes)
        shown = await self.preview(terms)
        request = consent.GrantConsentRequest(resident_ref=resident, terms=terms, notice_digest=shown.notice_digest)
        granted: consent.GrantConsentResponse = await self.app(
            "ConsentService/GrantConsent", request, consent.GrantConsentResponse()
        )
        return granted

    async def change(self, act: str, resident: str, granted: consent.GrantConsentResponse) -> None:
        """``Withdraw``, ``Pause`` or ``Resume`` a consent."""
        request = getattr(consent, f"{act}ConsentRequest")(resident_ref=resident, consent_id=granted.consent_id)
        await self.app(f"ConsentService/{act}Consent", request, getattr(consent, f"{act}ConsentResponse")())


def terms_of(**changes: Any) -> consent.ConsentTerms:
    """Terms of a consent, as :meth:`Kit.grant` says."""
    usual: dict[str, Any] = {
        "operator": LIBRARY,
        "scenario": LADDER,
        "lifetime_s": 86_400,
        "uses": 5,
        "binding": consent.BINDING_OPERATOR,
    }
    return consent.ConsentTerms(**{**usual, **changes})
