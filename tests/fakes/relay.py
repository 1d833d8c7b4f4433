"""A relay that reads along: it ends a server's TLS in the server's place and dials the server as the same client.

The test owns every key of its network, so a relay can hold the server's certificate towards the clients, and towards
the server the certificate of the very client that called; both sides see the identity that they expect. What goes by is
copied unchanged and kept in plain text, each direction for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.http2 import Exchange, read_exchanges

_CHUNK = 64 * 1024


@dataclass(frozen=True)
class Recording:
    """One connection: the client's URI SAN, the server's name, and what went each way."""

    client: str
    server: str
    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)

    def exchanges(self) -> list[Exchange]:
        """The calls on it."""
        return read_exchanges(bytes(self.sent), bytes(self.received))


class Relay:
    """Stands before one server. ``address`` is known, and accepts, before ``start``: put it into the directory."""

    def __init__(self, server: str) -> None:
        """``server``: what it is called in recordings."""
        self.server = server
        self.recordings: list[Recording] = []
        self.strangers: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._socket.setblocking(False)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._listening: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._clients: Mapping[str, Path] = {}
        self._upstream = ""
        self._server_name = ""
        self._stopped = False
        self._cut: set[str] = set()
        self._connections: dict[asyncio.Task[None], str] = {}

    async def start(self, *, tls: Path, upstream: str, server_name: str, clients: Mapping[str, Path]) -> None:
        """Relay to ``upstream`` (``host:port``), whose TLS folder is ``tls``.

        ``server_name`` is the name that the directory gives it; ``clients`` maps URI SANs to TLS folders.
        """
        self._clients, self._upstream, self._server_name = clients, upstream, server_name
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _load(context, tls)
        context.verify_mode = ssl.CERT_REQUIRED
        self._listening = await asyncio.start_server(self._accept, sock=self._socket, ssl=context)

    def cut(self, client: str) -> None:
        """Part this client (a URI SAN) from the server: its connections end, and new ones are ended at once."""
        self._cut.add(client)
        for task, name in tuple(self._connections.items()):
            if name == client:
                task.cancel()

    def mend(self) -> None:
        """Everybody gets through again."""
        self._cut.clear()

    async def stop(self) -> None:
        """Close everything. What was recorded stays."""
        self._stopped = True
        if self._listening is None:
            self._socket.close()
            return
        self._listening.close()
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._listening.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stopped:  # its handshake ended after the others were closed
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._relay(reader, writer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        names = writer.get_extra_info("peercert").get("subjectAltName", ())
        client = ",".join(value for kind, value in names if kind == "URI")
        up: asyncio.StreamWriter | None = None
        try:
            if client not in self._clients:
                self.strangers.append(client)
                return
            if client in self._cut:
                return
            if (task := asyncio.current_task()) is not None:
                self._connections[task] = client
                task.add_done_callback(lambda done: self._connections.pop(done, None))
            recording = Recording(client, self.server)
            self.recordings.append(recording)
            answers, up = await self._dial(self._clients[client])
            copies = [
                asyncio.ensure_future(_copy(reader, up, recording.sent)),
                asyncio.ensure_future(_copy(answers, writer, recording.received)),
            ]
            try:
                # when one side ends, what it sent last has been handed on; the other side is told by closing
                await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for copy in copies:
                    copy.cancel()
                await asyncio.gather(*copies, return_exceptions=True)
        except OSError:
            pass  # the server is not there; the client sees its connection end
        finally:
            for end in (writer, up):
                if end is not None:
                    await _close(end)

    async def _dial(self, tls: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.create_default_context(cafile=str(tls / "ca.pem"))
        _load(context, tls)
        host, _, port = self._upstream.rpartition(":")
        return await asyncio.open_connection(host, int(port), ssl=context, server_hostname=self._server_name)


def _load(context: ssl.SSLContext, tls: Path) -> None:
    context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
    context.load_verify_locations(tls / "ca.pem")
    context.set_alpn_protocols(["h2"])


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: bytearray) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(_CHUNK):
            record += data
            writer.write(data)
            await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    """Hand on what is buffered, if the other end still takes it, and let go."""
    try:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await writer.drain()
    finally:
        writer.transport.abort()
