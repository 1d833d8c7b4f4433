"""Makes the keys, certificates, signed files and settings of a local network.

Each participant's private parts lie in its own folder, as they would lie on its own machines.
"""

from __future__ import annotations

import secrets
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from gateway.cli.localnet.plan import (
    AUTHORITIES,
    CITY_NAMES,
    DEPLOYMENT,
    SIGNERS,
    TRUST_DOMAIN,
    Layout,
    Options,
    ReservedPort,
)
from gateway.cli.localnet.settings_files import CITY_PURPOSES, write_adapter, write_client, write_gateway
from gateway.consentlog.note import SignerKey
from gateway.crypto.dev_ca import DevCa
from gateway.crypto.envelope import BUNDLE_TYPE, DIRECTORY_TYPE, PAYLOAD_TYPES, Authority, Root, sign
from gateway.crypto.keys import (
    PrivateKey,
    generate_signing_key,
    public_jwk,
    thumbprint,
    write_private_key,
    write_secret,
)
from gateway.domain.audit_scope import WHOLE_LOG, AuditScope
from gateway.domain.directory import CityPeer, Directory, DirectoryKey, Endpoint, GatewayPeer, KeyPurpose, OperatorPeer
from gateway.domain.ids import CityId, OperatorId, PeerIdentity, Role
from gateway.policy.bundle import build_bundle
from gateway.policy.directory import build_directory
from gateway.policy.load import load_policies

LOG_ORIGIN = f"{TRUST_DOMAIN}/log/2026"
_LIFETIME_S = 30 * 86_400


@dataclass(frozen=True)
class Network:
    """What has been provisioned. Ports are held until their processes start."""

    layout: Layout
    options: Options
    ports: dict[str, ReservedPort]
    operators: dict[str, str]  # operator -> host city


def provision(layout: Layout, options: Options) -> Network:
    """Make everything under ``layout.base``, which holds nothing yet. Raises POLICY_INVALID or OSError."""
    layout.shared.mkdir(parents=True)
    layout.authority.mkdir(mode=0o700, parents=True)
    loaded = load_policies(options.policies)
    operators = {item.id: item.host_city for item in loaded.policies.operators.values()}
    ports = {name: ReservedPort() for name in ("gateway", *options.cities)}
    ca = DevCa.create(layout.authority / "ca", now=datetime.now(UTC))

    signers = _authorities(layout)[:SIGNERS]
    expires = date.today() + timedelta(days=30)  # noqa: DTZ011 - a calendar day of this machine is near enough
    _write_signed(layout, "bundle.json", BUNDLE_TYPE, build_bundle(loaded, 1, expires), signers)

    log_key = SignerKey.generate(LOG_ORIGIN)
    _tls(ca, layout.gateway, _identity("gateway", ""), server_name="gateway")
    write_secret(layout.gateway / "log.key", (log_key.to_secret_text() + "\n").encode())
    cities = {CityId(city): _city(ca, layout, options, city, ports) for city in options.cities}
    peers = {OperatorId(name): _operator(ca, layout, name) for name in operators}
    auditors = {"province": layout.auditor} | {city: layout.city_auditor(city) for city in options.cities}
    for name, folder in auditors.items():
        _tls(ca, folder, _identity("auditor", name))
        write_client(layout, folder, "auditor", name)
    now = int(time.time())
    directory = Directory(
        version=1,
        issued=now,
        expires=now + _LIFETIME_S,
        trust_domain=TRUST_DOMAIN,
        gateway=GatewayPeer(
            deployment=DEPLOYMENT,
            identity=_identity("gateway", ""),
            endpoint=Endpoint(_announced(options, "gateway", ports), _server_name("gateway")),
            log_origin=LOG_ORIGIN,
            log_vkey=str(log_key.verifier),
        ),
        cities=cities,
        operators=peers,
        auditors={name: _identity("auditor", name) for name in auditors},
        witnesses={},
        auditor_scopes={"province": WHOLE_LOG} | {city: AuditScope.of([city]) for city in options.cities},
    )
    _write_signed(layout, "directory.json", DIRECTORY_TYPE, build_directory(directory), signers)
    (layout.shared / "trust").write_text(f"log {log_key.verifier}\nquorum none\n", "utf-8")
    write_gateway(layout, options, _listen(options, "gateway", ports))
    _install(layout, options)
    return Network(layout, options, ports, {str(name): str(city) for name, city in operators.items()})


