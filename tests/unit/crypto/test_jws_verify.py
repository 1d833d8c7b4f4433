from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from gateway.crypto import jws
from gateway.crypto.consent import TYP
from gateway.crypto.keys import Algorithm, b64url
from gateway.errors import Reason, TiergateError
from tests.unit.crypto.samples import ALGORITHMS, CITY_KEYS, GONE, KID, changed, compact, header, refuses, ring

CLAIMS = {"name": "value", "number": 7}
GOOD = compact(header(), CLAIMS)
HEAD, PAYLOAD, SIGNATURE = GOOD.split(".")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_what_is_issued_verifies(alg: Algorithm) -> None:
    token = jws.issue(CITY_KEYS[alg], KID, TYP, {"text": "茉莉分", "number": 2**53 - 1})
    claims = jws.verify(jws.parse(token, TYP), ring(CITY_KEYS[alg], "consent", KID))
    assert claims == {"text": "茉莉分", "number": 2**53 - 1}


@pytest.mark.parametrize(
    "alg", ["none", "None", "nOnE", "HS256", "RS256", "ES384", "EdDSA", "Ed25519", "es256", "", "ES256 "]
)
def test_the_algorithm_is_the_keys_and_no_other(alg: str) -> None:
    parsed = jws.parse(compact(header(alg=alg), CLAIMS), TYP)
    with refuses(Reason.TOKEN_ALGORITHM_WRONG):
        jws.verify(parsed, ring(CITY_KEYS["ES256"], "consent", KID))


def test_alg_none_without_a_signature_is_refused() -> None:
    token = compact(header(alg="none"), CLAIMS).rpartition(".")[0] + "."
    with refuses(Reason.TOKEN_ALGORITHM_WRONG):
        jws.verify(jws.parse(token, TYP), ring(CITY_KEYS["ES256"], "consent", KID))


def test_an_es256_header_over_an_eddsa_key_is_refused() -> None:
    token = compact(header("ES256"), CLAIMS, CITY_KEYS["EdDSA"])
    with refuses(Reason.TOKEN_ALGORITHM_WRONG):
        jws.verify(jws.parse(token, TYP), ring(CITY_KEYS["EdDSA"], "consent", KID))


@pytest.mark.parametrize(
    ("encoding", "form"),
    [
        (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        (serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint),
    ],
)
@pytest.mark.parametrize("alg", ["HS256", "ES256"])
def test_hmac_with_the_public_key_as_secret_is_refused(
    alg: str, encoding: serialization.Encoding, form: serialization.PublicFormat
) -> None:
    secret = CITY_KEYS["ES256"].public_key().public_bytes(encoding, form)
    signing_input = compact(header(alg=alg), CLAIMS).rpartition(".")[0]
    mac = hmac.new(secret, signing_input.encode(), hashlib.sha256).digest()
    parsed = jws.parse(f"{signing_input}.{b64url(mac)}", TYP)
    with refuses(Reason.TOKEN_ALGORITHM_WRONG if alg == "HS256" else Reason.TOKEN_SIGNATURE_INVALID):
        jws.verify(parsed, ring(CITY_KEYS["ES256"], "consent", KID))


@pytest.mark.parametrize(
    "kid",
    [
        "",
        "unknown",
        KID + " ",
        KID + "\0",
        KID.upper(),
        "../../etc/passwd",
        "' OR 1=1 --",
        "|id",
        "/dev/null",
        "茉莉",
        "\ud800",
        "k" * 2000,
    ],
)
def test_a_key_id_that_is_not_in_the_ring_is_unknown(kid: str) -> None:
    parsed = jws.parse(compact(header(kid=kid), CLAIMS), TYP)
    with pytest.raises(TiergateError) as caught:
        jws.verify(parsed, ring(CITY_KEYS["ES256"], "consent", KID))
    assert caught.value.reason is Reason.TOKEN_KEY_UNKNOWN
    assert not kid or kid not in caught.value.detail


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(f"{HEAD}.{PAYLOAD}.", id="no signature"),
        pytest.param(f"{HEAD}.{PAYLOAD}.{b64url(bytes(64))}", id="all zero"),
        pytest.param(f"{HEAD}.{PAYLOAD}.{SIGNATURE[:84]}", id="63 bytes"),
        pytest.param(f"{HEAD}.{PAYLOAD}.{b64url(bytes(65))}", id="65 bytes"),
        pytest.param(f"{HEAD}.{b64url(b'{}')}.{SIGNATURE}", id="other payload"),
        pytest.param(compact(header(), CLAIMS, CITY_KEYS["EdDSA"]), id="other key"),
    ],
)
def test_a_wrong_signature_is_refused(token: str) -> None:
    with refuses(Reason.TOKEN_SIGNATURE_INVALID):
        jws.verify(jws.parse(token, TYP), ring(CITY_KEYS["ES256"], "consent", KID))


def _claims(**changes: Any) -> jws.Claims:
    return jws.Claims(changed({"text": "abc", "number": 3}, **changes), Reason.EVENT_INVALID)


@pytest.mark.parametrize("value", [GONE, None, "", "x" * 129, 7, True, ["abc"], {"a": "b"}])
def test_a_text_claim_is_a_string_within_its_limit(value: Any) -> None:
    assert _claims().text("text") == "abc"
    with refuses(Reason.EVENT_INVALID):
        _claims(text=value).text("text")


@pytest.mark.parametrize("value", [GONE, None, "3", True, False, 0, 6, -1, 2**64, [3]])
def test_an_integer_claim_is_an_integer_within_its_range(value: Any) -> None:
    assert [_claims(number=edge).integer("number", 1, 5) for edge in (1, 5)] == [1, 5]
    with refuses(Reason.EVENT_INVALID):
        _claims(number=value).integer("number", 1, 5)


def test_an_optional_claim_may_be_absent_but_not_null() -> None:
    assert _claims().optional_text("other") is None
    assert _claims().optional_integer("other", 0, 1) is None
    with refuses(Reason.EVENT_INVALID):
        _claims(other=None).optional_text("other")
    with refuses(Reason.EVENT_INVALID):
        _claims(other=None).optional_integer("other", 0, 1)


def test_a_claim_is_taken_once_and_none_may_remain() -> None:
    claims = _claims()
    with refuses(Reason.EVENT_INVALID):
        claims.done()
    assert claims.take("text") == "abc"
    with refuses(Reason.EVENT_INVALID):
        claims.take("text")
    claims.integer("number")
    claims.done()


@pytest.mark.parametrize("name", ["x" * 33, "秘密"])
def test_the_detail_of_a_stray_claim_repeats_no_strange_name(name: str) -> None:
    with pytest.raises(TiergateError) as caught:
        jws.Claims({name: 1}, Reason.EVENT_INVALID).done()
    assert name not in caught.value.detail
