"""A server: services bound to their descriptors, the access table held against them, TLS, and a graceful stop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from prometheus_client import CollectorRegistry
from protovalidate import Validator

from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.transport import health, reflection
from gateway.transport.access import REFLECTION_ACCESS, AccessTable, check_access
from gateway.transport.chain import Decoder, Handler, Method, Steps, serve_dialogue, serve_stream, serve_unary
from gateway.transport.identity import Resolve, identify_by_certificate
from gateway.transport.limits import LARGE_REQUESTS, MAX_MESSAGE_BYTES, REQUEST_BYTES, Gate, Rates
from gateway.transport.metrics import CallMetrics
from gateway.transport.refusals import Refusals
from gateway.transport.tls import WatchedCertificate, server_credentials
from gateway.transport.unsafe_plaintext import UnsafePlaintext

PROBES_AT_ONCE = 64
CONNECTION_AGE_S = 3600


@dataclass(frozen=True, slots=True)
class ServiceBinding:
    """A service of the contract and the object that answers for it.

    ``servicer`` has one method per RPC, of the RPC's name: ``async def Name(self, request, caller) -> response``, or an
    async generator of responses. It raises :class:`TiergateError` for whatever the caller should know.
    """

    service: ServiceDescriptor
    servicer: object


class ServerLimits(NamedTuple):
    """Bounds of a server: calls in hand, and per caller calls per second (sustained) and at once."""

    in_flight: int
    per_caller_per_s: float
    burst: int


def build_server(
    services: Sequence[ServiceBinding],
    *,
    address: str,
    security: WatchedCertificate | UnsafePlaintext,
    resolve: Resolve,
    access: AccessTable,
    limits: ServerLimits,
    registry: CollectorRegistry,
    development: bool = False,
) -> Server:
    """A server on ``address`` (``host:port``, port 0 for a free one), ready to start. Needs a running event loop.

    ``access`` must have a row for every method of ``services`` and of health, and no other; with ``development``
    reflection is served, too. Raises CONFIG_INVALID for a table that does not fit, a service that lacks a method, and
    an address that cannot be bound.
    """
    names = [binding.service.full_name for binding in services]
    state = health.Health(names)
    gate, metrics = Gate(limits.in_flight), CallMetrics(registry)
    metrics.watch_in_flight(lambda: gate.in_flight)
    identify = security.identify(resolve) if isinstance(security, UnsafePlaintext) else identify_by_certificate(resolve)
    steps = Steps(identify, gate, Rates(limits.per_caller_per_s, limits.burst), Refusals(metrics), metrics, Validator())
    # whether the server serves must be answered also when it is busy or stopping: probes have a gate of their own
    probes = steps._replace(gate=Gate(PROBES_AT_ONCE))
    bindings = [(binding, steps) for binding in services]
    bindings.append((ServiceBinding(health.DESCRIPTOR, state), probes))
    if development:
        access = {**access, **REFLECTION_ACCESS}
        seen = (*names, health.DESCRIPTOR.full_name)
        bindings.append((ServiceBinding(reflection.DESCRIPTOR, reflection.Reflection(seen)), probes))
    server = grpc.aio.server(options=_options(limits))
    server.add_generic_rpc_handlers((_Handlers(_handlers(bindings, access)),))
    return Server(server, _bind(server, address, security), gate, state)


def _options(limits: ServerLimits) -> tuple[tuple[str, int], ...]:
    return (
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_concurrent_streams", limits.in_flight + PROBES_AT_ONCE),
        ("grpc.so_reuseport", 0),  # a second process on the port must fail, not share it
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),  # peers ping every 30 s
        # certificates are looked at when a connection is made: none outlives its certificate by more than this
        ("grpc.max_connection_age_ms", CONNECTION_AGE_S * 1000),
        ("grpc.max_connection_age_grace_ms", 600_000),
    )


def _bind(server: grpc.aio.Server, address: str, security: WatchedCertificate | UnsafePlaintext) -> int:
    try:
        if not isinstance(security, UnsafePlaintext):
            port = server.add_secure_port(address, server_credentials(security))
        elif address == security.address:
            port = server.add_insecure_port(address)
        else:
            raise TiergateError(Reason.CONFIG_INVALID, "plaintext was granted for another address")
    except RuntimeError as error:
        problem = Problem("listen", "", f"{address} cannot be bound", "is another process on this port?")
        raise ProblemsError(Reason.CONFIG_INVALID, [problem]) from error
    return port


def _handlers(bindings: Sequence[tuple[ServiceBinding, Steps]], access: AccessTable) -> Mapping[str, Handler]:
    """A handler for every method of every service, by full name."""
    methods = [
        (f"/{binding.service.full_name}/{method.name}", method, binding.servicer, steps)
        for binding, steps in bindings
        for method in binding.service.methods
    ]
    check_access([name for name, *_ in methods], access)
    return {name: _handler(name, method, servicer, steps, access) for name, method, servicer, steps in methods}


def _handler(name: str, method: MethodDescriptor, servicer: object, steps: Steps, access: AccessTable) -> Handler:
    handler: Any = getattr(servicer, method.name, None)
    decode = Decoder(GetMessageClass(method.input_type), steps.validator)
    served = Method(name, access[name], LARGE_REQUESTS.get(name, REQUEST_BYTES), decode)
    if not method.server_streaming and not method.client_streaming and inspect.iscoroutinefunction(handler):
        return serve_unary(steps, served, handler)
    if method.server_streaming and callable(handler) and not inspect.iscoroutinefunction(handler):
        return (serve_dialogue if method.client_streaming else serve_stream)(steps, served, handler)
    kind = "an async generator" if method.server_streaming else "a coroutine function"
    raise ProblemsError(
        Reason.CONFIG_INVALID, [Problem(type(servicer).__name__, name, f"is not implemented as {kind}")]
    )


class _Handlers(grpc.GenericRpcHandler):
    """One table for all services. What is not in it is UNIMPLEMENTED, said by gRPC itself."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        return self._handlers.get(handler_call_details.method)


class Server:
    """A built server. ``port`` is the bound one; ``gate`` and ``health`` show its state."""

    def __init__(self, server: grpc.aio.Server, port: int, gate: Gate, state: health.Health) -> None:
        self._server = server
        self.port = port
        self.gate = gate
        self.health = state

    async def start(self) -> None:
        """Serve from now on."""
        await self._server.start()
        self.health.set_serving(serving=True)

    async def stop(self, grace_s: float) -> None:
        """Health says NOT_SERVING, new calls get SHUTTING_DOWN, and calls in hand have ``grace_s`` seconds to finish.

        gRPC's own stop refuses new calls without a reason, so it comes last.
        """
        started = asyncio.get_running_loop().time()
        self.gate.close()
        self.health.stop()
        await self.gate.wait_idle(grace_s)
        await self._server.stop(max(0.0, grace_s - (asyncio.get_running_loop().time() - started)))

    async def wait(self) -> None:
        """Return when the server has stopped."""
        await self._server.wait_for_termination()
