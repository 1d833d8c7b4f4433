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

FOLDER_FILES = 4
ED25519_CASES = 151
# of all 401 and 26 cases, those that verify under our profile: two ES256 signatures over "foo"
EXPECTED = {"json_web_signature_test.json": (401, [18, 378]), "json_web_key_test.json": (26, [])}
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
    number, accepted = EXPECTED[name]
    assert len(results) == len(cases) == number
    assert [case_id for case_id, reason in results.items() if reason is None] == accepted
    assert all(case["result"] == "valid" for _, case in cases if results[case["tcId"]] is None)


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
    assert count == ED25519_CASES
    assert len(list((vectors_dir() / "wycheproof").iterdir())) == FOLDER_FILES