def _identity(role: Role, name: str) -> PeerIdentity:
    return PeerIdentity(TRUST_DOMAIN, role, name)


def _server_name(process: str) -> str:
    return f"{process}.{TRUST_DOMAIN}"


def _announced(options: Options, process: str, ports: dict[str, ReservedPort]) -> str:
    return options.announced.get(process, ports[process].address)


def _listen(options: Options, process: str, ports: dict[str, ReservedPort]) -> str:
    return options.listen.get(process, ports[process].address)


def _install(layout: Layout, options: Options) -> None:
    """Give every process that keeps its own copies of the signed files those copies."""
    for folder in (layout.gateway, *(layout.city(city) for city in options.cities)):
        for name in ("root.json", "directory.json", "bundle.json"):
            if layout.installed(folder) == folder:
                shutil.copy(layout.shared / name, folder / name)


def _authorities(layout: Layout) -> list[PrivateKey]:
    """Their keys, each in its own folder, and the root that names them: no one of them can change a rule alone."""
    keys = {name: generate_signing_key("EdDSA") for name in AUTHORITIES}
    for name, key in keys.items():
        layout.signing_key(name).parent.mkdir(mode=0o700)
        write_private_key(layout.signing_key(name), key)
    named = tuple(Authority(name, public_jwk(key), PAYLOAD_TYPES) for name, key in keys.items())
    root = Root(named, dict.fromkeys(sorted(PAYLOAD_TYPES), SIGNERS))
    (layout.shared / "root.json").write_bytes(root.to_json())
    return list(keys.values())


def _write_signed(layout: Layout, name: str, payload_type: str, payload: bytes, keys: list[PrivateKey]) -> None:
    (layout.shared / name).write_bytes(sign(payload_type, payload, keys))


def _tls(ca: DevCa, folder: Path, identity: PeerIdentity, *, server_name: str = "") -> None:
    ca.issue(
        identity,
        folder / "tls",
        now=datetime.now(UTC),
        names=[_server_name(server_name)] if server_name else [],
        ips=["127.0.0.1"] if server_name else [],
    )


def _key(folder: Path, purpose: KeyPurpose) -> DirectoryKey:
    key = generate_signing_key("ES256")
    folder.mkdir(parents=True, exist_ok=True)
    write_private_key(folder / f"{purpose}.key", key)
    jwk = public_jwk(key)
    return DirectoryKey(thumbprint(jwk), purpose, "ES256", jwk)


def _city(ca: DevCa, layout: Layout, options: Options, city: str, ports: dict[str, ReservedPort]) -> CityPeer:
    folder = layout.city(city)
    _tls(ca, folder, _identity("city", city), server_name=city)
    _tls(ca, layout.app(city), _identity("city-app", city))
    write_client(layout, layout.app(city), "city-app", city)
    keys = tuple(_key(folder / "keys", purpose) for purpose in CITY_PURPOSES)
    write_secret(folder / "keys" / "pairwise.secret", secrets.token_bytes(32))
    write_adapter(layout, options, city, _listen(options, city, ports))
    name_zh, name_en = CITY_NAMES[city]
    return CityPeer(
        id=CityId(city),
        name_zh=name_zh,
        name_en=name_en,
        identity=_identity("city", city),
        endpoint=Endpoint(_announced(options, city, ports), _server_name(city)),
        keys=keys,
    )


def _operator(ca: DevCa, layout: Layout, name: str) -> OperatorPeer:
    folder = layout.operator(name)
    _tls(ca, folder, _identity("operator", name))
    key = _key(folder, "proof")
    write_client(layout, folder, "operator", name, proves=True)
    return OperatorPeer(OperatorId(name), _identity("operator", name), (key,))
