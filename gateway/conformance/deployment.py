"""A test deployment on disk: what the city under test is given, and what the kit keeps to play everybody else.

``city/`` is for the city: signed files, its certificate and keys, the residents, a sketch of settings. ``kit/`` stays
with the kit: the gateway's certificate, that of the city's app, operators' keys, a second city, and one further consent
key that the directory lists for the city under test. With that key the kit makes tokens that a sound city never signs,
so that every refusal can be asked for at once; consents behind them are on no record.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from gateway.conformance.policies import OPERATORS, write_policies
from gateway.conformance.residents import DECOY, MAX_AGE_DAYS, as_csv
from gateway.consentlog.note import SignerKey
from gateway.crypto.dev_ca import DevCa
from gateway.crypto.envelope import BUNDLE_TYPE, DIRECTORY_TYPE, PAYLOAD_TYPES, Authority, Root, sign
from gateway.crypto.keys import (
    PrivateKey,
    generate_signing_key,
    load_private_key,
    public_jwk,
    thumbprint,
    write_private_key,
    write_secret,
)
from gateway.domain.bundle import Bundle
from gateway.domain.directory import CityPeer, Directory, DirectoryKey, Endpoint, GatewayPeer, KeyPurpose, OperatorPeer
from gateway.domain.ids import CityId, OperatorId, PeerIdentity, parse_slug
from gateway.errors import Problem, ProblemsError, Reason
from gateway.policy.bundle import build_bundle
from gateway.policy.directory import build_directory
from gateway.policy.installed import load_installed
from gateway.policy.load import load_policies
from gateway.transport.tls import CertificateFiles

DOMAIN: Final = "kit.tiergate.invalid"
DEPLOYMENT: Final = "kit"
ORIGIN: Final = f"{DOMAIN}/log"
FOREIGN: Final = "kit-second-city"
DAYS: Final = MAX_AGE_DAYS - 2
"""How long a test deployment is good for: no longer than the scores of its residents, which are a day old at first."""
_PURPOSES: tuple[KeyPurpose, ...] = ("consent", "attestation", "event")
_CLIENTS: Final = {
    "gateway": PeerIdentity(DOMAIN, "gateway", ""),
    "operator": PeerIdentity(DOMAIN, "operator", OPERATORS[0]),
    "stranger": PeerIdentity(DOMAIN, "operator", "kit-stranger"),
    "foreign-app": PeerIdentity(DOMAIN, "city-app", FOREIGN),
    "foreign-city": PeerIdentity(DOMAIN, "city", FOREIGN),
}
"""Identities that the kit calls with, beside the app of the city under test; the stranger is in no directory."""


@dataclass(frozen=True, slots=True, repr=False)
class Deployment:
    """What the kit works with. ``keys``: private keys by the name of their file, with the key id of each.

    ``day``: of the residents' export (UTC).
    """

    folder: Path
    city: CityId
    day: date
    directory: Directory
    bundle: Bundle
    keys: dict[str, tuple[str, PrivateKey]]
    log_key: SignerKey
    other_log_key: SignerKey

    def certificate(self, client: str) -> CertificateFiles:
        """The files of one of the kit's clients: ``gateway``, ``app``, ``operator``, ``stranger`` and so on."""
        folder = self.folder / "kit" / "tls" / client
        return CertificateFiles(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")

    @property
    def endpoint(self) -> Endpoint:
        """Where the directory says that the city is."""
        return self.directory.cities[self.city].endpoint

    @property
    def log_file(self) -> Path:
        """The kit's log, which goes on from run to run: a city must not be shown two histories of it."""
        return self.folder / "kit" / "log.jsonl"


def make_deployment(folder: Path, city: str, address: str) -> Deployment:
    """Make everything in ``folder``, which must not exist. ``address``: where the city will listen, ``host:port``.

    Raises FileExistsError, MALFORMED_REQUEST for a name that is no slug, DIRECTORY_INVALID for an address that is none.
    """
    parse_slug(city, "city")
    names = (CityId(city), CityId(FOREIGN))
    ours, theirs = folder / "kit", folder / "city"
    for place in (ours / "keys", theirs / "keys"):
        place.mkdir(mode=0o700, parents=True)
    write_policies(folder / "policies", city, FOREIGN)
    _write_certificates(ours, theirs, city, address)
    log_key = _log_key(ours / "log.key")
    _log_key(ours / "other-log.key")
    now = int(time.time())
    listed = {name: _city_keys(theirs if name == city else ours, name, _PURPOSES) for name in names}
    listed[names[0]] += _city_keys(ours, f"{city}-kit", ("consent",))
    _city_keys(ours, f"{city}-unlisted", ("consent",))
    peers = {
        name: OperatorPeer(name, PeerIdentity(DOMAIN, "operator", name), _city_keys(ours, name, ("proof",)))
        for name in map(OperatorId, OPERATORS)
    }
    directory = Directory(
        version=1,
        issued=now - 60,
        expires=now + DAYS * 86_400,
        trust_domain=DOMAIN,
        gateway=GatewayPeer(
            DEPLOYMENT, _CLIENTS["gateway"], Endpoint("127.0.0.1:1", f"gateway.{DOMAIN}"), ORIGIN, str(log_key.verifier)
        ),
        cities={
            name: CityPeer(
                name,
                "测试城市",
                "Test city",
                PeerIdentity(DOMAIN, "city", name),
                Endpoint(address if name == city else "127.0.0.1:1", f"{name}.{DOMAIN}"),
                listed[name],
            )
            for name in names
        },
        operators=peers,
        auditors={},
        witnesses={},
    )
    _write_signed(folder, directory)
    write_secret(theirs / "keys" / "pairwise.secret", secrets.token_bytes(32))
    day = datetime.fromtimestamp(now, UTC).date()
    (theirs / "residents.csv").write_text(as_csv(day), "utf-8")
    (theirs / "adapter.toml").write_text(_settings(city, address), "utf-8")
    described = {"format": "tiergate-kit/2", "city": city, "day": day.isoformat()}
    (ours / "kit.json").write_text(json.dumps(described), "ascii")
    return load_deployment(folder)


def load_deployment(folder: Path) -> Deployment:
    """A deployment that was made before. Raises CONFIG_INVALID, KEY_INVALID, or what its signed files are refused for.

    An expired one is refused: make another.
    """
    ours, theirs = folder / "kit", folder / "city"
    try:
        described = json.loads((ours / "kit.json").read_text("ascii"))
        city, day = CityId(str(described["city"])), date.fromisoformat(described["day"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = Problem(str(folder), "", "holds no test deployment", "make one: tiergate conformance init")
        raise ProblemsError(Reason.CONFIG_INVALID, [problem]) from error
    signed = (theirs / name for name in ("root.json", "directory.json", "bundle.json"))
    installed = load_installed(*signed, now_s=int(time.time()))
    keys = {file.stem: load_private_key(file) for file in sorted((ours / "keys").glob("*.pem"))}
    return Deployment(
        folder=folder,
        city=city,
        day=day,
        directory=installed.directory,
        bundle=installed.timeline.bundles[-1],
        keys={name: (thumbprint(public_jwk(key)), key) for name, key in keys.items()},
        log_key=SignerKey.parse((ours / "log.key").read_text("ascii").strip()),
        other_log_key=SignerKey.parse((ours / "other-log.key").read_text("ascii").strip()),
    )


def _write_certificates(ours: Path, theirs: Path, city: str, address: str) -> None:
    now = datetime.now(UTC)
    ca = DevCa.create(ours / "ca", now=now)
    host = address.rpartition(":")[0]
    ca.issue(
        PeerIdentity(DOMAIN, "city", city),
        theirs / "tls",
        now=now,
        names=[f"{city}.{DOMAIN}"],
        ips=_ips(host),
        days=DAYS,
    )
    clients = {**_CLIENTS, "app": PeerIdentity(DOMAIN, "city-app", city)}
    for name, identity in clients.items():
        names = [f"{name}.{DOMAIN}"] if identity.role in {"gateway", "city"} else []
        ca.issue(identity, ours / "tls" / name, now=now, names=names, days=DAYS)
    rogue = DevCa.create(ours / "rogue-ca", now=now)
    rogue.issue(_CLIENTS["gateway"], ours / "tls" / "rogue", now=now, names=[f"gateway.{DOMAIN}"], days=DAYS)
    # it trusts the city like the others: what is tried is whether the city trusts it
    (ours / "tls" / "rogue" / "ca.pem").write_bytes((ours / "ca" / "ca.pem").read_bytes())


def _ips(host: str) -> list[str]:
    from ipaddress import ip_address

    try:
        return [str(ip_address(host.strip("[]")))]
    except ValueError:
        return []


def _city_keys(folder: Path, owner: str, purposes: tuple[KeyPurpose, ...]) -> tuple[DirectoryKey, ...]:
    """New keys in ``folder``; the city's own go by their purpose alone."""
    made: list[DirectoryKey] = []
    for purpose in purposes:
        key = generate_signing_key("ES256")
        stem = purpose if folder.name == "city" else f"{owner}-{purpose}"
        write_private_key(folder / "keys" / f"{stem}.pem", key)
        jwk = public_jwk(key)
        made.append(DirectoryKey(thumbprint(jwk), purpose, "ES256", jwk))
    return tuple(made)


def _log_key(file: Path) -> SignerKey:
    key = SignerKey.generate(ORIGIN)
    write_secret(file, (key.to_secret_text() + "\n").encode())
    return key


def _write_signed(folder: Path, directory: Directory) -> None:
    authority = generate_signing_key("EdDSA")
    root = Root((Authority("kit", public_jwk(authority), PAYLOAD_TYPES),), dict.fromkeys(sorted(PAYLOAD_TYPES), 1))
    last = (datetime.now(UTC) + timedelta(days=DAYS)).date()
    bundle = build_bundle(load_policies(folder / "policies"), 1, last)
    place = folder / "city"
    (place / "root.json").write_bytes(root.to_json())
    (place / "directory.json").write_bytes(sign(DIRECTORY_TYPE, build_directory(directory), [authority]))
    (place / "bundle.json").write_bytes(sign(BUNDLE_TYPE, bundle, [authority]))


def _settings(city: str, address: str) -> str:
    """Settings of the adapter that comes with the product; another implementation reads what it wants to know."""
    plain: dict[str, Any] = {
        "city": city,
        "listen": address,
        "data_dir": "data",
        "root": "root.json",
        "directory": "directory.json",
        "bundle": "bundle.json",
        "decoy_resident": DECOY.ref,
        "withdrawal_wait_s": 0,
    }
    keys = "".join(f'{purpose} = {{ file = "keys/{purpose}.pem" }}\n' for purpose in _PURPOSES)
    return "\n".join(
        (
            "# For the adapter that comes with tiergate: tiergate adapter serve CITY --config adapter.toml",
            *(f"{name} = {json.dumps(value)}" for name, value in plain.items()),
            '\n[tls]\ncert = "tls/cert.pem"\nkey = "tls/key.pem"\nca = "tls/ca.pem"',
            f'\n[keys]\n{keys}pairwise_secret = "keys/pairwise.secret"',
            '\n[source]\nkind = "csv"\npath = "residents.csv"',
            '\n[source.fields]\nresident = "resident"\nscore = "score"\nas_of = "as_of"\nas_of_format = "%Y-%m-%d"\n',
        )
    )
