"""The peer directory: who exists, under which identity and keys, at which address. Unknown is refused.

Keys are public JWKs (RFC 7517) as plain mappings; turning them into verifiers is the business of ``gateway.crypto``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.domain.audit_scope import AuditScope
from gateway.domain.ids import CityId, OperatorId, PeerIdentity

KeyPurpose = Literal["consent", "attestation", "event", "proof"]
"""What a key may sign: a city's consent tokens, attestations and events; an operator's proofs of possession."""


@dataclass(frozen=True, slots=True)
class DirectoryKey:
    """One public key. ``kid`` is unique per owner and purpose; ``alg`` is ``ES256`` or ``EdDSA`` and pins the key."""

    kid: str
    purpose: KeyPurpose
    alg: Literal["ES256", "EdDSA"]
    jwk: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a serving peer listens (``host:port``) and the DNS SAN that its certificate must carry."""

    address: str
    server_name: str


@dataclass(frozen=True, slots=True)
class PassportEntry:
    """The conformance passport that a city was admitted with: SHA-256 of its text (64 hex digits), its ``exp``."""

    digest: str
    expires: int


@dataclass(frozen=True, slots=True)
class CityPeer:
    """A home city: identity of its adapter, where the peer API is served, its signing keys, display names."""

    id: CityId
    name_zh: str
    name_en: str
    identity: PeerIdentity
    endpoint: Endpoint
    keys: tuple[DirectoryKey, ...]
    passport: PassportEntry | None = None


@dataclass(frozen=True, slots=True)
class OperatorPeer:
    """A relying party: identity of its client certificate and its proof keys (RFC 7638 thumbprint as ``kid``)."""

    id: OperatorId
    identity: PeerIdentity
    keys: tuple[DirectoryKey, ...]


@dataclass(frozen=True, slots=True)
class EarlierLog:
    """The key of a sealed shard (signed-note vkey), and when it is trusted: Unix seconds, the end excluded."""

    vkey: str
    valid_from: int
    until: int


@dataclass(frozen=True, slots=True)
class GatewayPeer:
    """The gateway deployment: the audience of tokens, identity, endpoint, and the log's verifier key (signed-note).

    ``earlier_logs``: of the shards before the newest one, oldest first.
    """

    deployment: str
    identity: PeerIdentity
    endpoint: Endpoint
    log_origin: str
    log_vkey: str
    earlier_logs: tuple[EarlierLog, ...] = ()


@dataclass(frozen=True, slots=True)
class Directory:
    """One version of the directory. ``issued`` and ``expires`` are Unix seconds; an expired directory is refused.

    ``auditor_scopes``: what each auditor may see of the log. One without a scope sees no entry.
    """

    version: int
    issued: int
    expires: int
    trust_domain: str
    gateway: GatewayPeer
    cities: Mapping[CityId, CityPeer]
    operators: Mapping[OperatorId, OperatorPeer]
    auditors: Mapping[str, PeerIdentity]
    witnesses: Mapping[str, PeerIdentity]
    bundle_from: int = 1
    """The lowest version of the policy bundle that goes with it: an older one is not brought back beside it."""
    auditor_scopes: Mapping[str, AuditScope] = field(default_factory=dict)
    require_passports: bool = False
    """Whether no city is listed without a conformance passport."""
    removed: frozenset[str] = frozenset()
    """What notices have taken away from it since it was issued: key thumbprints (RFC 7638) and SPIFFE ids."""


GATEWAY = "gateway"
"""The gateway where peers are named by a city's id or this."""


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A city (by its id), or the gateway, announces not to answer from ``starts`` until before ``ends`` (Unix s)."""

    peer: str
    starts: int
    ends: int
