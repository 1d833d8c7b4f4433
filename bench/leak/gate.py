"""The city's way to the gateway, which can be shut: then a withdrawal's push is on its way and does not arrive."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self


class Gate:
    """Forwards TCP connections to ``target`` (``host:port``) while it is open, byte for byte."""

    def __init__(self) -> None:
        self.target = ""
        self._open = True
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.shut()
        if self._server is not None:
            self._server.close()

    @property
    def address(self) -> str:
        """Where it listens."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    @property
    def is_open(self) -> bool:
        """Whether connections are forwarded."""
        return self._open

    def open(self) -> None:
        """Forward from now on."""
        self._open = True

    def shut(self) -> None:
        """Break what is connected, and refuse what comes."""
        self._open = False
        for writer in list(self._writers):
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.transport.abort()
            return
        host, _, port = self.target.rpartition(":")
        try:
            there = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there[1]}
        try:
            await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))
        finally:
            self._writers -= {writer, there[1]}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
