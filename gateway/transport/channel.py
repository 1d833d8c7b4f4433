"""Channels to peers: mutual TLS, the directory's name checked, and certificates renewed without a restart.

A gRPC client cannot see the URI SAN of the server that it talks to. What it does check is the DNS SAN, so the directory
names one for every serving peer, and that name is checked in place of the dialled address
(``grpc.ssl_target_name_override``): whoever answers at Fuzhou's address must hold Fuzhou's certificate. An authority
that issues certificates for peers must therefore give a peer's DNS name to that peer alone. (For a certificate without
any DNS SAN gRPC falls back on the common name, so the same holds for that.)

Nothing is retried by configuration. gRPC itself sends a call again only if it never left, or was refused by the server
before any of our code saw it (gRFC A6, transparent retries), which cannot do anything twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

import grpc
import grpc.aio

from gateway.domain.directory import Endpoint
from gateway.transport.limits import MAX_MESSAGE_BYTES
from gateway.transport.tls import Pem, WatchedCertificate

CLOSE_GRACE_S = 30.0

OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),  # a peer that vanished is noticed within 40 s, also between calls
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),  # gRPC's 120 s would keep a city away long after it is back
    ("grpc.service_config_disable_resolution", 1),  # no settings from whoever answers DNS
    ("grpc.enable_http_proxy", 0),  # peers are dialled directly, whatever the environment says
)


def open_channel(endpoint: Endpoint, certificate: WatchedCertificate) -> PeerChannel:
    """A channel to the peer that the directory lists at ``endpoint``; it connects at the first call.

    Pass ``timeout=`` with every call. A failed call is an ``AioRpcError`` for :func:`.errors.error_from_rpc`.
    """

    def connect(pem: Pem) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(pem.authorities, pem.key, pem.chain)
        options = (*OPTIONS, ("grpc.ssl_target_name_override", endpoint.server_name))
        return grpc.aio.secure_channel(endpoint.address, credentials, options)

    return PeerChannel(connect, certificate)


class PeerChannel(grpc.aio.Channel):
    """A channel that goes on with a new connection when our certificate has been renewed.

    gRPC for Python cannot change a channel's certificate, so the channel behind this one is replaced at the first call
    after a renewal; calls in flight on the old one have ``CLOSE_GRACE_S`` to finish. Stubs made on it stay good.
    """

    def __init__(self, connect: Callable[[Pem], grpc.aio.Channel], certificate: WatchedCertificate) -> None:
        self._connect = connect
        self._certificate = certificate
        self._pem = certificate.current()
        self._inner = connect(self._pem)
        self._closing: set[asyncio.Task[None]] = set()

    def inner(self) -> grpc.aio.Channel:
        """The channel to use now."""
        pem = self._certificate.current()
        if pem is not self._pem:
            old, self._inner, self._pem = self._inner, self._connect(pem), pem
            task = asyncio.get_running_loop().create_task(old.close(CLOSE_GRACE_S))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        return self._inner

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """As the channel's."""
        return _Renewing(self, lambda channel: channel.unary_unary(*args, **kwargs))

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """As the channel's."""
        return _Renewing(self, lambda channel: channel.unary_stream(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """As the channel's."""
        return _Renewing(self, lambda channel: channel.stream_unary(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """As the channel's."""
        return _Renewing(self, lambda channel: channel.stream_stream(*args, **kwargs))

    async def close(self, grace: float | None = None) -> None:
        """Close, and what earlier renewals left open."""
        await self._inner.close(grace)
        for task in tuple(self._closing):
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - gRPC's
        """State of the channel in use now."""
        return self.inner().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait on the channel in use now."""
        await self.inner().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait on the channel in use now."""
        await self.inner().channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Renewing:
    """A method of a :class:`PeerChannel`: the inner channel's own, made anew when that channel is another one."""

    __slots__ = ("_channel", "_inner", "_make", "_multi")

    def __init__(self, channel: PeerChannel, make: Callable[[grpc.aio.Channel], Any]) -> None:
        self._channel = channel
        self._make = make
        self._inner = channel.inner()
        self._multi = make(self._inner)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inner = self._channel.inner()
        if inner is not self._inner:
            self._inner, self._multi = inner, self._make(inner)
        return self._multi(*args, **kwargs)
