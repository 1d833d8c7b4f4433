"""A real server and real channels on loopback, over mutual TLS, with a servicer that does as the request says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from prometheus_client import CollectorRegistry

from gateway.api.audit.v1 import audit_pb2
from gateway.api.operator.v1 import operator_pb2
from gateway.domain.directory import CityPeer, Directory, Endpoint, GatewayPeer, OperatorPeer
from gateway.domain.ids import CityId, OperatorId, PeerIdentity
from gateway.errors import Reason, TiergateError
from gateway.transport.access import GATEWAY_ACCESS, AccessTable
from gateway.transport.channel import PeerChannel, open_channel
from gateway.transport.errors import error_from_rpc
from gateway.transport.identity import Caller, Callers
from gateway.transport.server import Server, ServerLimits, ServiceBinding, build_server
from gateway.transport.tls import CertificateFiles, WatchedCertificate
from gateway.transport.unsafe_plaintext import UnsafePlaintext
from tests.fakes.ca import LOOPBACK, TRUST_DOMAIN, FakeCa, identity, server_name

GATEWAY = identity("gateway")
OPERATOR = identity("operator", "library")
CHECK = "/gateway.api.operator.v1.EligibilityService/CheckEligibility"
LIST = "/gateway.api.audit.v1.AuditService/ListEntries"
CANARY = "canary-7f3a91"
DEADLINE_S = 20.0
ROOMY = ServerLimits(64, 1e6, 1_000_000)
SERVICES = [
    audit_pb2.DESCRIPTOR.services_by_name["AuditService"],
    operator_pb2.DESCRIPTOR.services_by_name["EligibilityService"],
]


def directory() -> Directory:
    """The peers that the tests' server knows."""
    place = Endpoint(f"{LOOPBACK}:1", server_name(GATEWAY))
    city = CityPeer(CityId("fuzhou"), "福州", "Fuzhou", identity("city", "fuzhou"), place, ())
    return Directory(
        version=1,
        issued=0,
        expires=1 << 40,
        trust_domain=TRUST_DOMAIN,
        gateway=GatewayPeer("test", GATEWAY, place, "log.test", "log.test+00000000+AA"),
        cities={city.id: city},
        operators={
            OperatorId(name): OperatorPeer(OperatorId(name), identity("operator", name), ())
            for name in ("library", "metro")
        },
        auditors={"office": identity("auditor", "office")},
        witnesses={"xiamen": identity("witness", "xiamen")},
    )


class Willing:
    """Answers every RPC of its services with an empty message."""

    def __init__(self, services: Sequence[ServiceDescriptor]) -> None:
        for service in services:
            for method in service.methods:
                if not hasattr(self, method.name):
                    setattr(self, method.name, self._handler(method))

    @staticmethod
    def _handler(method: MethodDescriptor) -> Callable[..., Awaitable[Message] | AsyncIterator[Message]]:
        answer = GetMessageClass(method.output_type)

        async def one(_request: Message, _caller: Caller) -> Message:
            return answer()

        async def several(_request: Message, _caller: Caller) -> AsyncIterator[Message]:
            yield answer()

        return several if method.server_streaming else one


class Obedient(Willing):
    """The operators' and the auditors' service: the scenario, or an index, says what happens."""

    def __init__(self) -> None:
        super().__init__(SERVICES)
        self.entered = asyncio.Event()
        self.release = asyncio.Event()

    async def CheckEligibility(  # noqa: N802 - the RPC's name
        self, request: operator_pb2.CheckEligibilityRequest, caller: Caller
    ) -> operator_pb2.CheckEligibilityResponse:
        match request.scenario:
            case "refuse":
                raise TiergateError(Reason.USES_EXHAUSTED, CANARY, retry_after_s=2.5)
            case "fail":
                raise ValueError(CANARY)
            case "odd":
                raise asyncio.InvalidStateError(CANARY)
            case "wait":
                self.entered.set()
                await self.release.wait()
        return operator_pb2.CheckEligibilityResponse(
            decision=operator_pb2.Decision(decision_id=f"{caller.identity.role}/{caller.identity.name}")
        )

    async def ListEntries(  # noqa: N802 - the RPC's name
        self, request: audit_pb2.ListEntriesRequest, _caller: Caller
    ) -> AsyncIterator[audit_pb2.ListEntriesResponse]:
        for index in range(request.start, request.end):
            if index == 2:
                raise TiergateError(Reason.LOG_CORRUPT, CANARY)
            if index == 5:
                raise ValueError(CANARY)
            if index == 7:
                self.entered.set()
                await self.release.wait()
            yield audit_pb2.ListEntriesResponse(start=index)


