"""Files: settings, policies, keys, certificates. What is read from a path is written to one first."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.utils import CryptographyDeprecationWarning

from adapters.config import load_settings
from adapters.custody import SigningKey
from adapters.pairwise import PairwiseSecret
from adapters.sources.options import Secret
from gateway.cli import profile
from gateway.cli.certs_check import certificate_document, check_certificate
from gateway.cli.installation import of_config
from gateway.config import PREFIX, GatewayConfig
from gateway.crypto import keys
from gateway.crypto.dev_ca import DevCa, IssuedFiles
from gateway.domain.ids import PeerIdentity
from gateway.errors import TiergateError
from gateway.policy import bundle, cases, load, schema
from gateway.settings import read_settings
from gateway.transport.tls import CertificateFiles, facts_of
from tests.fuzz import world
from tests.fuzz.harness import Harness, file_of, framed, scratch
from tests.fuzz.targets_signed import DOMAIN, POLICIES
from tests.unit.policy.files import write


def _settings(read: Callable[[Path], Any], data: bytes) -> bool:
    path = file_of("settings.toml", data)
    with suppress(TiergateError):
        of_config(path)
    read(path)
    return True


def _gateway_settings(path: Path) -> GatewayConfig:
    return read_settings(GatewayConfig, path, prefix=PREFIX, environment={f"{PREFIX}LIMITS__BURST": "7"})


def _profile(path: Path) -> profile.Profile:
    return profile.read_profile(path, ("operator", "city-app", "auditor"))


GATEWAY_TOML = b"""
listen = "127.0.0.1:7000"
data_dir = "data"
root = "root.json"
directory = "directory.json"
bundle = "bundle.json"
log_key = "log.key"
log_mark = "log.mark"
[tls]
cert = "cert.pem"
key = "key.pem"
ca = "ca.pem"
[limits]
in_flight = 8
"""
SOURCES = {
    "http": b"""
