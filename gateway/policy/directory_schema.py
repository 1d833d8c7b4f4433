"""The shape of the peer directory's document, strictly: unknown keys, wrong types and malformed values are problems.

Rules that need more than one value are in ``gateway.policy.directory``.
"""

from __future__ import annotations

import base64
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from gateway.domain.ids import PeerIdentity
from gateway.errors import TiergateError
from gateway.policy.fields import matching
from gateway.policy.schema import SAFE_INTEGER, Line, Slug, Strict, Version

_SPIFFE = re.compile(r"spiffe://[!-~]+")
_COORDINATE = re.compile(r"[A-Za-z0-9_-]{43}")
_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9.-]{1,253}):([0-9]{1,5})")
_VKEY = re.compile(r"[^+\s]{1,200}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{1,400}={0,2}")


def _address(text: str) -> str:
    match = _ADDRESS.fullmatch(text)
    if match is None or not 0 < int(match.group(1)) <= 65_535:
        raise ValueError("must be host:port")
    return text


def _spiffe(text: str) -> str:
    try:
        PeerIdentity.parse(text)
    except TiergateError as error:
        raise ValueError("is not a SPIFFE id of a known role") from error
    return text


def _coordinate(text: str) -> str:
    # 43 digits hold 258 bits: the last two must be zero, or two texts would mean one key
    if not _COORDINATE.fullmatch(text) or base64.urlsafe_b64encode(base64.urlsafe_b64decode(text + "="))[:43] != (
        text.encode("ascii")
    ):
        raise ValueError("must be 32 bytes in base64url without padding")
    return text


def _vkey(text: str) -> str:
    if not _VKEY.fullmatch(text):
        raise ValueError("must be a signed-note verifier key: name+hash+key")
    return text


Domain = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Identity = Annotated[str, AfterValidator(_spiffe), matching(_SPIFFE)]
Coordinate = Annotated[str, AfterValidator(_coordinate), matching(_COORDINATE)]
Seconds = Annotated[int, Field(ge=0, le=SAFE_INTEGER)]


class JwkDoc(Strict):
    """Public P-256 (RFC 7518) or Ed25519 (RFC 8037) key."""

    kty: Literal["EC", "OKP"]
    crv: Literal["P-256", "Ed25519"]
    x: Coordinate
    y: Coordinate | None = None

    def plain(self) -> dict[str, str]:
        """The members that are set."""
        members = {"crv": self.crv, "kty": self.kty, "x": self.x}
        return members if self.y is None else {**members, "y": self.y}


class KeyDoc(Strict):
    """One public key; ``jwk`` has just the required members (RFC 7638, section 3.2): no private part can stand here."""

    kid: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    purpose: Literal["consent", "attestation", "event", "proof"]
    alg: Literal["ES256", "EdDSA"]
    jwk: JwkDoc


class EndpointDoc(Strict):
    """Address and the DNS name that the certificate must carry."""

    address: Annotated[str, AfterValidator(_address), matching(_ADDRESS)]
    server_name: Domain


class PassportDoc(Strict):
    """The passport that a city was admitted with: SHA-256 of its text, and its ``exp``."""

    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    expires: Seconds


class CityDoc(Strict):
    """A home city."""

    id: Slug
    name_zh: Line
    name_en: Line
    identity: Identity
    endpoint: EndpointDoc
    keys: Annotated[list[KeyDoc], Field(max_length=32)]
    passport: PassportDoc | None = None


class OperatorDoc(Strict):
    """A relying party."""

    id: Slug
    identity: Identity
    keys: Annotated[list[KeyDoc], Field(max_length=32)]


class EarlierLogDoc(Strict):
    """The key of a sealed shard of the log, and when it is trusted."""

    vkey: Annotated[str, AfterValidator(_vkey), matching(_VKEY)]
    valid_from: Seconds
    until: Seconds


class GatewayDoc(Strict):
    """The gateway deployment."""

    deployment: Line
    identity: Identity
    endpoint: EndpointDoc
    log_origin: Line
    log_vkey: Annotated[str, AfterValidator(_vkey), matching(_VKEY)]
    earlier_logs: Annotated[list[EarlierLogDoc], Field(min_length=1, max_length=999)] | None = None


ScopeDoc = Literal["all"] | Annotated[list[Slug], Field(min_length=1, max_length=1000)]
"""What an auditor may see of the log: all, or the entries of these cities (``gateway.domain.audit_scope``)."""


class DirectoryDoc(Strict):
    """The directory as JSON."""

    format: Literal["tiergate-directory/1"]
    version: Version
    issued: Seconds
    expires: Seconds
    trust_domain: Domain
    gateway: GatewayDoc
    cities: Annotated[list[CityDoc], Field(max_length=1000)]
    operators: Annotated[list[OperatorDoc], Field(max_length=10_000)]
    auditors: dict[Slug, Identity]
    auditor_scopes: Annotated[dict[Slug, ScopeDoc], Field(min_length=1)] | None = None
    witnesses: dict[Slug, Identity]
    bundle_from: Version
    require_passports: Literal[True] | None = None  # absent where none are required: one meaning has one spelling