def without_events(table: AccessTable) -> AccessTable:
    """The table's rows for the two services of :class:`Obedient`."""
    return {name: roles for name, roles in table.items() if not re.search("ConsentEvent|Status", name)}


def built(
    servicer: object,
    security: WatchedCertificate | UnsafePlaintext,
    *,
    address: str = f"{LOOPBACK}:0",
    registry: CollectorRegistry | None = None,
    limits: ServerLimits = ROOMY,
    development: bool = False,
) -> Server:
    """A server of the two services, not yet started."""
    known = directory()
    return build_server(
        [ServiceBinding(service, servicer) for service in SERVICES],
        address=address,
        security=security,
        resolve=Callers(lambda: known, GATEWAY).resolve,
        access=without_events(GATEWAY_ACCESS),
        limits=limits,
        registry=registry or CollectorRegistry(),
        development=development,
    )


class Network:
    """A server with its authority. ``async with``; ``channel()`` dials it."""

    def __init__(self, folder: Path, *, limits: ServerLimits = ROOMY, development: bool = False) -> None:
        self.ca = FakeCa(folder / "ca")
        self.files = self.ca.sound(GATEWAY)
        self.servicer = Obedient()
        self.registry = CollectorRegistry()
        self._limits = limits
        self._development = development
        self._stack = AsyncExitStack()
        self.server: Server
        self.address = ""

    async def __aenter__(self) -> Self:
        self.server = built(
            self.servicer,
            watched(self.files),
            registry=self.registry,
            limits=self._limits,
            development=self._development,
        )
        await self.server.start()
        self._stack.push_async_callback(self.server.stop, 0.0)
        self.address = f"{LOOPBACK}:{self.server.port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.servicer.release.set()
        await self._stack.aclose()

    def channel(
        self, files: CertificateFiles | None = None, *, peer: PeerIdentity = OPERATOR, name: str = server_name(GATEWAY)
    ) -> PeerChannel:
        """A channel with ``files``, or a sound certificate of ``peer``; ``name`` is what the directory says."""
        channel = open_channel(Endpoint(self.address, name), watched(files or self.ca.sound(peer)))
        self._stack.push_async_callback(channel.close)
        return channel


def watched(files: CertificateFiles) -> WatchedCertificate:
    """Files that are looked at whenever they are asked for: every look is two seconds after the last."""
    clock = iter(range(0, 1 << 40, 2))
    return WatchedCertificate(files, monotonic=lambda: next(clock))


def question(scenario: str = "plain") -> operator_pb2.CheckEligibilityRequest:
    """A sound request."""
    token = operator_pb2.TokenPresentation(token="t" * 64)
    presentation = operator_pb2.Presentation(token=token)
    return operator_pb2.CheckEligibilityRequest(request_id="r" * 22, scenario=scenario, presentation=presentation)


async def check(channel: grpc.aio.Channel, scenario: str = "plain") -> str:
    """Who the server takes us for. Raises what the call's failure means."""
    return await check_bytes(channel, question(scenario).SerializeToString())


async def check_bytes(channel: grpc.aio.Channel, data: bytes) -> str:
    """As :func:`check`, with any bytes for a request."""
    call: Any = channel.unary_unary(CHECK)
    try:
        reply: bytes = await call(data, timeout=DEADLINE_S)
    except grpc.aio.AioRpcError as error:
        raise error_from_rpc(error) from error
    return operator_pb2.CheckEligibilityResponse.FromString(reply).decision.decision_id


async def failure(channel: grpc.aio.Channel, scenario: str) -> grpc.aio.AioRpcError:
    """The error as gRPC shows it."""
    call: Any = channel.unary_unary(CHECK)
    try:
        await call(question(scenario).SerializeToString(), timeout=DEADLINE_S)
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call succeeded")


async def entries(channel: grpc.aio.Channel, start: int, end: int) -> list[int]:
    """Indices that ``ListEntries`` streams. Raises what the stream's failure means."""
    call: Any = channel.unary_stream(LIST)
    request = audit_pb2.ListEntriesRequest(start=start, end=end).SerializeToString()
    stream = call(request, timeout=DEADLINE_S)
    try:
        return [audit_pb2.ListEntriesResponse.FromString(data).start async for data in stream]
    except grpc.aio.AioRpcError as error:
        raise error_from_rpc(error) from error
    finally:
        stream.cancel()  # else the call of a reader that was cancelled lives until it is collected
