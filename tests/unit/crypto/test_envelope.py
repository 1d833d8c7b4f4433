from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.crypto.envelope import (
    BUNDLE_TYPE,
    DIRECTORY_TYPE,
    MAX_ENVELOPE_BYTES,
    PAYLOAD_TYPES,
    Authority,
    Root,
    pae,
    sign,
    verify,
)
from gateway.crypto.keys import Algorithm, PrivateKey, generate_signing_key, public_jwk
from gateway.crypto.root_files import MAX_ROOT_BYTES, read_root
from gateway.crypto.signed_schema import MAX_SIGNATURES
from gateway.errors import ProblemsError, Reason, TiergateError

PAYLOAD = '{"名":1}'.encode()
ONE, TWO, THREE = (generate_signing_key(alg) for alg in ("EdDSA", "ES256", "EdDSA"))


def authority(name: str, key: PrivateKey, types: frozenset[str] = PAYLOAD_TYPES) -> Authority:
    return Authority(name, public_jwk(key), types)


def root(*authorities: Authority, threshold: int = 1) -> Root:
    return Root(authorities or (authority("one", ONE),), dict.fromkeys(PAYLOAD_TYPES, threshold))


def refused(trusted: Root, envelope: bytes, payload_type: str = BUNDLE_TYPE) -> str:
    with pytest.raises(TiergateError) as caught:
        verify(trusted, payload_type, envelope)
    assert caught.value.reason is Reason.SIGNATURE_INVALID
    return caught.value.detail


def test_the_encoding_is_that_of_the_specification() -> None:
    # the example of the DSSE v1 protocol document
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
@pytest.mark.parametrize("payload", [PAYLOAD, b"", b"\x00\xff", b" " * 10**6], ids=["text", "none", "bytes", "long"])
def test_a_signed_payload_comes_back_byte_for_byte(alg: Algorithm, payload: bytes) -> None:
    key = generate_signing_key(alg)
    assert verify(root(authority("a", key)), BUNDLE_TYPE, sign(BUNDLE_TYPE, payload, [key])) == payload


def test_a_signature_by_a_stranger() -> None:
    assert refused(root(), sign(BUNDLE_TYPE, PAYLOAD, [TWO])) == "0 of the root's authorities signed; 1 are needed"


def test_a_stranger_beside_an_authority_is_passed_over() -> None:
    assert verify(root(), BUNDLE_TYPE, sign(BUNDLE_TYPE, PAYLOAD, [TWO, ONE])) == PAYLOAD


def test_a_directory_does_not_pass_as_a_bundle() -> None:
    refused(root(), sign(DIRECTORY_TYPE, PAYLOAD, [ONE]))


def test_an_authority_signs_only_what_it_may() -> None:
    trusted = root(authority("one", ONE, frozenset({DIRECTORY_TYPE})), authority("two", TWO))
    refused(trusted, sign(BUNDLE_TYPE, PAYLOAD, [ONE]))
    assert verify(trusted, DIRECTORY_TYPE, sign(DIRECTORY_TYPE, PAYLOAD, [ONE])) == PAYLOAD


def test_two_of_three() -> None:
    trusted = root(authority("one", ONE), authority("two", TWO), authority("three", THREE), threshold=2)
    for pair in ([ONE, TWO], [TWO, THREE], [THREE, ONE], [ONE, TWO, THREE]):
        assert verify(trusted, BUNDLE_TYPE, sign(BUNDLE_TYPE, PAYLOAD, pair)) == PAYLOAD
    refused(trusted, sign(BUNDLE_TYPE, PAYLOAD, [TWO]))


def test_two_signatures_by_one_key_count_once() -> None:
    trusted = root(authority("one", ONE), authority("two", TWO), threshold=2)
    refused(trusted, sign(BUNDLE_TYPE, PAYLOAD, [ONE, ONE]))


def test_two_keys_of_one_authority_count_once() -> None:
    trusted = root(authority("one", ONE), authority("one", THREE), authority("two", TWO), threshold=2)
    refused(trusted, sign(BUNDLE_TYPE, PAYLOAD, [ONE, THREE]))
    assert verify(trusted, BUNDLE_TYPE, sign(BUNDLE_TYPE, PAYLOAD, [THREE, TWO])) == PAYLOAD


def test_an_empty_root_refuses() -> None:
    refused(Root((), {BUNDLE_TYPE: 1}), sign(BUNDLE_TYPE, PAYLOAD, [ONE]))


@pytest.mark.parametrize("threshold", [0, -1])
def test_a_threshold_below_one_refuses(threshold: int) -> None:
    refused(root(threshold=threshold), sign(BUNDLE_TYPE, PAYLOAD, [ONE]))


def test_a_root_without_a_threshold_for_the_type_refuses() -> None:
    refused(Root((authority("one", ONE),), {DIRECTORY_TYPE: 1}), sign(BUNDLE_TYPE, PAYLOAD, [ONE]))