base_url = "https://platform.example.invalid/api"
path = "/scores/{resident}"
unknown_status = [404]
auth = { kind = "bearer", token = { env = "PLATFORM_TOKEN" } }
result = { path = "code", ok = ["0", 0], unknown = [7] }
""",
    "csv": b'path = "export.csv"\nencoding = "auto"\n',
    "sql": b'sqlite_file = "scores.sqlite3"\nquery = "SELECT points, at FROM scores WHERE ref = :resident"\n',
}


ADAPTER_TOML = b"""
city = "fuzhou"
listen = "127.0.0.1:7001"
data_dir = "data"
root = "root.json"
directory = "directory.json"
bundle = "bundle.json"
decoy_resident = "decoy"
[tls]
cert = "cert.pem"
key = "key.pem"
ca = "ca.pem"
[keys]
pairwise_secret = "pairwise.bin"
consent = { kid = "consent-1", file = "consent.pem" }
attestation = { kid = "attestation-1", file = "attestation.pem" }
event = { kid = "event-1", file = "event.pem" }
"""


def adapter_toml(kind: str) -> bytes:
    """Settings of an adapter with a source of a kind."""
    fields = b'fields = { resident = "ref", score = "points", as_of = "at" }\n'
    source = f'[source]\nkind = "{kind}"\n'.encode() + SOURCES[kind] + fields
    return ADAPTER_TOML + source


PROFILE_TOML = b"""
role = "operator"
name = "xiamen-library"
root = "root.json"
directory = "directory.json"
proof_key = "proof.pem"
[tls]
cert = "cert.pem"
key = "key.pem"
ca = "ca.pem"
"""


@cache
def _policies() -> tuple[Path, tuple[str, ...]]:
    folder = write(scratch() / "policies", world.small_policies())
    return folder, tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.toml")))


def _policy(data: bytes) -> bool:
    """A small set of policies with one file changed: the work is that of the file, not of a whole province."""
    folder, names = _policies()
    kind, rest = framed(data, len(names))
    path = folder / names[kind]
    good = path.read_bytes()
    path.write_bytes(rest)
    try:
        loaded = load.load_policies(folder)
        cases.run_cases(folder, loaded)
        bundle.read_bundle(bundle.build_bundle(loaded, 1, date(2027, 12, 31)))
    finally:
        path.write_bytes(good)
    return True


def _policy_seeds() -> Iterator[bytes]:
    folder, names = _policies()
    for place, name in enumerate(names):
        yield bytes([place]) + (folder / name).read_bytes()


def _policy_toml(data: bytes) -> bool:
    """One policy file alone."""
    kind, rest = framed(data, 2)
    path = file_of("one.toml", rest)
    problems: list[Any] = []
    model = (schema.CityFile, schema.ScenarioFile)[kind]
    found = load.read_toml(path.parent, path.name, model, problems)
    assert (found is None) == bool(problems)
    return found is not None


def _key_file(data: bytes) -> bool:
    path = file_of("key.pem", data)
    for read in (PairwiseSecret.load, lambda file: Secret(file=file).read()):
        with suppress(TiergateError):
            read(path)
    keys.public_jwk(keys.load_private_key(path))
    SigningKey.load("kid-1", path)
    return True


def _pem(name: str) -> bytes:
    return world.key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@cache
def _issued() -> IssuedFiles:
    authority = DevCa.create(scratch() / "ca", now=datetime.now(UTC))
    who = PeerIdentity(DOMAIN, "gateway", "")
    return authority.issue(who, scratch() / "leaf", now=datetime.now(UTC), names=[f"gateway.{DOMAIN}"])


def _certificates(data: bytes) -> bool:
    """DER certificates, as a chain with a good key, and as authorities of a good chain."""
    text = data
    if not data.startswith(b"--"):
        text = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(data) + b"-----END CERTIFICATE-----\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # of numbers that RFC 5280 does not allow
        _judge_certificate(text)
    return True


def _judge_certificate(text: bytes) -> None:
    issued = _issued()
    path = file_of("certificate.pem", text)
    CertificateFiles(issued.cert, issued.key, path).read()
    CertificateFiles(path, issued.key, issued.ca).facts()
    list(check_certificate(CertificateFiles(path, issued.key, issued.ca), None, None))
    for found in x509.load_pem_x509_certificates(text):
        certificate_document(found)
    file_of("ca/ca.pem", text)
    with suppress(TiergateError):
        DevCa.load(scratch() / "ca")
    CertificateFiles(path, issued.key, issued.ca).read()


def _certificate_seeds() -> Iterator[bytes]:
    for path in (_issued().cert, _issued().ca):
        yield x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
    yield _issued().cert.read_bytes()


HARNESSES = (
    Harness("gateway-settings", (read_settings,), partial(_settings, _gateway_settings), lambda: (GATEWAY_TOML,), 8192),
    Harness(
        "adapter-settings",
        (load_settings,),
        partial(_settings, partial(load_settings, environment={})),
        lambda: map(adapter_toml, SOURCES),
    ),
    Harness("profile", (profile.read_profile,), partial(_settings, _profile), lambda: (PROFILE_TOML,)),
    Harness("policies", (load.load_policies, cases.run_cases), _policy, _policy_seeds, 16_384),
    Harness(
        "policy-file",
        (load.read_toml,),
        _policy_toml,
        lambda: (
            b"\0" + (POLICIES / "cities/fuzhou.toml").read_bytes(),
            b"\1" + (POLICIES / "scenarios/haicang-parking.toml").read_bytes(),
        ),
        16_384,
    ),
    Harness(
        "key-file",
        (keys.load_private_key, PairwiseSecret.load, SigningKey.load, Secret.read),
        _key_file,
        lambda: (_pem("consent"),),
        stored=False,
    ),
    Harness(
        "certificate",
        (CertificateFiles.read, CertificateFiles.facts, facts_of, certificate_document, DevCa.load),
        _certificates,
        _certificate_seeds,
    ),
)
