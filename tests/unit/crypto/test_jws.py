from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.crypto import jws
from gateway.crypto.consent import TYP
from gateway.crypto.keys import b64url
from gateway.errors import Reason
from tests.unit.crypto.samples import CITY_KEYS, GONE, KID, compact, header, refuses, ring

CLAIMS = {"name": "value", "number": 7}
GOOD = compact(header(), CLAIMS)
HEAD, PAYLOAD, SIGNATURE = GOOD.split(".")


def _with_trailing_bits(segment: str) -> str:
    """The same bytes in another spelling: bits after the last byte are set."""
    assert len(segment) % 4
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = segment[:-1] + alphabet[alphabet.index(segment[-1]) + 1]
    padding = "=" * (-len(segment) % 4)
    assert base64.urlsafe_b64decode(other + padding) == base64.urlsafe_b64decode(segment + padding)
    return other


def test_a_good_token_is_parsed_and_verified() -> None:
    parsed = jws.parse(GOOD, TYP)
    assert (parsed.alg, parsed.kid, parsed.claims) == ("ES256", KID, CLAIMS)
    assert jws.verify(parsed, ring(CITY_KEYS["ES256"], "consent", KID)) == CLAIMS


def test_an_unverified_token_does_not_print_itself() -> None:
    assert repr(jws.parse(GOOD, TYP)) == "Unverified(...)"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("..", id="three empty segments"),
        pytest.param(HEAD, id="one segment"),
        pytest.param(f"{HEAD}.{PAYLOAD}", id="two segments"),
        pytest.param(f"{GOOD}.{SIGNATURE}", id="four segments"),
        pytest.param(f"{HEAD}.{PAYLOAD}...{SIGNATURE}", id="five segments, as of JWE"),
        pytest.param(f".{PAYLOAD}.{SIGNATURE}", id="no header"),
        pytest.param(f"{HEAD}..{SIGNATURE}", id="no payload"),
        pytest.param(f" {GOOD}", id="leading space"),
        pytest.param(f"{GOOD}\n", id="trailing newline"),
        pytest.param(f"{HEAD}\n.{PAYLOAD}.{SIGNATURE}", id="newline in the header"),
        pytest.param(f"{HEAD}.{PAYLOAD[:8]} {PAYLOAD[8:]}.{SIGNATURE}", id="space in the payload"),
        pytest.param(f"{HEAD}=.{PAYLOAD}.{SIGNATURE}", id="padded header"),
        pytest.param(f"{HEAD}.{PAYLOAD}.{SIGNATURE}==", id="padded signature"),
        pytest.param(f"{HEAD}.{PAYLOAD}.{SIGNATURE[:-1]}", id="truncated signature"),
        pytest.param(f"{HEAD}.{PAYLOAD}.+{SIGNATURE[1:]}", id="plus"),
        pytest.param(f"{HEAD}.{PAYLOAD}./{SIGNATURE[1:]}", id="slash"),
        pytest.param(f"{HEAD}.{PAYLOAD}.!{SIGNATURE[1:]}", id="exclamation mark"),
        pytest.param(f"{HEAD}.{PAYLOAD}.{SIGNATURE[:4]}!!!!{SIGNATURE[4:]}", id="whole group of strangers"),
        pytest.param(f"{HEAD}.{PAYLOAD}.{SIGNATURE[:4]}\n\n\n\n{SIGNATURE[4:]}", id="whole group of newlines"),
        pytest.param(f"{HEAD}.{PAYLOAD}.{SIGNATURE[:4]}===={SIGNATURE[4:]}", id="padding inside"),
        pytest.param(f"{HEAD}.{PAYLOAD}.{SIGNATURE[:-1]}é", id="non-ASCII"),
        pytest.param(f"{HEAD}.{PAYLOAD}.\ud800{SIGNATURE[1:]}", id="lone surrogate"),
        pytest.param(f"{HEAD}.{PAYLOAD}.{_with_trailing_bits(SIGNATURE)}", id="signature in another spelling"),
        pytest.param(f"{HEAD}.A.{SIGNATURE}", id="segment of one character"),
        pytest.param(f"{HEAD}%2E{PAYLOAD}%2E{SIGNATURE}", id="percent-encoded"),
        pytest.param(json.dumps({"payload": PAYLOAD, "protected": HEAD, "signature": SIGNATURE}), id="JSON form"),
    ],
)
def test_what_is_not_three_canonical_segments_is_malformed(token: str) -> None:
    with refuses(Reason.TOKEN_MALFORMED):
        jws.parse(token, TYP)