def test_an_unknown_payload_type_refuses_even_if_the_root_names_it() -> None:
    trusted = Root((Authority("one", public_jwk(ONE), frozenset({"text/plain"})),), {"text/plain": 1})
    refused(trusted, sign(BUNDLE_TYPE, PAYLOAD, [ONE]), "text/plain")


@pytest.mark.parametrize(("kind", "keys"), [("text/plain", [ONE]), (BUNDLE_TYPE, []), (BUNDLE_TYPE, [ONE] * 33)])
def test_what_could_not_be_verified_is_not_signed(kind: str, keys: list[PrivateKey]) -> None:
    with pytest.raises(TiergateError) as caught:
        sign(kind, PAYLOAD, keys)
    assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_what_is_too_large_is_not_signed() -> None:
    with pytest.raises(TiergateError) as caught:
        sign(BUNDLE_TYPE, b"x" * MAX_ENVELOPE_BYTES, [ONE])
    assert caught.value.reason is Reason.SIGNATURE_INVALID


def _set(**members: object) -> Callable[[Any], object]:
    return lambda envelope: envelope.update(members)


def _signature(**members: object) -> Callable[[Any], object]:
    return lambda envelope: envelope["signatures"][0].update(members)


MALFORMED: dict[str, Callable[[Any], object]] = {
    "another payload": _set(payload=b64encode(PAYLOAD + b" ").decode()),
    "another payload type": _set(payloadType=DIRECTORY_TYPE),
    "payload not text": _set(payload=7),
    "payload not base64": _set(payload="%%%"),
    "payload not ascii": _set(payload="名"),
    "payload without padding": _set(payload="YQ"),
    "payload in base64url": _set(payload="-_-_"),
    "payload with stray bits": _set(payload="YR=="),
    "payload with a line break": _set(payload="YQ==\n"),
    "an unknown member": _set(colour=1),
    "no signatures": _set(signatures=[]),
    "signatures not a list": _set(signatures={}),
    "too many signatures": lambda e: e.update(signatures=e["signatures"] * (MAX_SIGNATURES + 1)),
    "signature not an object": _set(signatures=["x"]),
    "signature with an unknown member": _signature(cert="x"),
    "signature not text": _signature(sig=None),
    "signature empty": _signature(sig=""),
    "signature of zeros": _signature(sig=b64encode(bytes(64)).decode()),
    "signature truncated": lambda e: _signature(sig=e["signatures"][0]["sig"][:84])(e),
    "key id not text": _signature(keyid=1),
    "key id of another": _signature(keyid="x"),
    "no payload": lambda e: e.pop("payload"),
    "no payload type": lambda e: e.pop("payloadType"),
    "no signatures member": lambda e: e.pop("signatures"),
    "no key id": lambda e: e["signatures"][0].pop("keyid"),
}


@pytest.mark.parametrize("key", [ONE, TWO], ids=["EdDSA", "ES256"])
@pytest.mark.parametrize("change", MALFORMED.values(), ids=MALFORMED)
def test_a_changed_envelope(change: Callable[[Any], object], key: PrivateKey) -> None:
    document = json.loads(sign(BUNDLE_TYPE, PAYLOAD, [key]))
    change(document)
    refused(root(authority("a", key)), json.dumps(document).encode())


def test_padding_within_a_payload() -> None:
    # a reader that decodes piece by piece would take it: each of the two is a whole text of its own
    one, two = b" " * (3 * 2**16 - 2), b"rest"
    document = json.loads(sign(BUNDLE_TYPE, one + two, [ONE]))
    document["payload"] = b64encode(one).decode() + b64encode(two).decode()
    assert refused(root(), json.dumps(document).encode()) == "malformed envelope"


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000], ids=range(6))
def test_garbage(garbage: bytes) -> None:
    assert refused(root(), garbage) == "malformed envelope"


def test_a_doubled_member() -> None:
    envelope = sign(BUNDLE_TYPE, PAYLOAD, [ONE])
    assert refused(root(), envelope.replace(b"{", b'{"payloadType":"x",', 1)) == "malformed envelope"


def test_an_oversized_envelope() -> None:
    assert "larger" in refused(root(), b" " * (MAX_ENVELOPE_BYTES + 1))


