"""Canary scores, and the search for them in whatever left a city's domain (invariant I1).

A canary is a whole number of 14 or 15 digits that occurs nowhere else, so that whoever finds it has found a score. It
is looked for as bytes in every form in which software writes numbers, in what base64 and hex runs decode to, again and
again, and in protobuf fields. A finding names canary, channel and form; it never repeats the number.

Forms of four bytes (``float``, ``fixed32``) stand by chance somewhere in every few megabytes of signatures, so they
count only where nothing but a number can stand: as a protobuf field, or as a whole value such as a header's.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

SMALLEST, LARGEST = 10**13, 10**16 - 1
MAX_DEPTH = 4
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


class Finding(NamedTuple):
    """A canary where none may be."""

    canary: str
    channel: str
    form: str


def varint(value: int) -> bytes:
    """Protobuf's encoding of a non-negative whole number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def long_forms(points: int) -> dict[str, bytes]:
    """Every form of six bytes and more: too long to occur by chance. Hex is in lower case.

    Fixed numbers are looked for without leading zero bytes, so that SQLite's six-byte integers are found as well.
    """
    text = str(points)
    size = (points.bit_length() + 7) // 8
    groups = f"{points:,}"
    forms = {
        "decimal": text.encode(),
        "decimal, UTF-16 little-endian": text.encode("utf-16-le"),
        "decimal, UTF-16 big-endian": text.encode("utf-16-be"),
        "decimal, with exponent": f"{text[0]}.{text[1:].rstrip('0')}".encode(),
        "varint": varint(points),
        "zigzag varint": varint(2 * points),
        "fixed, little-endian": points.to_bytes(size, "little"),
        "fixed, big-endian": points.to_bytes(size, "big"),
        "double, little-endian": struct.pack("<d", points),
        "double, big-endian": struct.pack(">d", points),
        "hex": f"{points:x}".encode(),
    }
    for name, mark in (("commas", ","), ("underscores", "_"), ("spaces", " "), ("apostrophes", "'")):
        forms[f"decimal, grouped by {name}"] = groups.replace(",", mark).encode()
    for before in range(3):
        # the characters that depend on the digits alone, whatever stands before and after them
        encoded = base64.b64encode(b"\0" * before + text.encode())
        start, end = (0, 2, 3)[before], (before + len(text)) * 8 // 6
        forms[f"base64 of decimal, at byte {before} of 3"] = encoded[start:end]
    return forms


def short_forms(points: int) -> dict[str, bytes]:
    """The forms of four bytes. A fixed32 holds the lower half, which tells a score as well as the whole."""
    low = points & 0xFFFFFFFF
    return {
        "float, little-endian": struct.pack("<f", points),
        "float, big-endian": struct.pack(">f", points),
        "fixed32, little-endian": low.to_bytes(4, "little"),
        "fixed32, big-endian": low.to_bytes(4, "big"),
    }


class Scanner:
    """Looks for canaries, by name."""

    def __init__(self, canaries: Mapping[str, int]) -> None:
        for name, points in canaries.items():
            if not SMALLEST <= points <= LARGEST:
                raise ValueError(f"{name} is not unmistakable")
        self._runs: dict[tuple[str, bytes], frozenset[tuple[str, str]]] = {}
        self._long = {name: long_forms(points) for name, points in canaries.items()}
        self._short = {
            value: (name, form) for name, points in canaries.items() for form, value in short_forms(points).items()
        }
        self._numbers: dict[int, tuple[str, str]] = {}
        for name, points in canaries.items():
            self._numbers[points] = (name, "varint field")
            self._numbers[2 * points] = (name, "zigzag varint field")

    def scan(self, channel: str, data: bytes) -> set[Finding]:
        """What is found in ``data`` and in whatever its base64 and hex runs decode to."""
        return {Finding(name, channel, form) for name, form in self._bytes(data, 0)}

    def scan_value(self, channel: str, data: bytes) -> set[Finding]:
        """As ``scan``, of a value that stands alone: it may be a number of four bytes."""
        found = self.scan(channel, data)
        if data in self._short:
            name, form = self._short[data]
            found.add(Finding(name, channel, form))
        return found

    def scan_message(self, channel: str, data: bytes) -> set[Finding]:
        """As ``scan``, of a protobuf message: its fields are read, too, known and unknown ones, at every depth."""
        found = self.scan(channel, data)
        found |= {Finding(name, channel, form) for name, form in self._fields(data, 0) or ()}
        return found

    def _bytes(self, data: bytes, depth: int) -> set[tuple[str, str]]:
        lowered = data.lower()
        found = {
            (name, form)
            for name, forms in self._long.items()
            for form, pattern in forms.items()
            if pattern in (lowered if form == "hex" else data)
        }
        if depth < MAX_DEPTH:
            for kind, decode, pattern in _ENCODINGS:
                for run in pattern.findall(data):
                    known = self._runs.get((kind, run))
                    if known is None:
                        known = self._runs[kind, run] = self._run(kind, decode(run), depth)
                    found |= known
        return found

    def _run(self, kind: str, readings: Iterable[bytes], depth: int) -> frozenset[tuple[str, str]]:
        """What one encoded run stands for, read in each phase. Kept: tokens and certificates go by many times."""
        return frozenset(
            (name, f"{form}, in {kind}") for inner in readings for name, form in self._bytes(inner, depth + 1)
        )

    def _fields(self, data: bytes, depth: int) -> set[tuple[str, str]] | None:
        """What the fields hold; None if the bytes are no message as a whole."""
        found: set[tuple[str, str]] = set()
        try:
            for value in _fields_of(data):
                if isinstance(value, int):
                    if value in self._numbers:
                        found.add(self._numbers[value])
                elif len(value) == 4 and value in self._short:
                    name, form = self._short[value]
                    found.add((name, f"{form} field"))
                elif depth < 2 * MAX_DEPTH:
                    found |= self._fields(value, depth + 1) or set()
        except ValueError:
            return None
        return found


def _from_base64(run: bytes) -> Iterator[bytes]:
    """In a database file a run may begin with the characters of the column before, so every phase is tried."""
    run = run.translate(_TO_STANDARD)
    for phase in range(4):
        part = run[phase:]
        part = part[: len(part) - 1] if len(part) % 4 == 1 else part
        yield binascii.a2b_base64(part + b"=" * (-len(part) % 4))


def _from_hex(run: bytes) -> Iterator[bytes]:
    for phase in range(2):
        part = run[phase:]
        yield binascii.unhexlify(part[: len(part) // 2 * 2])


_ENCODINGS: tuple[tuple[str, Callable[[bytes], Iterator[bytes]], re.Pattern[bytes]], ...] = (
    ("base64", _from_base64, re.compile(rb"[A-Za-z0-9_+/-]{12,}")),
    ("hex", _from_hex, re.compile(rb"[0-9A-Fa-f]{12,}")),
)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for count in range(10):
        if at + count >= len(data):
            break
        value |= (data[at + count] & 0x7F) << 7 * count
        if data[at + count] < 0x80:
            return value, at + count + 1
    raise ValueError("no varint")


def _fields_of(data: bytes) -> Iterator[int | bytes]:
    """Every field's value: a number for a varint, else its bytes. Raises ValueError where the bytes are no message."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        if tag < 8:
            raise ValueError("no field number")
        kind = tag & 7
        if kind == 0:
            number, at = _read_varint(data, at)
            yield number
            continue
        if kind == 2:
            size, at = _read_varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("no wire type in use")
        if at + size > len(data):
            raise ValueError("cut short")
        yield data[at : at + size]
        at += size
