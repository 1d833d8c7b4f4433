"""Conformance passports: as text that nobody signed, and as claims that the right key signed."""

from __future__ import annotations

import json
from collections.abc import Iterator

from gateway.conformance import passport
from gateway.crypto import jws, keys
from gateway.crypto.keys import b64url, public_jwk, thumbprint
from tests.fuzz import world
from tests.fuzz.harness import Harness, text_of

_CLAIMS = {
    "iss": "runner",
    "sub": world.CITY,
    "implementation": "ours",
    "kit": 1,
    "checks": "ab" * 32,
    "results": "cd" * 32,
    "passed": 100,
    "not_applicable": ["error.retry"],
    "iat": world.NOW,
    "exp": world.NOW + 86_400,
}


def _key() -> keys.PrivateKey:
    return world.key("passport")


def _read(text: str) -> passport.Passport:
    return passport.read_passport(text, _key().public_key(), now_s=world.NOW)


def _text(data: bytes) -> bool:
    _read(text_of(data))
    return True


def _claims(payload: bytes) -> bool:
    kid = thumbprint(public_jwk(_key()))
    head = json.dumps({"alg": keys.algorithm_of(_key()), "kid": kid, "typ": passport.TYP}).encode()
    signed = f"{b64url(head)}.{b64url(payload)}"
    found = _read(f"{signed}.{b64url(keys.sign(_key(), signed.encode()))}")
    assert [found.runner, found.city, found.passed] == [json.loads(payload)[name] for name in ("iss", "sub", "passed")]
    return True


def _seeds_of_text() -> Iterator[bytes]:
    yield jws.issue(_key(), thumbprint(public_jwk(_key())), passport.TYP, _CLAIMS).encode()


HARNESSES = (
    Harness("passport", (passport.read_passport,), _text, _seeds_of_text),
    Harness("passport-claims", (passport.read_passport,), _claims, lambda: iter([json.dumps(_CLAIMS).encode()])),
)
