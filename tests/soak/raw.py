"""Broken HTTP/2 over a real mutual TLS connection, and what is not even that."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hpack import Decoder, Encoder, HPACKError
from hyperframe.frame import Frame, HeadersFrame

from tests.fakes.http2 import PREFACE
from tests.soak.messages import MARK, NAMES

FRAMES_PER_CONNECTION = 40
PATIENCE_S = 10.0
END_STREAM, END_HEADERS = 0x1, 0x4
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Any frame (RFC 9113, section 4.1), also one that may not be."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def message(data: bytes, *, size: int | None = None, compressed: int = 0) -> bytes:
    """A gRPC message with its prefix, which may lie."""
    return struct.pack(">BI", compressed, len(data) if size is None else size) + data


class _Connection:
    """Makes the frames of one connection, each counted as a message."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._encoder = Encoder()
        self._stream = -1

    def _headers(self, more: tuple[tuple[str, str], ...] = (), *, flags: int = END_HEADERS) -> bytes:
        self._stream += 2
        fields = (
            (":method", "POST"),
            (":scheme", "https"),
            (":path", self._chance.choice((*NAMES.values(), f"/{MARK}/X"))),
            (":authority", "x"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            *more,
        )
        return frame(HEADERS, flags, self._stream, self._encoder.encode(fields))

    def frames(self) -> Iterator[bytes]:
        """Without end."""
        shapes = (self._lying, self._reset, self._odd_headers, self._odd_control, self._stray)
        while True:
            yield from self._chance.choice(shapes)()

    def refused(self) -> bytes:
        """A whole call that a server answers with a status, as its message is none."""
        return self._headers() + frame(DATA, END_STREAM, self._stream, message(self._body()))

    def _body(self) -> bytes:
        return MARK.encode() + self._chance.randbytes(40)

    def _lying(self) -> Iterator[bytes]:
        """Data that is not what its prefix says, too little, too much, or compressed by nobody."""
        body, chance = self._body(), self._chance
        data = chance.choice(
            (
                message(body, size=len(body) + 100),
                message(body, size=2**32 - 1),
                message(body, compressed=1),
                message(body, compressed=7),
                message(body) * 3,
                message(body)[: chance.randrange(9)],
                b"",
            )
        )
        yield self._headers(chance.choice(((), (("grpc-encoding", "gzip"),), (("grpc-encoding", MARK),))))
        yield frame(DATA, chance.choice((0, END_STREAM)), self._stream, data)

    def _reset(self) -> Iterator[bytes]:
        """A call that is given up in any of its states."""
        yield self._headers(flags=self._chance.choice((END_HEADERS, END_HEADERS | END_STREAM)))
        if self._chance.random() < 0.5:
            yield frame(DATA, 0, self._stream, message(self._body()))
        yield frame(RESET, 0, self._stream, struct.pack(">I", self._chance.choice((0, 1, 8, 99))))

    def _odd_headers(self) -> Iterator[bytes]:
        chance = self._chance
        timeout = chance.choice(("1n", "0S", "-1S", MARK, "99999999H"))
        yield self._headers(
            chance.choice(
                (
                    (("x-large", MARK * chance.choice((10, 400, 700))),),
                    (("grpc-timeout", timeout),),
                    (("content-type", "text/plain"),),
                    (("te", MARK), ("connection", "close")),
                    ((":path", "/again"),),
                    (("x-bin", MARK), ("x-bad-bin", "%%%")),
                )
            )
        )

    def _odd_control(self) -> Iterator[bytes]:
        """Frames about the connection with values that may not be."""
        chance = self._chance
        number = struct.pack(">I", chance.choice((0, 1, 2**31 - 1)))
        yield chance.choice(
            (
                frame(PING, 0, 0, bytes(8)),
                frame(PING, 0, 0, self._body()),
                frame(WINDOW, 0, chance.choice((0, 1, 99)), number),
                frame(SETTINGS, 0, 0, struct.pack(">H", chance.randrange(9)) + number),
                frame(PRIORITY, 0, max(1, self._stream), struct.pack(">IB", max(1, self._stream), 1)),
                frame(chance.randrange(10, 256), chance.randrange(256), chance.choice((0, 1, 2**31)), self._body()),
            )
        )

    def _stray(self) -> Iterator[bytes]:
        """A header block that is none, or a frame where none may be."""
        kind = self._chance.choice((HEADERS, PUSH, CONTINUATION, GOAWAY, DATA))
        yield frame(kind, self._chance.randrange(256), self._chance.choice((0, 1, 2, 77)), self._body())


Status = tuple[int, str]
"""A gRPC status in an answer, and its text."""


def _statuses(received: bytes) -> Iterator[Status]:
    """The statuses in what a server sent."""
    decoder, at = Decoder(), 0
    decoder.max_allowed_table_size = 1 << 20
    while at + 9 <= len(received):
        found, size = Frame.parse_frame_header(memoryview(received)[at : at + 9])
        if isinstance(found, HeadersFrame) and at + 9 + size <= len(received):
            found.parse_body(memoryview(received)[at + 9 : at + 9 + size])
            with contextlib.suppress(HPACKError):
                fields = {str(name): str(value) for name, value in decoder.decode(found.data)}
                if "grpc-status" in fields:
                    yield int(fields["grpc-status"]), fields.get("grpc-message", "")
        at += 9 + size


def tls_of(folder: Path) -> ssl.SSLContext:
    """A client's context with the certificate in ``folder``; names are checked elsewhere."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.check_hostname = False
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.set_alpn_protocols(["h2"])
    return context


async def connection(address: str, tls: ssl.SSLContext, chance: random.Random, statuses: Counter[Status]) -> int:
    """One connection full of broken frames, some after a call that was answered; how many were sent."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls, server_hostname=f"{MARK}.invalid")
    received, answered = bytearray(), asyncio.Event()

    async def listen() -> None:
        try:
            while data := await reader.read(65_536):
                received.extend(data)
                if not answered.is_set() and any(_statuses(bytes(received))):
                    answered.set()
        finally:
            answered.set()

    listening = asyncio.create_task(listen())
    frames, sent = _Connection(chance), 0
    try:
        start = chance.random()
        writer.write(PREFACE if start < 0.9 else MARK.encode())
        writer.write(frame(SETTINGS, 0, 0, b"") if start < 0.8 else chance.randbytes(64))
        if start < 0.3:
            writer.write(frames.refused())
            await asyncio.wait_for(answered.wait(), PATIENCE_S)
        for data in frames.frames():
            writer.write(data if chance.random() < 0.98 else data[: len(data) // 2])
            sent += 1
            if sent >= FRAMES_PER_CONNECTION or listening.done() or writer.transport.is_closing():
                break
            if sent % 8 == 0:
                await writer.drain()
        await writer.drain()
        if chance.random() < 0.5:  # see what it says, or go away in the middle
            await asyncio.wait({listening}, timeout=0.05)
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        writer.transport.abort()
    statuses.update(_statuses(bytes(received)))
    return max(1, sent)


async def strangers(address: str, chance: random.Random) -> int:
    """Connections without TLS, with half a handshake, and without a certificate; how many messages that were."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    for data in (
        PREFACE,
        MARK.encode() * 50,
        b"\x16\x03\x01\x02\x00" + chance.randbytes(100),
        b"GET / HTTP/1.1\r\n\r\n",
    ):
        with contextlib.suppress(ConnectionError):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(data)
            await writer.drain()
            writer.transport.abort()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        _, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=f"{MARK}.invalid")
        writer.write(PREFACE + MARK.encode())
        await writer.drain()
        writer.transport.abort()
    return 5