def test_a_payload_in_another_spelling_is_malformed() -> None:
    payload = b64url(b'{"a":1} ')
    jws.parse(f"{HEAD}.{payload}.{SIGNATURE}", TYP)
    with refuses(Reason.TOKEN_MALFORMED):
        jws.parse(f"{HEAD}.{_with_trailing_bits(payload)}.{SIGNATURE}", TYP)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(header(crit=["exp"]), id="crit"),
        pytest.param(header(jku="https://example.org/keys"), id="jku"),
        pytest.param(header(jwk={"kty": "OKP"}), id="jwk"),
        pytest.param(header(x5u="https://example.org/chain"), id="x5u"),
        pytest.param(header(x5c=["AAAA"]), id="x5c"),
        pytest.param(header(x5t="AAAA"), id="x5t"),
        pytest.param(header(b64=False, crit=["b64"]), id="b64"),
        pytest.param(header(zip="DEF"), id="zip"),
        pytest.param(header(cty="JWT"), id="cty"),
        pytest.param(header(extra="member"), id="extra member"),
        pytest.param(header(alg=GONE), id="no alg"),
        pytest.param(header(kid=GONE), id="no kid"),
        pytest.param(header(typ=GONE), id="no typ"),
        pytest.param(header(alg=7), id="alg a number"),
        pytest.param(header(kid=7), id="kid a number"),
        pytest.param(header(kid=None), id="kid null"),
        pytest.param(header(kid=[KID]), id="kid an array"),
        pytest.param(header(typ={"a": "b"}), id="typ an object"),
        pytest.param(b"{}", id="empty object"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'"text"', id="string"),
        pytest.param(b"null", id="null"),
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut short"),
        pytest.param(b'{"alg":"none","alg":"ES256","kid":"k","typ":"consent+jwt"}', id="doubled alg"),
        pytest.param(b'{"alg":"ES256","kid":"k","kid":"l","typ":"consent+jwt"}', id="doubled kid"),
        pytest.param(b'{"alg":"ES256","kid":"k","typ":"consent+jwt"}{}', id="two documents"),
        pytest.param(b'\xef\xbb\xbf{"alg":"ES256","kid":"k","typ":"consent+jwt"}', id="byte order mark"),
        pytest.param(b'{"alg":"ES256","kid":"\xff","typ":"consent+jwt"}', id="invalid UTF-8"),
        pytest.param('{"alg":"ES256","kid":"k","typ":"consent+jwt"}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b"{'alg':'ES256','kid':'k','typ':'consent+jwt'}", id="single quotes"),
    ],
)
def test_a_header_of_other_members_is_malformed(head: dict[str, Any] | bytes) -> None:
    for _ in range(2):  # a refused header must not be remembered as a good one
        with refuses(Reason.TOKEN_MALFORMED):
            jws.parse(compact(head, CLAIMS), TYP)


@pytest.mark.parametrize(
    "typ",
    [
        "",
        "JWT",
        "consent",
        "CONSENT+JWT",
        "application/consent+jwt",
        "tier-attestation+jwt",
        "consent+jwt ",
        "secevent+jwt",
    ],
)
def test_a_token_of_another_type_is_refused(typ: str) -> None:
    with refuses(Reason.TOKEN_TYPE_WRONG):
        jws.parse(compact(header(typ=typ), CLAIMS), TYP)


