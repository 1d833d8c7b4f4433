"""Project Wycheproof against our keys and our verification path.

A published key becomes a directory key as ours are: its algorithm stated, its JWK with the required members alone. What
our profile does not know (RSA, HMAC, other curves, encryption keys, a stated algorithm that is not the key's) is
refused when the ring is built, also where Wycheproof calls a signature "valid" or marks a case as ambiguous.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature

from gateway.crypto import attestation, consent, event, jws, proof
from gateway.crypto.keys import KeyRing, parse_jwk, verifier
from gateway.domain.directory import DirectoryKey
from gateway.errors import Reason, TiergateError
from tests.vectors.conftest import load, vectors_dir

CASES = {"ed25519_test.json": 151, "json_web_key_test.json": 26, "json_web_signature_test.json": 401}
"""Every file of the folder but its licence, with the number of its cases. All cases are run, none is skipped."""
# those that verify under our profile: two ES256 signatures over "foo"
EXPECTED: dict[str, list[int]] = {"json_web_signature_test.json": [18, 378], "json_web_key_test.json": []}
# "acceptable" is Wycheproof's word for a case on which implementations may differ; at present it marks none so
ACCEPTABLE: dict[str, dict[int, str]] = {name: {} for name in CASES}
# What is "valid" and refused here all the same, by reason; every such case stands here.
_HMAC, _RSA, _P521 = (
    "HMAC: whoever verifies could sign",
    "RSA: not one of the two algorithms of a directory key",
    "P-521: not one of the two algorithms of a directory key",
)
_STRANGER = "HMAC, and a character that is not base64url"
REFUSED_THOUGH_VALID: dict[str, dict[str, list[int]]] = {
    "json_web_signature_test.json": {
        _HMAC: [1, 348, 352, 357, 358, 359, 376, 377],
        _STRANGER: [372, 373],
        _RSA: [33, *range(259, 276), 287, 288, *range(320, 324), *range(325, 329), 345, 346, 349, 350],
        _P521: [347, 351],
    },
    "json_web_key_test.json": {_HMAC: [2, 13, 14, 15], _RSA: [5]},
}
# invalid for the key's declared use, which our directory states by refusing the key altogether
KEY_REFUSED = {"json_web_signature_test.json": {354, 356}, "json_web_key_test.json": {19, 20, 21, 22, 23, 24}}


def _cases(name: str) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]:
    """The group's published keys (the public ones where it has them) and one case."""
    for group in load(f"wycheproof/{name}")["testGroups"]:
        published = group.get("public") or group["private"]
        for case in group["tests"]:
            yield published.get("keys", [published]), case


def _directory_key(published: dict[str, Any]) -> DirectoryKey:
    jwk = {name: value for name, value in published.items() if name not in {"alg", "kid"}}
    if jwk.get("use") == "sig":
        del jwk["use"]
    return DirectoryKey(published["kid"], "consent", published.get("alg", "ES256"), jwk)


def _verified(text: str, keys: list[dict[str, Any]]) -> None:
    """Our path from the ring on, without our profile's demand for ``typ`` and for claims."""
    ring = KeyRing("consent", [_directory_key(key) for key in keys])
    signing_input, _, signature = text.encode("ascii").rpartition(b".")
    head, _, payload = signing_input.partition(b".")
    try:
        members = jws.strict_object(jws.decode_segment(head))
        jws.decode_segment(payload)
        raw = jws.decode_segment(signature)
    except ValueError as error:
        raise TiergateError(Reason.TOKEN_MALFORMED, "segments") from error
    if set(members) != {"alg", "kid"}:
        raise TiergateError(Reason.TOKEN_MALFORMED, "header members")
    jws.verify(jws.Unverified(members["alg"], members["kid"], {}, signing_input, raw), ring)


def _reason(text: Any, keys: list[dict[str, Any]]) -> Reason | None:
    if not isinstance(text, str):  # JSON serialisation: there is no such text on our wire
        return Reason.TOKEN_MALFORMED
    try:
        _verified(text, keys)
    except TiergateError as error:
        return error.reason
    return None


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_signatures(name: str) -> None:
    cases = list(_cases(name))
    results = {case["tcId"]: _reason(case["jws"], keys) for keys, case in cases}
    assert len(results) == len(cases) == CASES[name]
    assert [case_id for case_id, reason in results.items() if reason is None] == EXPECTED[name]
    assert all(case["result"] == "valid" for _, case in cases if results[case["tcId"]] is None)
    refused = {case["tcId"] for _, case in cases if case["result"] == "valid" and results[case["tcId"]] is not None}
    assert sorted(refused) == sorted(number for listed in REFUSED_THOUGH_VALID[name].values() for number in listed)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_reasons_for_refusing_what_is_valid_are_true(name: str) -> None:
    kinds = {case["tcId"]: {(key["kty"], key.get("crv")) for key in keys} for keys, case in _cases(name)}
    texts = {case["tcId"]: case["jws"] for _, case in _cases(name)}
    true_of = {_HMAC: {("oct", None)}, _STRANGER: {("oct", None)}, _RSA: {("RSA", None)}, _P521: {("EC", "P-521")}}
    for why, listed in REFUSED_THOUGH_VALID[name].items():
        for number in listed:
            assert kinds[number] == true_of[why], number
            assert ("?" in texts[number]) == (why == _STRANGER), number


def test_every_file_of_the_folder_is_used_and_whole() -> None:
    """A file that is added upstream has to be decided on here."""
    assert {path.name for path in (vectors_dir() / "wycheproof").iterdir()} == {*CASES, "LICENSE"}
    for name, number in CASES.items():
        document = load(f"wycheproof/{name}")
        cases = [case for group in document["testGroups"] for case in group["tests"]]
        assert len(cases) == document["numberOfTests"] == number
        assert {case["tcId"] for case in cases if case["result"] not in {"valid", "invalid"}} == set(ACCEPTABLE[name])


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_keys_outside_the_profile_never_enter_a_ring(name: str) -> None:
    refused = set()
    for keys, case in _cases(name):
        ours = all((key["kty"], key.get("crv"), key.get("alg")) == ("EC", "P-256", "ES256") for key in keys)
        reason = _reason(case["jws"], keys)
        if not ours and isinstance(case["jws"], str):
            assert reason is Reason.KEY_INVALID
        if reason is Reason.KEY_INVALID and all(key["kid"] == "kid-ec-sign" for key in keys):
            refused.add(case["tcId"])
    assert refused == KEY_REFUSED[name]


@pytest.mark.parametrize("name", sorted(EXPECTED))
@pytest.mark.parametrize("typ", [consent.TYP, proof.TYP, attestation.TYP, event.TYP])
def test_no_case_is_one_of_our_tokens(name: str, typ: str) -> None:
    """Not one names its type, so not one is parsed at all, valid or not."""
    for _, case in _cases(name):
        with pytest.raises(TiergateError) as caught:
            jws.parse(str(case["jws"]), typ)
        assert caught.value.reason in {Reason.TOKEN_MALFORMED, Reason.MESSAGE_TOO_LARGE}


def test_ed25519() -> None:
    count = 0
    for group in load("wycheproof/ed25519_test.json")["testGroups"]:
        jwk = {name: value for name, value in group["publicKeyJwk"].items() if name in {"kty", "crv", "x"}}
        check = verifier(parse_jwk(jwk))
        for case in group["tests"]:
            signature, message = bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"])
            if case["result"] == "valid":
                check(signature, message)
            else:
                with pytest.raises(InvalidSignature):
                    check(signature, message)
            count += 1
    assert count == CASES["ed25519_test.json"]
