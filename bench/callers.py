"""How the load generator talks: one cheap way per kind of target, the same for every target of the kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio

from bench.job import Channel, Job
from gateway.transport.unsafe_plaintext import IDENTITY_KEY

Caller = Callable[[bytes], Awaitable[bytes]]


class CallError(Exception):
    """A call that was not answered with success; its text names the kind, for counting."""


@asynccontextmanager
async def open_callers(job: Job) -> AsyncIterator[list[Caller]]:
    """One caller per request in flight: all share one gRPC channel, or each has its own HTTP connection."""
    if job.channel.kind == "http":
        connections = [await _Http.connect(job.channel.address) for _ in range(job.in_flight)]
        try:
            yield [connection.call for connection in connections]
        finally:
            for connection in connections:
                connection.close()
        return
    async with _grpc_channel(job.channel) as channel:
        identity = job.channel.identity
        metadata = ((IDENTITY_KEY, identity),) if identity else None
        rpc: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(job.channel.method)

        async def call(request: bytes) -> bytes:
            try:
                return await rpc(request, timeout=job.timeout_s, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                raise CallError(f"{error.code().name}: {error.details()}") from error

        yield [call] * job.in_flight


def _grpc_channel(channel: Channel) -> grpc.aio.Channel:
    if not channel.authority:
        return grpc.aio.insecure_channel(channel.address)
    authority, key, certificate = (
        Path(name).read_bytes() for name in (channel.authority, channel.key, channel.certificate)
    )
    credentials = grpc.ssl_channel_credentials(authority, key, certificate)
    return grpc.aio.secure_channel(
        channel.address, credentials, [("grpc.ssl_target_name_override", channel.server_name)]
    )


class _Http:
    """One HTTP/1.1 connection, kept alive; requests are finished bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, address: str) -> _Http:
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def call(self, request: bytes) -> bytes:
        self._writer.write(request)
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            body = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            raise CallError(type(error).__name__) from error
        if not head.startswith(b"http/1.1 200 "):
            raise CallError(head.split(b"\r\n", 1)[0].decode("ascii", "replace"))
        return body

    def close(self) -> None:
        self._writer.close()
