"""The peer directory as a canonical document (RFC 8785 JSON): who exists, under which identity, keys and address.

As with the bundle, only the canonical form is read, so that a version of the directory is one string of bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import rfc8785
from pydantic import ValidationError

from gateway.domain.audit_scope import WHOLE_LOG, AuditScope
from gateway.domain.directory import (
    GATEWAY,
    CityPeer,
    Directory,
    DirectoryKey,
    EarlierLog,
    Endpoint,
    GatewayPeer,
    KeyPurpose,
    OperatorPeer,
    PassportEntry,
)
from gateway.domain.ids import CityId, OperatorId, PeerIdentity
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.policy.directory_schema import DirectoryDoc, JwkDoc, KeyDoc
from gateway.policy.problems import problems_of

MAX_DIRECTORY_BYTES = 2 * 1024 * 1024
ISSUED_AHEAD_S = 600
"""How far the clock of whoever issues a directory or a notice may be ahead of the clock of whoever reads it."""
ISSUED_AHEAD = "was issued in the time to come, by the clock of this machine"
_FILE = "directory"
_MEMBERS = {"ES256": ("EC", "P-256", {"crv", "kty", "x", "y"}), "EdDSA": ("OKP", "Ed25519", {"crv", "kty", "x"})}
CITY_PURPOSES: frozenset[KeyPurpose] = frozenset({"consent", "attestation", "event"})
"""What a city signs. It may be left without a key for one of them, when that was stolen: then nothing of it holds."""


def build_directory(directory: Directory) -> bytes:
    """The canonical bytes of a directory. Raises DIRECTORY_INVALID with every problem."""
    plain: dict[str, Any] = {
        "format": "tiergate-directory/1",
        "version": directory.version,
        "issued": directory.issued,
        "expires": directory.expires,
        "trust_domain": directory.trust_domain,
        "gateway": {
            "deployment": directory.gateway.deployment,
            "identity": directory.gateway.identity.uri,
            "endpoint": _endpoint(directory.gateway.endpoint),
            "log_origin": directory.gateway.log_origin,
            "log_vkey": directory.gateway.log_vkey,
            **(
                {"earlier_logs": [asdict(item) for item in directory.gateway.earlier_logs]}
                if directory.gateway.earlier_logs
                else {}
            ),
        },
        "cities": [
            {
                "id": city.id,
                "name_zh": city.name_zh,
                "name_en": city.name_en,
                "identity": city.identity.uri,
                "endpoint": _endpoint(city.endpoint),
                "keys": [_key(key) for key in city.keys],
                **({"passport": asdict(city.passport)} if city.passport else {}),
            }
            for _, city in sorted(directory.cities.items())
        ],
        "operators": [
            {"id": item.id, "identity": item.identity.uri, "keys": [_key(key) for key in item.keys]}
            for _, item in sorted(directory.operators.items())
        ],
        "auditors": {name: identity.uri for name, identity in directory.auditors.items()},
        "witnesses": {name: identity.uri for name, identity in directory.witnesses.items()},
        "bundle_from": directory.bundle_from,
        **({"require_passports": True} if directory.require_passports else {}),
    }
    if directory.auditor_scopes:  # a directory without any has the form that it had before there were scopes
        plain["auditor_scopes"] = {
            name: "all" if scope.cities is None else list(scope.cities)
            for name, scope in directory.auditor_scopes.items()
        }
    try:
        data = rfc8785.dumps(plain)
    except rfc8785.CanonicalizationError as error:
        raise TiergateError(Reason.DIRECTORY_INVALID, "directory has a value that JSON cannot carry") from error
    read_directory(data)
    return data


def read_directory(data: bytes) -> Directory:
    """Read a directory whose signature has been verified. Raises DIRECTORY_INVALID with every problem.

    Whether it is still in force, and not older than one seen before, is :func:`check_fresh`.
    """
    if len(data) > MAX_DIRECTORY_BYTES:
        raise TiergateError(Reason.DIRECTORY_INVALID, f"directory is larger than {MAX_DIRECTORY_BYTES} bytes")
    try:
        document = DirectoryDoc.model_validate_json(data)
    except ValidationError as error:
        raise ProblemsError(Reason.DIRECTORY_INVALID, problems_of(_FILE, error, None)) from error
    if rfc8785.dumps(document.model_dump(mode="json", exclude_none=True)) != data:
        raise TiergateError(Reason.DIRECTORY_INVALID, "directory is not in canonical form")
    problems = [Problem(_FILE, path, message) for path, message in _faults(document)]
    if problems:
        raise ProblemsError(Reason.DIRECTORY_INVALID, problems)
    return _to_directory(document)


def check_fresh(directory: Directory, now_s: int, newest_seen_version: int) -> Directory:
    """The directory, if it is in force at ``now_s`` (Unix seconds) and not older than the newest version seen (or 0).

    Raises DIRECTORY_INVALID: an old directory could bring back a key that was removed; one that was issued in the time
    to come would outlive what notices remove until then.
    """
    if directory.issued > now_s + ISSUED_AHEAD_S:
        raise TiergateError(Reason.DIRECTORY_INVALID, f"directory version {directory.version} {ISSUED_AHEAD}")
    if now_s >= directory.expires:
        raise TiergateError(Reason.DIRECTORY_INVALID, f"directory version {directory.version} has expired")
    if directory.version < newest_seen_version:
        raise TiergateError(
            Reason.DIRECTORY_INVALID,
            f"directory version {directory.version} is older than version {newest_seen_version}, seen before",
        )
    return directory


def _faults(document: DirectoryDoc) -> Iterator[tuple[str, str]]:
    """Path and message of every fault that is not one of shape."""
    domain = document.trust_domain
    if document.expires <= document.issued:
        yield "expires", "is not after issued"
    if not document.gateway.log_vkey.startswith(f"{document.gateway.log_origin}+"):
        yield "gateway.log_vkey", "does not name the log's origin"
    for place, log in enumerate(document.gateway.earlier_logs or ()):
        if log.until <= log.valid_from:
            yield f"gateway.earlier_logs.{place}.until", "is not after valid_from"
    vkeys = [*(log.vkey for log in document.gateway.earlier_logs or ()), document.gateway.log_vkey]
    if len({part for vkey in vkeys for part in (vkey.partition("+")[0], vkey.split("+", 2)[2])}) < 2 * len(vkeys):
        yield "gateway.earlier_logs", "has an origin or a key twice; every shard has its own"
    expected = [("gateway.identity", document.gateway.identity, PeerIdentity(domain, "gateway", ""))]
    expected += [
        (f"cities.{n}.identity", c.identity, PeerIdentity(domain, "city", c.id)) for n, c in enumerate(document.cities)
    ]
    expected += [
        (f"operators.{n}.identity", o.identity, PeerIdentity(domain, "operator", o.id))
        for n, o in enumerate(document.operators)
    ]
    expected += [(f"auditors.{n}", uri, PeerIdentity(domain, "auditor", n)) for n, uri in document.auditors.items()]
    expected += [(f"witnesses.{n}", uri, PeerIdentity(domain, "witness", n)) for n, uri in document.witnesses.items()]
    yield from ((path, f"must be {identity.uri}") for path, uri, identity in expected if uri != identity.uri)
    for kind, members in (("cities", document.cities), ("operators", document.operators)):
        ids = [member.id for member in members]
        if any(later <= earlier for earlier, later in pairwise(ids)):
            yield kind, "is not in order of id, each once"
        if kind == "cities" and GATEWAY in ids:
            yield f"cities.{ids.index(GATEWAY)}.id", f'"{GATEWAY}" is what notices call the gateway'
    yield from _scope_faults(document)
    yield from _key_faults(document)
    yield from _passport_faults(document)


def _passport_faults(document: DirectoryDoc) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for place, city in enumerate(document.cities):
        path, passport = f"cities.{place}.passport", city.passport
        if passport is None:
            if document.require_passports:
                yield path, "is missing, and this directory requires one of every city"
            continue
        if passport.expires < document.expires:
            yield f"{path}.expires", "is before the directory's own: the city would outlive its passport"
        if passport.digest in seen:
            yield f"{path}.digest", "is listed twice; a passport is of one city"
        seen.add(passport.digest)


def _scope_faults(document: DirectoryDoc) -> Iterator[tuple[str, str]]:
    """A scope may name a city that the directory no longer lists: its entries stay in the log."""
    for name, cities in (document.auditor_scopes or {}).items():
        if name not in document.auditors:
            yield f"auditor_scopes.{name}", "is the scope of no auditor of the directory"
        if cities != "all" and any(later <= earlier for earlier, later in pairwise(cities)):
            yield f"auditor_scopes.{name}", "is not in order of city, each once"


def _key_faults(document: DirectoryDoc) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for place, city in enumerate(document.cities):
        yield from _owner_faults(f"cities.{place}", city.keys, CITY_PURPOSES, seen)
    for place, operator in enumerate(document.operators):
        yield from _owner_faults(f"operators.{place}", operator.keys, {"proof"}, seen)
        for number, key in enumerate(operator.keys):
            if key.kid != _thumbprint(key.jwk):
                yield f"operators.{place}.keys.{number}.kid", "is not the key's thumbprint (RFC 7638)"


def _owner_faults(
    owner: str, keys: Sequence[KeyDoc], purposes: Collection[str], seen: set[str]
) -> Iterator[tuple[str, str]]:
    names: set[tuple[str, str]] = set()
    for number, key in enumerate(keys):
        path = f"{owner}.keys.{number}"
        if key.purpose not in purposes:
            yield f"{path}.purpose", f"is not one of {', '.join(sorted(purposes))}"
        if (key.purpose, key.kid) in names:
            yield f"{path}.kid", "is used twice for one purpose"
        names.add((key.purpose, key.kid))
        kty, crv, members = _MEMBERS[key.alg]
        if (key.jwk.kty, key.jwk.crv, set(key.jwk.plain())) != (kty, crv, members):
            yield f"{path}.jwk", f"is not a key for {key.alg}"
        mark = _thumbprint(key.jwk)
        if mark in seen:
            yield f"{path}.jwk", "is listed twice; one key has one owner and one purpose"
        seen.add(mark)


def _thumbprint(jwk: JwkDoc) -> str:
    """RFC 7638: SHA-256 of the required members in canonical form, base64url."""
    digest = hashlib.sha256(rfc8785.dumps(jwk.plain())).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _endpoint(endpoint: Endpoint) -> dict[str, str]:
    return {"address": endpoint.address, "server_name": endpoint.server_name}


def _key(key: DirectoryKey) -> dict[str, str | dict[str, str]]:
    return {"kid": key.kid, "purpose": key.purpose, "alg": key.alg, "jwk": dict(key.jwk)}


def _keys(keys: Sequence[KeyDoc]) -> tuple[DirectoryKey, ...]:
    return tuple(DirectoryKey(key.kid, key.purpose, key.alg, MappingProxyType(key.jwk.plain())) for key in keys)


def _to_directory(document: DirectoryDoc) -> Directory:
    parse = PeerIdentity.parse
    gateway = document.gateway
    cities = {
        CityId(c.id): CityPeer(
            CityId(c.id),
            c.name_zh,
            c.name_en,
            parse(c.identity),
            Endpoint(c.endpoint.address, c.endpoint.server_name),
            _keys(c.keys),
            PassportEntry(c.passport.digest, c.passport.expires) if c.passport else None,
        )
        for c in document.cities
    }
    operators = {
        OperatorId(o.id): OperatorPeer(OperatorId(o.id), parse(o.identity), _keys(o.keys)) for o in document.operators
    }
    return Directory(
        version=document.version,
        issued=document.issued,
        expires=document.expires,
        trust_domain=document.trust_domain,
        gateway=GatewayPeer(
            gateway.deployment,
            parse(gateway.identity),
            Endpoint(gateway.endpoint.address, gateway.endpoint.server_name),
            gateway.log_origin,
            gateway.log_vkey,
            tuple(EarlierLog(item.vkey, item.valid_from, item.until) for item in gateway.earlier_logs or ()),
        ),
        cities=MappingProxyType(cities),
        operators=MappingProxyType(operators),
        auditors=MappingProxyType({name: parse(uri) for name, uri in document.auditors.items()}),
        witnesses=MappingProxyType({name: parse(uri) for name, uri in document.witnesses.items()}),
        bundle_from=document.bundle_from,
        auditor_scopes=MappingProxyType(
            {
                name: WHOLE_LOG if cities == "all" else AuditScope.of(cities)
                for name, cities in (document.auditor_scopes or {}).items()
            }
        ),
        require_passports=document.require_passports is not None,
    )
