"""What comes over a connection: requests of every RPC, errors, metadata, identities, a peer's answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from protovalidate import Validator

from adapters.reference import Reference
from adapters.reports import Report, _verified
from adapters.rpc import _OUTCOMES, GatewayEvents
from gateway.api.operator.v1 import operator_pb2
from gateway.api.peer.v1 import peer_pb2
from gateway.cli.audit import entry_document
from gateway.cli.messages import decision_document
from gateway.consentlog.entry import decode
from gateway.domain import ids
from gateway.errors import Reason, TiergateError
from gateway.policy.bundle import read_bundle
from gateway.policy.directory import read_directory
from gateway.rpc.cities import CityPeerClient
from gateway.services.ask_cities import AttestQuestion
from gateway.transport.chain import Decoder
from gateway.transport.errors import DETAILS_KEY, error_from_rpc, request_id_of, status_of
from gateway.transport.identity import Callers
from tests.fuzz import world
from tests.fuzz.harness import Harness, framed, text_of
from tests.fuzz.log_world import entries
from tests.fuzz.requests import METHODS, TOKEN, sound, use_reports
from tests.fuzz.targets_signed import DOMAIN, bundle_bytes, directory_bytes

GATEWAY = f"spiffe://{DOMAIN}/gateway"
CODES = list(grpc.StatusCode)


@cache
def _decoders() -> tuple[Validator, list[tuple[type[Message], Decoder]]]:
    validator = Validator()
    kinds = (GetMessageClass(method.input_type) for method in METHODS)
    return validator, [(kind, Decoder(kind, validator)) for kind in kinds]


def _request(data: bytes) -> bool:
    kind, rest = framed(data, len(METHODS))
    validator, decoders = _decoders()
    type_, decode = decoders[kind]
    message = decode(rest)
    assert not validator.collect_violations(message)  # the quick rules let nothing through that the engine would not
    assert type_.FromString(message.SerializeToString()) == message
    return True


def _request_seeds() -> Iterator[bytes]:
    for kind, method in enumerate(METHODS):
        yield bytes([kind]) + sound(method).SerializeToString()


@cache
def _reference() -> Reference:
    return Reference.of(world.CITY, read_directory(directory_bytes()), read_bundle(bundle_bytes()))


def _reports(data: bytes) -> bool:
    validator = _decoders()[0]
    request: Any = Decoder(peer_pb2.ReportUsesRequest, validator)(data)
    reports = [
        Report(item.attestation_id, _OUTCOMES[item.outcome], item.log_index, item.entry, tuple(item.inclusion))
        for item in request.reports
    ]
    assert len(_verified(reports, request.checkpoint, _reference())) == len(reports)
    return True


def _error(data: bytes) -> bool:
    kind, details = framed(data, len(CODES))
    metadata = grpc.aio.Metadata((DETAILS_KEY, details), ("x", "y"))
    found = error_from_rpc(grpc.aio.AioRpcError(CODES[kind], metadata, metadata, text_of(details)))
    assert found.retry_after_s is None or 0 <= found.retry_after_s <= 3600
    again = status_of(found)  # what we are told can be told on
    assert again.details
    return found.detail.startswith("the peer said")


def _error_seeds() -> Iterator[bytes]:
    for reason, wait in ((Reason.RATE_LIMITED, 1.5), (Reason.TOKEN_EXPIRED, None)):
        sent = status_of(TiergateError(reason, retry_after_s=wait))
        yield bytes([CODES.index(sent.code)]) + sent.details


def _metadata(data: bytes) -> bool:
    """Values of the header, one a line; the last one binary."""
    *texts, last = data.split(b"\n")
    pairs: list[tuple[str, str | bytes]] = [("x-request-id", item.decode("latin-1")) for item in texts]
    found = request_id_of([*pairs, ("x-request-id", last)] if last else pairs)
    assert found is None or (len(pairs) == 1 and found == pairs[0][1] and 8 <= len(found) <= 64 and found.isascii())
    return found is not None


@cache
def _callers() -> Callers:
    known = read_directory(directory_bytes())
    return Callers(lambda: known, known.gateway.identity)


def _identity(data: bytes) -> bool:
    found = ids.PeerIdentity.parse(text_of(data))
    assert found.uri.encode() == data
    assert _callers().resolve(data).identity == found
    return True


def _resolved(data: bytes) -> bool:
    assert _callers().resolve(data).uri.encode() == data
    return True


PARSERS: tuple[Callable[[str], str], ...] = (
    lambda text: ids.parse_slug(text, "it"),
    ids.parse_request_id,
    ids.parse_digest,
)


def _ids(data: bytes) -> bool:
    kind, rest = framed(data, len(PARSERS))
    text = text_of(rest)
    assert PARSERS[kind](text) == text
    assert text.isascii()
    return True


class _Answering:
    """A channel on which every call is answered with the same bytes."""

    def __init__(self) -> None:
        self.answer = b""

    def unary_unary(
        self, _method: str, request_serializer: Any = None, response_deserializer: Any = None, **_more: Any
    ) -> Any:
        async def call(request: Any, **_kwargs: Any) -> Any:
            if request_serializer is not None:
                request_serializer(request)
            return response_deserializer(self.answer)

        return call


@cache
def _peer() -> tuple[asyncio.AbstractEventLoop, _Answering, CityPeerClient, GatewayEvents]:
    channel: Any = _Answering()
    return asyncio.new_event_loop(), channel, CityPeerClient(channel, deadline_s=1), GatewayEvents(channel)


def _peer_answer(data: bytes) -> bool:
    """A city's answer at the gateway, or the gateway's at a city."""
    kind, answer = framed(data, 3)
    loop, channel, city, gateway = _peer()
    channel.answer = answer
    question = AttestQuestion(
        ids.RequestId("r" * 22), world.OPERATOR, world.SCENARIO, world.BUNDLE, TOKEN, ""
    )  # fmt: skip
    found: list[Any] = []
    try:
        if kind == 0:
            found += loop.run_until_complete(city._ask_many([question, question]))
        elif kind == 1:
            found.append(loop.run_until_complete(city.deliver(b"")))
        else:
            found += loop.run_until_complete(gateway.push(["event"]))
    except DecodeError:
        return False  # grpc makes INTERNAL of it, which reads as PEER_UNREACHABLE; tests/e2e has the case
    return bool(found)


def _peer_answer_seeds() -> Iterator[bytes]:
    results = [
        peer_pb2.AttestResult(attested=peer_pb2.AttestTierResponse(attestation=TOKEN)),
        peer_pb2.AttestResult(error=peer_pb2.PeerError(reason="USES_EXHAUSTED", retry_after_ms=1000)),
    ]
    yield b"\0" + peer_pb2.BatchAttestTierResponse(results=results).SerializeToString()
    yield b"\1" + peer_pb2.ReportUsesResponse(acknowledged_index=7).SerializeToString()
    acks = [
        peer_pb2.EventAck(event_id="e" * 22, log_index=4),
        peer_pb2.EventAck(event_id="e" * 22, refused="EVENT_INVALID"),
    ]
    yield b"\2" + peer_pb2.PushConsentEventsResponse(acks=acks).SerializeToString()


def _shown_decision(data: bytes) -> bool:
    """A gateway's answer as the command shows it."""
    try:
        answer = operator_pb2.CheckEligibilityResponse.FromString(data)
    except DecodeError:
        return False
    json.dumps(decision_document(answer.decision))
    return answer.HasField("decision")


