"""Reads what a relay recorded: HTTP/2 frames (RFC 9113), header blocks (RFC 7541), and gRPC's messages in them."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from hpack import Decoder
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_HEADER = 9
_LARGEST_TABLE = 1 << 20


@dataclass
class Half:
    """One direction of one stream: headers (and trailers) as name and value, and what stood in DATA frames."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)

    def values(self) -> Iterator[bytes]:
        """Every name and value; binary ones decoded, as gRPC gives them to whoever receives them."""
        for name, value in self.headers:
            yield name
            yield value
            if name.endswith(b"-bin"):
                yield from _binary(value)

    def messages(self) -> list[bytes]:
        """gRPC's length-prefixed messages. Raises ValueError for a compressed one: it could not be searched."""
        found: list[bytes] = []
        at = 0
        while at + 5 <= len(self.data):
            compressed, size = struct.unpack_from(">BI", self.data, at)
            if compressed:
                raise ValueError("a compressed message")
            if at + 5 + size > len(self.data):
                break
            found.append(bytes(self.data[at + 5 : at + 5 + size]))
            at += 5 + size
        return found


@dataclass
class Exchange:
    """One stream: a request with its answer."""

    request: Half = field(default_factory=Half)
    answer: Half = field(default_factory=Half)

    @property
    def method(self) -> str:
        """Full method name."""
        return (self.request.header(b":path") or b"").decode("ascii")


def read_exchanges(sent: bytes, received: bytes) -> list[Exchange]:
    """The streams of one connection: ``sent`` by the client, ``received`` by it. A last frame cut short is left out.

    Raises ValueError unless the client's side begins as HTTP/2 does.
    """
    if sent and not sent.startswith(PREFACE[: len(sent)]):
        raise ValueError("not HTTP/2")
    exchanges: dict[int, Exchange] = {}
    for stream, frame in _blocks(sent[len(PREFACE) :]):
        _add(exchanges.setdefault(stream, Exchange()).request, frame)
    for stream, frame in _blocks(received):
        _add(exchanges.setdefault(stream, Exchange()).answer, frame)
    return [exchanges[stream] for stream in sorted(exchanges)]


def _binary(value: bytes) -> Iterator[bytes]:
    """A binary header's values: as they are after a zero byte (between gRPC's own ends), else base64 and commas."""
    if value.startswith(b"\0"):
        yield value[1:]
        return
    for part in value.split(b","):
        yield base64.b64decode(part + b"=" * (-len(part) % 4))


def _add(half: Half, block: list[tuple[bytes, bytes]] | bytes) -> None:
    if isinstance(block, bytes):
        half.data += block
    else:
        half.headers += block


def _blocks(data: bytes) -> Iterator[tuple[int, list[tuple[bytes, bytes]] | bytes]]:
    """Per stream, whole header blocks and data, in order. One table serves all header blocks of a direction."""
    decoder = Decoder()
    decoder.max_allowed_table_size = _LARGEST_TABLE
    block = bytearray()
    for frame in _frames(data):
        if isinstance(frame, DataFrame):
            yield frame.stream_id, frame.data
        elif isinstance(frame, HeadersFrame | ContinuationFrame):
            block += frame.data
            if "END_HEADERS" in frame.flags:
                yield (
                    frame.stream_id,
                    [(bytes(key), bytes(value)) for key, value in decoder.decode(bytes(block), raw=True)],
                )
                block.clear()


def _frames(data: bytes) -> Iterator[Frame]:
    at = 0
    view = memoryview(data)
    while at + _FRAME_HEADER <= len(data):
        frame, size = Frame.parse_frame_header(view[at : at + _FRAME_HEADER])
        body = at + _FRAME_HEADER
        if body + size > len(data):
            return
        frame.parse_body(view[body : body + size])
        yield frame
        at = body + size
