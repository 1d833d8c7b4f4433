"""The wire itself: what is served, what refusals say, and that nothing travels that the contract does not have."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # it has none

from gateway.api.consent.v1 import consent_pb2 as consent
from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.conformance import residents, tokens
from gateway.conformance.check import Check, NotApplicableError, require
from gateway.conformance.session import BATCH, GRANT, MANDATORY, Kit, Reply, terms_of
from gateway.errors import CATALOGUE, Reason
from gateway.transport.errors import DOMAIN

KNOWN_KEYS = frozenset(
    {
        "accept-encoding", "content-type", "date", "grpc-accept-encoding", "grpc-encoding", "grpc-message",
        "grpc-status", "grpc-status-details-bin", "x-request-id",
    }
)  # fmt: skip
"""Metadata that an answer may carry: the protocol's own, the refusal's details, and a call's id."""
_KINDS = {"ErrorInfo", "RetryInfo", "BadRequest"}


async def _refusals(kit: Kit) -> list[Reply]:
    """One refusal of each kind: contract, token, policy, use."""
    spent = tokens.sound(kit.deployment, uses=1)
    (await kit.attest(spent)).attested()
    sound = tokens.sound(kit.deployment)
    replies = [
        await kit.attest(sound, request_id="short"),
        await kit.attest("x" * 100),
        await kit.attest(sound, bundle_digest="00" * 32),
        await kit.attest(sound, scenario="kit-nowhere"),
        await kit.attest(spent),
    ]
    return [reply for reply in replies if reply.code != "OK"]  # that they are refused is for other checks


async def details(kit: Kit) -> None:
    """ErrorInfo, its domain, and the status that goes with the reason."""
    for reply in await _refusals(kit):
        infos = reply.detail(error_details_pb2.ErrorInfo)
        came = reply.shown
        require(len(infos) == 1, "one google.rpc.ErrorInfo in grpc-status-details-bin", f"{came}, {len(infos)} of them")
        require(infos[0].domain == DOMAIN, f"the domain {DOMAIN}", f"{came} of another domain")
        known = CATALOGUE.get(Reason(reply.reason)) if reply.reason in list(Reason) else None
        require(known is not None, "a reason code of gateway/errors.py", came)
        assert known is not None
        require(reply.code == known.status, f"status {known.status} with {reply.reason}", reply.code)


async def nothing_more(kit: Kit) -> None:
    """No metadata in ErrorInfo, and no detail of another kind."""
    for reply in await _refusals(kit):
        kinds = {item.type_url.rpartition(".")[2] for item in reply.status.details} if reply.status else set()
        require(kinds <= _KINDS, f"details of {', '.join(sorted(_KINDS))} alone", f"{reply.shown} with others")
        more = any(item.metadata for item in reply.detail(error_details_pb2.ErrorInfo))
        require(not more, "an ErrorInfo without metadata", f"{reply.shown} with metadata")


async def fixed_text(kit: Kit) -> None:
    """The catalogue's sentence, or none."""
    for reply in await _refusals(kit):
        if reply.reason in list(Reason):
            sentence = CATALOGUE[Reason(reply.reason)].text
            require(reply.text in {"", sentence}, f"the sentence of {reply.reason}, or no text", "another text")


async def malformed(kit: Kit) -> None:
    """What breaks a rule of the contract."""
    sound = tokens.sound(kit.deployment)
    for changes in ({"request_id": "short"}, {"operator": "Not A Slug"}, {"scenario": ""}, {"bundle_digest": "00"}):
        (await kit.attest(sound, **changes)).refused("MALFORMED_REQUEST")


async def retry(kit: Kit) -> None:
    """Every UNAVAILABLE that came during the run."""
    if not kit.unavailable:
        raise NotApplicableError("the city was never unavailable during the run")
    for reply in kit.unavailable:
        waits = reply.detail(error_details_pb2.RetryInfo)
        require(len(waits) == 1, "UNAVAILABLE with the time to wait", "none")


async def no_extra_metadata(kit: Kit) -> None:
    """Keys of answers and refusals."""
    replies = [await kit.attest(tokens.sound(kit.deployment)), *await _refusals(kit)]
    strange = {key for reply in replies for key in reply.keys} - KNOWN_KEYS
    require(not strange, "metadata of the protocol, details and x-request-id alone", f"{len(strange)} other keys")


def _unknown(message: Message) -> int:
    count = len(UnknownFieldSet(message))
    for field, value in message.ListFields():
        if field.message_type is not None:
            values: Any = value if isinstance(value, list) or hasattr(value, "append") else [value]
            count += sum(_unknown(item) for item in values)
    return count


async def no_extra_fields(kit: Kit) -> None:
    """Raw bytes of an answer, a batch and a grant."""
    who, terms = residents.resident("top").ref, terms_of()
    notice = (await kit.preview(terms)).notice_digest
    token = tokens.sound(kit.deployment)
    grant = consent.GrantConsentRequest(resident_ref=who, terms=terms, notice_digest=notice)
    batch = peer.BatchAttestTierRequest(items=[kit.question(token), kit.question("x" * 100)])
    answers: tuple[tuple[Message, Reply], ...] = (
        (peer.AttestTierResponse(), await kit.attest(token)),
        (peer.BatchAttestTierResponse(), await kit.call(BATCH, batch)),
        (consent.GrantConsentResponse(), await kit.call(GRANT, grant, client="app")),
    )
    for message, reply in answers:
        require(reply.code == "OK", "an answer", reply.shown)
        message.ParseFromString(reply.data)
        found = _unknown(message)
        require(not found, "the fields of the contract alone", f"{found} unknown fields in {message.DESCRIPTOR.name}")


async def served(kit: Kit) -> None:
    """An empty message to each: what comes back is anything but UNIMPLEMENTED."""
    for method, client in MANDATORY.items():
        reply = await kit.call(method, Empty(), client=client)
        name = method.rpartition("/")[2]
        require(reply.code != "UNIMPLEMENTED", f"{name} to be served", "UNIMPLEMENTED")


CHECKS = (
    Check("wire.served", "Every method that is not optional is served.", "peer.proto; consent.proto", served),
    Check("error.details", "A refusal carries one ErrorInfo with a known reason, and its status.", "gateway/errors.py",
          details),
    Check("error.nothing-more", "A refusal carries no other details.", "DESIGN I3, I10", nothing_more),
    Check("error.fixed-text", "A refusal's text is the sentence of its reason, or empty.", "gateway/errors.py",
          fixed_text),
    Check("error.malformed", "What breaks a rule of the contract is MALFORMED_REQUEST.", "peer.proto; DESIGN I10",
          malformed),
    Check("error.retry", "UNAVAILABLE says after what time to ask again.", "DESIGN 5", retry),
    Check("wire.no-extra-metadata", "Answers carry no metadata beside the protocol's.", "DESIGN I1", no_extra_metadata),
    Check("wire.no-extra-fields", "Answers hold no field that the contract does not have.", "DESIGN I1",
          no_extra_fields),
)  # fmt: skip