def test_a_remembered_header_is_still_of_its_own_type_alone() -> None:
    jws.parse(GOOD, TYP)
    with refuses(Reason.TOKEN_TYPE_WRONG):
        jws.parse(GOOD, "secevent+jwt")


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"[[]]", id="array of arrays"),
        pytest.param(b'"text"', id="string"),
        pytest.param(b"7", id="number"),
        pytest.param(b"true", id="boolean"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"a":1', id="cut short"),
        pytest.param(b'{"a":1}x', id="garbage behind"),
        pytest.param(b'{"a":1}{"a":1}', id="two documents"),
        pytest.param(b'{"a":1,}', id="trailing comma"),
        pytest.param(b'{"a":1,"a":1}', id="doubled member"),
        pytest.param(b'{"a":1,"\\u0061":2}', id="doubled member, escaped"),
        pytest.param(b'{"a":{"b":1,"b":2}}', id="doubled member inside"),
        pytest.param(b'{"a":[{"b":1,"b":2}]}', id="doubled member in an array"),
        pytest.param(b'{"a":1.0}', id="float"),
        pytest.param(b'{"a":1e3}', id="exponent"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":Infinity}', id="Infinity"),
        pytest.param(b'{"a":-Infinity}', id="-Infinity"),
        pytest.param(b'{"a":1e999}', id="float overflow"),
        pytest.param(b'{"a":01}', id="leading zero"),
        pytest.param(b'{"a":0x10}', id="hexadecimal"),
        pytest.param(b'{"a":"\xff"}', id="invalid UTF-8"),
        pytest.param(b'{"a":"\xc0\x80"}', id="overlong UTF-8"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="surrogate in UTF-8"),
        pytest.param(b'{"a":"\x00"}', id="control character"),
        pytest.param(b'\xef\xbb\xbf{"a":1}', id="byte order mark"),
        pytest.param('{"a":1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"a":' + b"[" * 1200 + b"]" * 1200 + b"}", id="nested deeply"),
        pytest.param(b'{"a":' * 450 + b"1" + b"}" * 449, id="nested objects, one not closed"),
    ],
)
def test_a_payload_that_is_not_one_strict_object_is_malformed(payload: bytes) -> None:
    with refuses(Reason.TOKEN_MALFORMED):
        jws.parse(compact(header(), payload), TYP)


def test_the_caller_names_what_malformed_means() -> None:
    with refuses(Reason.PROOF_MALFORMED):
        jws.parse("no token", TYP, malformed=Reason.PROOF_MALFORMED)


def test_an_integer_of_more_digits_than_python_takes_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="digits"):
        jws.strict_object(b'{"a":' + b"9" * 5000 + b"}")


def test_a_token_of_exactly_the_largest_size_is_read() -> None:
    room = jws.MAX_TOKEN_CHARS - len(f"{HEAD}..{SIGNATURE}")
    payload = json.dumps({"a": "x" * (room * 3 // 4 - len(json.dumps({"a": ""})))}).encode()
    token = f"{HEAD}.{b64url(payload)}.{SIGNATURE}"
    assert len(token) == jws.MAX_TOKEN_CHARS
    jws.parse(token, TYP)


@pytest.mark.parametrize("size", [jws.MAX_TOKEN_CHARS + 1, 10_000_000])
def test_a_larger_token_is_refused_unread(size: int) -> None:
    with refuses(Reason.MESSAGE_TOO_LARGE):
        jws.parse("a" * size, TYP)


def test_the_memory_of_headers_is_bounded() -> None:
    for number in range(jws._MAX_HEADERS + 10):
        jws.parse(f"{b64url(json.dumps(header(kid=str(number))).encode())}.{PAYLOAD}.{SIGNATURE}", TYP)
        assert len(jws._headers) <= jws._MAX_HEADERS


def test_a_long_header_is_not_remembered() -> None:
    before = dict(jws._headers)
    jws.parse(compact(header(kid="k" * 1000), CLAIMS), TYP)
    assert jws._headers == before