def _shown_entry(data: bytes) -> bool:
    """A log entry as the command shows it."""
    json.dumps(entry_document(0, decode(data)))
    return True


def _decision_seeds() -> Iterator[bytes]:
    decision = operator_pb2.Decision(
        decision_id="02" * 16, outcome=operator_pb2.OUTCOME_ENTITLED, bundle_digest=world.BUNDLE, log_index=3
    )
    decision.decided_at.seconds = world.NOW
    decision.terms.items.add().percentage_off.percent = 5
    yield operator_pb2.CheckEligibilityResponse(decision=decision).SerializeToString()


HARNESSES = (
    Harness("shown-decision", (decision_document,), _shown_decision, _decision_seeds),
    Harness("shown-entry", (entry_document,), _shown_entry, lambda: entries()[3:]),
    Harness("request", (Decoder.__call__,), _request, _request_seeds, 16_384),
    Harness("use-reports", (_verified,), _reports, lambda: (use_reports().SerializeToString(),), 16_384),
    Harness("rpc-error", (error_from_rpc,), _error, _error_seeds),
    Harness("metadata", (request_id_of,), _metadata, lambda: (b"request-0123456789\n", b"a\nb\n", b"x\ny"), 512),
    Harness(
        "identity",
        (ids.PeerIdentity.parse, Callers.resolve),
        _identity,
        lambda: (
            _callers()._directory().gateway.identity.uri.encode(),
            b"spiffe://tiergate.example.invalid/city/x/app",
        ),
        512,
    ),
    Harness(
        "caller", (Callers.resolve,), _resolved, lambda: (_callers()._directory().gateway.identity.uri.encode(),), 512
    ),
    Harness(
        "ids",
        (ids.parse_slug, ids.parse_request_id, ids.parse_digest),
        _ids,
        lambda: (b"\0xiamen-library", b"\1request-0123456789", b"\2" + b"ab" * 32),
        128,
    ),
    Harness("peer-answer", (CityPeerClient.deliver, GatewayEvents.push), _peer_answer, _peer_answer_seeds),
)