def test_every_flipped_bit_of_a_signature_is_noticed() -> None:
    document = json.loads(sign(BUNDLE_TYPE, PAYLOAD, [ONE]))
    good = b64decode(document["signatures"][0]["sig"])
    for place in range(len(good) * 8):
        bad = bytearray(good)
        bad[place // 8] ^= 1 << place % 8
        document["signatures"][0]["sig"] = b64encode(bytes(bad)).decode()
        refused(root(), json.dumps(document).encode())


def test_a_root_file_is_read_back(tmp_path: Path) -> None:
    trusted = Root(
        (authority("one", ONE), authority("two", TWO, frozenset({DIRECTORY_TYPE}))), {BUNDLE_TYPE: 1, DIRECTORY_TYPE: 2}
    )
    (tmp_path / "root.json").write_bytes(trusted.to_json())
    assert read_root(tmp_path / "root.json") == trusted


def root_problem(path: Path) -> tuple[str, str]:
    with pytest.raises(ProblemsError) as caught:
        read_root(path)
    assert caught.value.reason is Reason.CONFIG_INVALID
    problem = caught.value.problems[0]
    assert problem.file == path.name
    return problem.path, problem.message


def _first(**members: object) -> Callable[[Any], object]:
    return lambda document: document["authorities"][0].update(members)


P384 = ec.generate_private_key(ec.SECP384R1()).public_key().public_numbers()
BAD_ROOTS: dict[str, tuple[Callable[[Any], object], str]] = {
    "another format": (_set(format="x"), "format"),
    "an unknown member": (_set(colour=1), "colour"),
    "no authorities": (_set(authorities=[]), "authorities"),
    "authorities not a list": (_set(authorities={}), "authorities"),
    "thresholds not an object": (_set(thresholds=[]), "thresholds"),
    "no thresholds": (_set(thresholds={}), "thresholds"),
    "zero threshold": (_set(thresholds={BUNDLE_TYPE: 0}), f"thresholds.{BUNDLE_TYPE}"),
    "true as threshold": (_set(thresholds={BUNDLE_TYPE: True}), f"thresholds.{BUNDLE_TYPE}"),
    "text as threshold": (_set(thresholds={BUNDLE_TYPE: "1"}), f"thresholds.{BUNDLE_TYPE}"),
    "threshold out of reach": (_set(thresholds={BUNDLE_TYPE: 2}), f"thresholds.{BUNDLE_TYPE}"),
    "threshold of an unknown type": (_set(thresholds={"text/plain": 1}), "thresholds.text/plain"),
    "authority not an object": (_set(authorities=["x"]), "authorities.0"),
    "authority with an unknown member": (_first(colour=1), "authorities.0.colour"),
    "authority without a name": (_first(name=""), "authorities.0.name"),
    "authority with a number as name": (_first(name=1), "authorities.0.name"),
    "authority for nothing": (_first(payload_types=[]), "authorities.0.payload_types"),
    "authority for an unknown type": (_first(payload_types=["text/plain"]), "authorities.0.payload_types.0"),
    "authority for a type that is no text": (_first(payload_types=[{}]), "authorities.0.payload_types.0"),
    "key id of another key": (_first(keyid="x"), "authorities.0.keyid"),
    "key not an object": (_first(jwk="x"), "authorities.0.jwk"),
    "key with a number": (_first(jwk={"kty": 1}), "authorities.0.jwk.kty"),
    "key of another curve": (
        _first(jwk={"kty": "EC", "crv": "P-384", "x": str(P384.x), "y": "1"}),
        "authorities.0.jwk",
    ),
    "key with a private part": (lambda d: d["authorities"][0]["jwk"].update(d="x"), "authorities.0.jwk"),
    "a key listed twice": (lambda d: d["authorities"].append({**d["authorities"][0], "name": "two"}), "authorities"),
}


@pytest.mark.parametrize(("change", "path"), BAD_ROOTS.values(), ids=BAD_ROOTS)
def test_a_malformed_root_file(tmp_path: Path, change: Callable[[Any], object], path: str) -> None:
    document = json.loads(root().to_json())
    change(document)
    (tmp_path / "root.json").write_text(json.dumps(document))
    assert root_problem(tmp_path / "root.json")[0] == path


def test_every_problem_of_a_root_file_is_told_at_once(tmp_path: Path) -> None:
    document = json.loads(root().to_json())
    document |= {"version": 0, "colour": 1, "thresholds": {"text/plain": 1}}
    document["authorities"][0]["name"] = "\ud800"
    (tmp_path / "root.json").write_text(json.dumps(document))
    with pytest.raises(ProblemsError) as caught:
        read_root(tmp_path / "root.json")
    paths = {item.path for item in caught.value.problems}
    assert paths == {"version", "colour", "thresholds.text/plain", "authorities.0.name"}
    assert str(caught.value).encode("utf-8")


@pytest.mark.parametrize("garbage", [b"", b"[]", b"\xff", b'{"format":1,"format":1}', b"[" * 60_000], ids=range(5))
def test_a_root_file_that_is_not_json(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "root.json").write_bytes(garbage)
    assert "JSON" in root_problem(tmp_path / "root.json")[1]


def test_an_oversized_root_file(tmp_path: Path) -> None:
    (tmp_path / "root.json").write_bytes(b" " * (MAX_ROOT_BYTES + 1))
    assert "larger" in root_problem(tmp_path / "root.json")[1]


def test_a_missing_root_file(tmp_path: Path) -> None:
    assert "cannot be read" in root_problem(tmp_path / "root.json")[1]
