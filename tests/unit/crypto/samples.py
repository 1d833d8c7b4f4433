"""Keys, claims and tokens that the tests of this folder start from; every name and person here is made up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import pytest

from gateway.crypto.attestation import Attestation, request_binding
from gateway.crypto.consent import TYP, ConsentToken, ConsentVerifier, issue_consent
from gateway.crypto.keys import (
    Algorithm,
    KeyRing,
    PrivateKey,
    algorithm_of,
    b64url,
    generate_signing_key,
    public_jwk,
    sign,
    thumbprint,
)
from gateway.domain.directory import DirectoryKey, KeyPurpose
from gateway.domain.ids import BundleDigest, CityId, OperatorId, RequestId, ScenarioId
from gateway.errors import Reason, TiergateError

NOW: Final = 1_800_000_000  # a whole minute
DEPLOYMENT: Final = "gateway-of-fujian"
FUZHOU: Final = CityId("fuzhou")
XIAMEN: Final = CityId("xiamen")
LIBRARY: Final = OperatorId("xiamen-library")
TRANSIT: Final = OperatorId("xiamen-transit")
BORROWING: Final = ScenarioId("xiamen-library-borrowing")
BUNDLE: Final = BundleDigest("ab" * 32)
KID: Final = "fuzhou-2026"
REQUEST: Final = request_binding(LIBRARY, RequestId("request-0123456789"))

ALGORITHMS: Final[tuple[Algorithm, ...]] = ("ES256", "EdDSA")
CITY_KEYS: Final[Mapping[Algorithm, PrivateKey]] = {alg: generate_signing_key(alg) for alg in ALGORITHMS}
OPERATOR_KEYS: Final[Mapping[Algorithm, PrivateKey]] = {alg: generate_signing_key(alg) for alg in ALGORITHMS}

GONE: Final[Any] = object()
"""As a changed member: leave it out."""


@contextmanager
def refuses(reason: Reason) -> Iterator[None]:
    """The block raises a TiergateError of exactly this reason, and its public text says no more than the catalogue."""
    with pytest.raises(TiergateError) as caught:
        yield
    assert caught.value.reason is reason


def directory_key(key: PrivateKey, purpose: KeyPurpose, kid: str | None = None) -> DirectoryKey:
    """The public half as the directory lists it; without ``kid`` under its thumbprint."""
    jwk = public_jwk(key)
    return DirectoryKey(kid or thumbprint(jwk), purpose, algorithm_of(key), jwk)


def ring(key: PrivateKey, purpose: KeyPurpose, kid: str | None = None) -> KeyRing:
    return KeyRing(purpose, [directory_key(key, purpose, kid)])


def foreign_ring(key: PrivateKey, purpose: KeyPurpose, listed_as: KeyPurpose, kid: str | None = None) -> KeyRing:
    """The ring of a purpose, from a directory that lists the key for another one."""
    return KeyRing(purpose, [directory_key(key, listed_as, kid)])


def changed(members: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not GONE}


def counted(**changes: Any) -> ConsentToken:
    """A consent for one use."""
    token = ConsentToken(
        hash=b"",
        issuer=FUZHOU,
        audience=DEPLOYMENT,
        subject=b64url(b"\x01" * 32),
        operator=LIBRARY,
        scenarios={BORROWING: "borrowing-without-deposit"},
        issued_at=NOW - 60,
        not_before=NOW - 60,
        expires_at=NOW + 3600,
        id=b64url(b"\x02" * 16),
        uses=1,
        notice="cd" * 32,
        key_thumbprint=None,
    )
    return replace(token, **changes)


def bound(alg: Algorithm = "ES256", **changes: Any) -> ConsentToken:
    """A consent without a count, bound to the operator's key."""
    mark = thumbprint(public_jwk(OPERATOR_KEYS[alg]))
    return counted(**{"uses": None, "key_thumbprint": mark, **changes})


def verified(token: ConsentToken) -> ConsentToken:
    """The token as a verifier returns it, with its hash."""
    _, digest = issue_consent(CITY_KEYS["ES256"], KID, token)
    return replace(token, hash=digest)


def consent_verifier(alg: Algorithm = "ES256", *, remember: int = 0, trusting: bool = False) -> ConsentVerifier:
    return ConsentVerifier(
        {FUZHOU: ring(CITY_KEYS[alg], "consent", KID)}, DEPLOYMENT, remember=remember, trusting=trusting
    )


def attestation(token: ConsentToken, **changes: Any) -> Attestation:
    """What the home city would answer for the token at ``NOW``."""
    base = Attestation(
        id=b64url(b"\x03" * 16),
        issuer=token.issuer,
        audience=DEPLOYMENT,
        subject=token.subject,
        operator=token.operator,
        token_hash=token.hash,
        scenario=BORROWING,
        bundle=BUNDLE,
        rung=1,
        issued_at=NOW,
        expires_at=NOW + 300,
        request=None if token.uses is None else REQUEST,
    )
    return replace(base, **changes)


def header(alg: object = "ES256", **changes: Any) -> dict[str, Any]:
    return changed({"alg": alg, "kid": KID, "typ": TYP}, **changes)


def compact(head: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes, key: PrivateKey | None = None) -> str:
    """A JWS over any header and payload, signed for real, so that the signature is never why it is refused."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (head, payload)]
    signing_input = ".".join(b64url(part) for part in parts)
    return f"{signing_input}.{b64url(sign(key or CITY_KEYS['ES256'], signing_input.encode()))}"
