"""How the stub city and the naive gateway serve: a bare grpc.aio server over mutual TLS, without interceptors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from bench.world import Tls

Handler = Callable[[Any, Any], Awaitable[Message]]
"""Takes the request message and the call's context."""


# the gateway keeps an idle connection alive every 30 s, which a default server takes for abuse and hangs up on
_ALLOW_PINGS = (("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.min_ping_interval_without_data_ms", 20_000))


def method(request: type[Message], handler: Handler) -> grpc.RpcMethodHandler[Any, Any]:
    """A unary method that decodes ``request``."""
    return grpc.unary_unary_rpc_method_handler(
        handler, request_deserializer=request.FromString, response_serializer=lambda reply: reply.SerializeToString()
    )


def _pem(tls: Tls) -> tuple[bytes, bytes, bytes]:
    return tls.authority.read_bytes(), tls.key.read_bytes(), tls.certificate.read_bytes()


async def serve(tls: Tls, services: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]], port: int = 0) -> None:
    """Serve methods by service name, print ``ready PORT``, go on until killed. A ``port`` of 0 is any free one."""
    server = grpc.aio.server(options=_ALLOW_PINGS)
    for name, methods in services.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
    authority, key, certificate = _pem(tls)
    credentials = grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)
    bound = server.add_secure_port(f"127.0.0.1:{port}", credentials)
    await server.start()
    print("ready", bound, flush=True)
    await server.wait_for_termination()


def dial(tls: Tls, address: str, server_name: str) -> grpc.aio.Channel:
    """A channel over mutual TLS to the server whose certificate carries ``server_name``."""
    credentials = grpc.ssl_channel_credentials(*_pem(tls))
    return grpc.aio.secure_channel(address, credentials, [("grpc.ssl_target_name_override", server_name)])
