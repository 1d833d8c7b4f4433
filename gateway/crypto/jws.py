"""Strict JWS compact serialisation (RFC 7515, section 7.1) for the token types of tiergate.

Far narrower than a general JOSE library on purpose (RFC 8725): the header has exactly ``alg``, ``kid`` and ``typ``; the
algorithm is the key's; the payload is one JSON object without doubled members, floats or constants; base64url is
canonical. What is verified is the exact received bytes. A proof by a device has its public key, ``jwk``, in place of
``kid``: no directory knows that key.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from cryptography.exceptions import InvalidSignature

from gateway.crypto.keys import (
    Algorithm,
    KeyRing,
    PrivateKey,
    Verify,
    algorithm_of,
    b64url,
    parse_jwk,
    public_jwk,
    sign,
    thumbprint,
    verifier,
)
from gateway.errors import Reason, TiergateError

MAX_TOKEN_CHARS = 4096
_MAX_HEADERS = 1024  # bounded memory of parsed headers: at most about 700 bytes each
_MAX_HEADER_BYTES = 256
# what is base64 but not base64url becomes a character that strict decoding refuses
_FROM_URLSAFE = bytes.maketrans(b"-_+/=", b"+/!!!")
# the last characters that leave no bits over, by length modulo 4 (RFC 4648, section 3.5)
_LAST = {2: b"AQgw", 3: b"AEIMQUYcgkosw048"}
_HEADER_MEMBERS = {"alg", "kid", "typ"}
_KEYED_HEADER_MEMBERS = {"alg", "jwk", "typ"}


class HolderKey(NamedTuple):
    """A public key that came in a header: only who compares its thumbprint (RFC 7638) knows whose it is."""

    header: bytes
    alg: str
    key_alg: Algorithm
    thumbprint: str
    verify: Verify


class Unverified(NamedTuple):
    """A parsed token whose signature has NOT been checked: good only for choosing the key."""

    alg: str
    kid: str
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        """Nothing of the token: it is a secret."""
        return "Unverified(...)"


def _malformed(detail: str, reason: Reason) -> TiergateError:
    return TiergateError(reason, detail)


def decode_segment(segment: bytes) -> bytes:
    """Canonical unpadded base64url, or ValueError: one byte string has one spelling.

    An ES256 signature still has a twin (``n - s``), which is why a token's hash leaves the signature out.
    """
    over = len(segment) % 4
    if over and segment[-1] not in _LAST.get(over, b""):
        raise ValueError("not canonical base64url")
    return binascii.a2b_base64(segment.translate(_FROM_URLSAFE) + b"=" * (-over % 4), strict_mode=True)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("doubled member")
    return members


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"number of {len(text)} characters is not an integer")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_refuse_number, parse_constant=_refuse_number)


def strict_object(data: bytes) -> dict[str, Any]:
    """One JSON object without doubled members, floats, ``NaN`` or ``Infinity``; ValueError otherwise."""
    try:
        value = _DECODER.decode(data.decode("utf-8", "strict"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one error type for every malformed document
    return value


_headers: dict[tuple[bytes, str], tuple[str, str]] = {}


def _parse_header(segment: bytes, typ: str, reason: Reason) -> tuple[str, str]:
    # The headers of one key are all alike, and parsing JSON is a third of the cost of the whole parse.
    known = _headers.get((segment, typ))
    if known is not None:
        return known
    try:
        header = strict_object(decode_segment(segment))
    except ValueError as error:
        raise _malformed("header", reason) from error
    # `crit`, `jku`, `jwk`, `x5u`, `x5c`, `b64`, `zip`: nothing but these three members is ever acceptable
    if set(header) != _HEADER_MEMBERS or not all(isinstance(v, str) for v in header.values()):
        raise _malformed("header members", reason)
    if header["typ"] != typ:
        raise TiergateError(Reason.TOKEN_TYPE_WRONG, "typ")
    result = (header["alg"], header["kid"])
    if len(segment) <= _MAX_HEADER_BYTES:  # nothing has been verified yet: a stranger must not fill the memory
        if len(_headers) >= _MAX_HEADERS:
            _headers.clear()
        _headers[segment, typ] = result
    return result


def _parse_keyed_header(segment: bytes, typ: str) -> HolderKey:
    """The key out of a header with a ``jwk``; ValueError for any other header. Nothing is remembered."""
    header = strict_object(decode_segment(segment))
    alg, jwk = header.get("alg"), header.get("jwk")
    if set(header) != _KEYED_HEADER_MEMBERS or header["typ"] != typ or not isinstance(alg, str):
        raise ValueError("header members")
    if not isinstance(jwk, dict) or not all(isinstance(value, str) for value in jwk.values()):
        raise ValueError("jwk")  # a private key has more members, which parse_jwk refuses
    try:
        key = parse_jwk(jwk)
    except TiergateError as error:
        raise ValueError(error.detail) from error
    return HolderKey(segment, alg, algorithm_of(key), thumbprint(jwk), verifier(key))


def parse(
    token: str, typ: str, *, malformed: Reason = Reason.TOKEN_MALFORMED, limit: int = MAX_TOKEN_CHARS
) -> Unverified:
    """Parse without verifying; ``limit`` in characters. Raises ``malformed``, MESSAGE_TOO_LARGE, TOKEN_TYPE_WRONG."""
    header, payload, signature, signing_input = _segments(token, malformed, limit)
    alg, kid = _parse_header(header, typ, malformed)
    return Unverified(alg, kid, *_contents(payload, signature, signing_input, malformed))


def parse_keyed(
    token: str, typ: str, *, malformed: Reason, known: Mapping[bytes, HolderKey]
) -> tuple[Unverified, HolderKey]:
    """Parse a JWS that carries its own key, without verifying; ``kid`` is empty. Raises ``malformed``.

    Such a signature says only that somebody holds the key: the caller compares thumbprints. ``known``: by header bytes.
    """
    header, payload, signature, signing_input = _segments(token, malformed, MAX_TOKEN_CHARS)
    try:
        key = known.get(header) or _parse_keyed_header(header, typ)
    except ValueError as error:
        raise _malformed("header", malformed) from error
    return Unverified(key.alg, "", *_contents(payload, signature, signing_input, malformed)), key


def _segments(token: str, malformed: Reason, limit: int) -> tuple[bytes, bytes, bytes, bytes]:
    """Header, payload, signature, and what is signed. Raises ``malformed`` or MESSAGE_TOO_LARGE."""
    if len(token) > limit:
        raise TiergateError(Reason.MESSAGE_TOO_LARGE, "token")
    try:
        signing_input, _, signature = token.encode("ascii").rpartition(b".")
    except UnicodeEncodeError as error:
        raise _malformed("not ASCII", malformed) from error
    header, dot, payload = signing_input.partition(b".")
    if not dot or b"." in payload:
        raise _malformed("not three segments", malformed)
    return header, payload, signature, signing_input


def _contents(
    payload: bytes, signature: bytes, signing_input: bytes, malformed: Reason
) -> tuple[dict[str, Any], bytes, bytes]:
    """Claims, what is signed, and the signature."""
    try:
        claims = strict_object(decode_segment(payload))
        raw_signature = decode_segment(signature)
    except ValueError as error:
        raise _malformed("payload or signature", malformed) from error
    return claims, signing_input, raw_signature


def verify(parsed: Unverified, ring: KeyRing, *, invalid: Reason = Reason.TOKEN_SIGNATURE_INVALID) -> dict[str, Any]:
    """Return the claims if the signature verifies under the ring's key.

    Raises TOKEN_KEY_UNKNOWN, TOKEN_ALGORITHM_WRONG or ``invalid``.
    """
    alg, check = ring.get(parsed.kid)
    return verify_with(parsed, alg, check, invalid=invalid)


def verify_with(parsed: Unverified, alg: Algorithm, check: Verify, *, invalid: Reason) -> dict[str, Any]:
    """The same under one key, that of :func:`parse_keyed` or one known from elsewhere."""
    if parsed.alg != alg:
        raise TiergateError(Reason.TOKEN_ALGORITHM_WRONG, "header and key differ")
    try:
        check(parsed.signature, parsed.signing_input)
    except InvalidSignature as error:
        raise TiergateError(invalid, "signature") from error
    return parsed.claims


def header_segment(alg: Algorithm, kid: str, typ: str) -> str:
    """The header of every token that :func:`issue` makes with one key: it tells which key signed a token of ours."""
    return b64url(json.dumps({"alg": alg, "kid": kid, "typ": typ}, separators=(",", ":")).encode())


def payload_segment(claims: Mapping[str, Any]) -> str:
    """Claims as they are signed. ``claims`` holds JSON values without floats."""
    return b64url(json.dumps(claims, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode())


def sign_payload(key: PrivateKey, kid: str, typ: str, payload: str) -> str:
    """A token over a payload segment."""
    return _signed(key, header_segment(algorithm_of(key), kid, typ), payload)


def issue(key: PrivateKey, kid: str, typ: str, claims: Mapping[str, Any]) -> str:
    """Sign claims. ``claims`` holds JSON values without floats."""
    return sign_payload(key, kid, typ, payload_segment(claims))


def issue_keyed(key: PrivateKey, typ: str, claims: Mapping[str, Any]) -> str:
    """The same with the public key in the header."""
    head = {"alg": algorithm_of(key), "jwk": public_jwk(key), "typ": typ}
    return _signed(key, b64url(json.dumps(head, separators=(",", ":")).encode()), payload_segment(claims))


def _signed(key: PrivateKey, header: str, payload: str) -> str:
    signing_input = f"{header}.{payload}"
    return f"{signing_input}.{b64url(sign(key, signing_input.encode()))}"


class Claims:
    """Typed reading of a claims object: every member is taken once, and nothing may remain.

    Each reader raises the given malformed reason, so that a stray member, a missing one or one of another type are
    the same clear error.
    """

    __slots__ = ("_members", "_reason")

    def __init__(self, members: Mapping[str, Any], reason: Reason) -> None:
        self._members = dict(members)
        self._reason = reason

    def _fail(self, name: str) -> NoReturn:
        raise TiergateError(self._reason, f"claim {name}")

    def text(self, name: str, limit: int = 128) -> str:
        """A non-empty string of at most ``limit`` characters."""
        value = self._members.pop(name, None)
        if not isinstance(value, str) or not 0 < len(value) <= limit:
            self._fail(name)
        return value

    def integer(self, name: str, low: int = 0, high: int = 2**53 - 1) -> int:
        """An integer in ``[low, high]``; booleans are not integers here."""
        value = self._members.pop(name, None)
        if type(value) is not int or not low <= value <= high:
            self._fail(name)
        return value

    def optional_integer(self, name: str, low: int, high: int) -> int | None:
        """The same, or None when the member is absent."""
        return self.integer(name, low, high) if name in self._members else None

    def optional_text(self, name: str, limit: int = 128) -> str | None:
        """A string, or None when the member is absent."""
        return self.text(name, limit) if name in self._members else None

    def has(self, name: str) -> bool:
        """Whether the member is there and nobody has taken it."""
        return name in self._members

    def take(self, name: str) -> Any:
        """Any value, for the caller to check."""
        if name not in self._members:
            self._fail(name)
        return self._members.pop(name)

    def done(self) -> None:
        """Refuse members that nobody has taken."""
        for name in self._members:
            self._fail(name if name.isascii() and len(name) <= 32 else "unknown")
