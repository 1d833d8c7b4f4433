"""What can be wrong with one JSON object, as a table: from the bytes of a good one to the bytes of a bad one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping


def _first(document: bytes) -> tuple[str, str]:
    """Name and JSON value of the first member."""
    name, value = next(iter(json.loads(document).items()))
    return name, json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _with(document: bytes, member: str, *, last: bool = True) -> bytes:
    text = document.decode()
    return (f"{text[:-1]},{member}}}" if last else f"{{{member},{text[1:]}").encode()


def _replaced(value: bytes, *, number: bool = False) -> Callable[[bytes], bytes]:
    """Another value for the first member; with ``number`` for the first whole number, if there is one."""

    def attack(document: bytes) -> bytes:
        members = json.loads(document)
        name = next((key for key, held in members.items() if type(held) is int), None) if number else None
        name = name or next(iter(members))
        mark = "\N{REPLACEMENT CHARACTER}mark"
        text = json.dumps({**members, name: mark}, separators=(",", ":"), ensure_ascii=False)
        return text.encode().replace(f'"{mark}"'.encode(), value)

    return attack


def _doubled(document: bytes, spelling: Callable[[str], str], value: str | None, *, last: bool) -> bytes:
    name, held = _first(document)
    return _with(document, f"{spelling(name)}:{held if value is None else value}", last=last)


def _escaped(name: str) -> str:
    return '"' + "".join(f"\\u{ord(char):04x}" for char in name) + '"'


_NUMBERS = (
    "1.0", "1e0", "1E2", "-1", "1e999", "-1e999", "1e-999", "NaN", "Infinity", "-Infinity", "nan", "01", "+1", "1.",
    ".5", "0x10", "1_000", "1e", "9007199254740993.0", "18446744073709551616", "1" + "0" * 400, "9" * 5000,
    "true", "false", "null", '"1"', "[1]", '{"a":1}', "１", "",
)  # fmt: skip
_TEXTS: Mapping[str, bytes] = {
    "invalid UTF-8": b'"\xff"',
    "overlong UTF-8": b'"\xc0\x80"',
    "surrogate in UTF-8": b'"\xed\xa0\x80"',
    "above Unicode": b'"\xf4\x90\x80\x80"',
    "cut UTF-8": b'"\xe7\xa6"',
    "lone surrogate": b'"\\ud800"',
    "surrogates exchanged": b'"\\udc00\\ud800"',
    "NUL, escaped": b'"\\u0000"',
    "NUL": b'"\0"',
    "newline": b'"\n"',
    "unknown escape": b'"\\x41"',
    "short escape": b'"\\u12"',
    "not closed": b'"abc',
    "single quotes": b"'abc'",
    "byte order mark in the text": b'"\\ufeff"',
    "nested arrays": b"[" * 900 + b"]" * 900,
    "nested objects": b'{"a":' * 400 + b"1" + b"}" * 400,
    "nested deeply, not closed": b"[" * 2800,
    "long text": b'"' + b"x" * 2500 + b'"',
}

JSON_ATTACKS: Mapping[str, Callable[[bytes], bytes]] = {
    "doubled member": lambda d: _doubled(d, json.dumps, None, last=True),
    "doubled member, other value last": lambda d: _doubled(d, json.dumps, '"x"', last=True),
    "doubled member, other value first": lambda d: _doubled(d, json.dumps, '"x"', last=False),
    "doubled member, escaped": lambda d: _doubled(d, _escaped, None, last=True),
    "doubled member, escaped, first": lambda d: _doubled(d, _escaped, '"x"', last=False),
    "doubled member inside": lambda d: _with(d, '"more":{"a":1,"a":1}'),
    "doubled member inside, escaped": lambda d: _with(d, '"more":[{"a":1,"\\u0061":2}]'),
    "stray member": lambda d: _with(d, '"more":1'),
    "stray member without a name": lambda d: _with(d, '"":1'),
    "stray member of another case": lambda d: _with(d, f'"{_first(d)[0].upper()}":{_first(d)[1]}'),
    "stray __proto__": lambda d: _with(d, '"__proto__":{"a":1}'),
    "stray lone surrogate": lambda d: _with(d, '"\\ud800":1'),
    "stray member of NUL": lambda d: _with(d, '"\\u0000":1'),
    "no member": lambda _d: b"{}",
    "array": lambda d: b"[" + d + b"]",
    "text": lambda d: json.dumps(d.decode()[:1500]).encode(),
    "number": lambda _d: b"7",
    "true": lambda _d: b"true",
    "null": lambda _d: b"null",
    "nothing": lambda _d: b"",
    "a space": lambda _d: b" ",
    "half": lambda d: d[: len(d) // 2],
    "last byte missing": lambda d: d[:-1],
    "trailing brace": lambda d: d + b"}",
    "trailing word": lambda d: d + b" x",
    "trailing NUL": lambda d: d + b"\0",
    "trailing comma": lambda d: d[:-1] + b",}",
    "two documents": lambda d: d + b"{}",
    "leading word": lambda d: b"x" + d,
    "JSON hijacking prefix": lambda d: b")]}'\n" + d,
    "comment": lambda d: b"/* */" + d,
    "comment behind": lambda d: d + b"// x",
    "form feed": lambda d: b"\f" + d,
    "no-break space": lambda d: "\u00a0".encode() + d,
    "byte order mark": lambda d: b"\xef\xbb\xbf" + d,
    "UTF-16": lambda d: d.decode().encode("utf-16"),
    "UTF-16, no mark": lambda d: d.decode().encode("utf-16-le"),
    "UTF-32": lambda d: d.decode().encode("utf-32"),
    "single quotes": lambda d: d.replace(b'"', b"'"),
    "bare names": lambda d: d.replace(b'"', b"", 2),
    **{f"first member {text[:24]}": _replaced(text.encode()) for text in _NUMBERS},
    **{f"first number {text[:24]}": _replaced(text.encode(), number=True) for text in _NUMBERS},
    **{f"first member with {name}": _replaced(value) for name, value in _TEXTS.items()},
}
