"""A small mutation engine of our own, for the suite: no coverage, no wait, the same inputs in every run.

What is looked for with coverage is looked for by atheris (``./dev fuzz``); this holds the harnesses themselves to what
they promise, on every machine and without a compiler's help.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence

INTERESTING = (
    b"\0", b"\xff", b"\x7f", b"\n", b"\r\n", b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b",", b":", b".", b"-", b"+",
    b"=", b"#", b"%", b"{}", b"[]", b"null", b"true", b"NaN", b"Infinity", b"1e999", b"0", b"-1", b"1.5",
    b"9" * 20, b"9" * 400,
    b"\\ud800", b"\\u0000", b"\xed\xa0\x80", b"\xc0\x80", b"\xef\xbb\xbf", b"\xe2\x80\x94", b"\xf4\x90\x80\x80", b"../",
    b"9" * 5000, b"[" * 1500, b'{"a":' * 700, b"a=[" + b"[" * 1500, b"A" * 3000, b"0001-01-01", b"9999-12-31",
    b"inf", b"nan", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", b"\x0a\xff\xff\xff\xff\x0f",
)  # fmt: skip
_NUMBER = re.compile(rb"[0-9]+")

Mutation = Callable[[random.Random, bytes], bytes]


def _place(chance: random.Random, data: bytes) -> int:
    return chance.randrange(len(data) + 1)


def _flip(chance: random.Random, data: bytes) -> bytes:
    if not data:
        return b"\0"
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def _set(chance: random.Random, data: bytes) -> bytes:
    at = _place(chance, data)
    return data[:at] + chance.randbytes(1) + data[at + 1 :]


def _insert(chance: random.Random, data: bytes) -> bytes:
    at = _place(chance, data)
    return data[:at] + chance.choice(INTERESTING) + data[at:]


def _overwrite(chance: random.Random, data: bytes) -> bytes:
    at, word = _place(chance, data), chance.choice(INTERESTING)
    return data[:at] + word + data[at + len(word) :]


def _cut(chance: random.Random, data: bytes) -> bytes:
    first, second = sorted((_place(chance, data), _place(chance, data)))
    return data[:first] + data[second:]


def _truncate(chance: random.Random, data: bytes) -> bytes:
    return data[: _place(chance, data)]


def _repeat(chance: random.Random, data: bytes) -> bytes:
    first, second = sorted((_place(chance, data), _place(chance, data)))
    return data[:second] + data[first:second] * chance.choice((1, 1, 2, 40)) + data[second:]


def _number(chance: random.Random, data: bytes) -> bytes:
    found = list(_NUMBER.finditer(data))
    if not found:
        return _set(chance, data)
    match = chance.choice(found)
    other = chance.choice((b"0", b"1", b"-1", b"00", b"9" * 19, b"9" * 400, b"1.0", b"1e9", b"true", b'"1"', b""))
    return data[: match.start()] + other + data[match.end() :]


def _swap_lines(chance: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    chance.shuffle(lines)
    return b"\n".join(lines)


MUTATIONS: Sequence[Mutation] = (
    _flip, _set, _insert, _overwrite, _cut, _truncate, _repeat, _number, _swap_lines,
)  # fmt: skip


def mutants(seeds: Sequence[bytes], count: int, longest: int, seed: int = 0) -> Iterator[bytes]:
    """``count`` changed or spliced seeds of at most ``longest`` bytes; the same for the same arguments."""
    chance = random.Random(seed)
    for _ in range(count):
        data = chance.choice(seeds)
        if chance.randrange(8) == 0:
            other = chance.choice(seeds)
            data = data[: _place(chance, data)] + other[_place(chance, other) :]
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            data = chance.choice(MUTATIONS)(chance, data)
        yield data[:longest]
