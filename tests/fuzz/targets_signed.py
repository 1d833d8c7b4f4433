"""Signed files: envelopes, what lies in them, the root, and all three as a process reads them at its start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path

import rfc8785

from adapters.reference import load_reference
from gateway.crypto import envelope, keys, root_files
from gateway.crypto.trusted import TrustedKeys
from gateway.domain.directory import (
    CityPeer,
    Directory,
    DirectoryKey,
    Endpoint,
    GatewayPeer,
    KeyPurpose,
    Maintenance,
    OperatorPeer,
    PassportEntry,
)
from gateway.domain.ids import PeerIdentity
from gateway.policy import bundle, directory, entries, load, notices
from gateway.policy.installed import load_installed, read_bundles, read_notices
from tests.fuzz import world
from tests.fuzz.harness import Harness, file_of, framed, scratch
from tests.unit.policy.files import write

DOMAIN = "tiergate.example.invalid"
POLICIES = Path(__file__).parents[2] / "policies"
TYPES = (envelope.BUNDLE_TYPE, envelope.DIRECTORY_TYPE)
LONG = 64 * 1024


@cache
def directory_bytes() -> bytes:
    """A directory of one city and one operator."""

    def listed(purpose: KeyPurpose) -> DirectoryKey:
        return DirectoryKey(world.kid(purpose), purpose, "EdDSA", keys.public_jwk(world.key(purpose)))

    place = Endpoint("127.0.0.1:7001", f"fuzhou.{DOMAIN}")
    city = CityPeer(
        world.CITY, "福州", "Fuzhou", PeerIdentity(DOMAIN, "city", world.CITY), place,
        (listed("consent"), listed("attestation"), listed("event")),
    )  # fmt: skip
    operator = OperatorPeer(world.OPERATOR, PeerIdentity(DOMAIN, "operator", world.OPERATOR), (listed("proof"),))
    return directory.build_directory(
        Directory(
            version=1,
            issued=world.NOW - 60,
            expires=world.NOW + 3600,
            trust_domain=DOMAIN,
            gateway=GatewayPeer(
                world.DEPLOYMENT,
                PeerIdentity(DOMAIN, "gateway", ""),
                Endpoint("127.0.0.1:7000", f"gateway.{DOMAIN}"),
                world.ORIGIN,
                str(world.LOG.verifier),
            ),
            cities={city.id: city},
            operators={operator.id: operator},
            auditors={"bureau": PeerIdentity(DOMAIN, "auditor", "bureau")},
            witnesses={"witness": PeerIdentity(DOMAIN, "witness", "witness")},
        )
    )


@cache
def admitted_bytes() -> bytes:
    """The same, of a city with a passport, where one is required."""
    plain = directory.read_directory(directory_bytes())
    passport = PassportEntry("0" * 64, plain.expires)
    cities = {name: replace(city, passport=passport) for name, city in plain.cities.items()}
    return directory.build_directory(replace(plain, cities=cities, require_passports=True))


@cache
def bundle_bytes() -> bytes:
    """A small bundle."""
    folder = write(scratch() / "bundled", world.small_policies())
    return bundle.build_bundle(load.load_policies(folder), 1, date(2027, 12, 31))


def _document(kind: int) -> bytes:
    return (bundle_bytes(), directory_bytes())[kind]


def _envelope(data: bytes) -> bool:
    kind, rest = framed(data, 2)
    payload = envelope.verify(world.ROOT, TYPES[kind], rest)
    assert payload == _document(kind)  # nothing else was ever signed
    assert envelope.verify_under(world.ROOT, TYPES[kind], rest) == (payload, world.ROOT)
    return True


def _envelope_seeds() -> Iterator[bytes]:
    yield b"\1" + envelope.sign(TYPES[1], directory_bytes(), [world.key("authority")])


def _bundle(data: bytes) -> bool:
    found = bundle.read_bundle(data)
    assert rfc8785.dumps(json.loads(data)) == data
    assert found.digest == bundle.digest_of(data)
    bundle.check_in_force(found, date(2027, 1, 1))
    return True


def _directory(data: bytes) -> bool:
    found = directory.read_directory(data)
    assert directory.build_directory(found) == data
    directory.check_fresh(found, world.NOW, 1)
    TrustedKeys.of(found)
    return True


def _entry(data: bytes) -> bool:
    """An entry that was handed over, and the directory that lists it."""
    found = entries.read_entry(("city", "operator")[data[:1] == b"\1"], data[1:], "entry.json")
    plain = directory.read_directory(directory_bytes())
    made = entries.next_directory(plain, found, None, issued=plain.issued, expires=plain.expires)
    assert directory.read_directory(made).version == plain.version + 1
    return True


def _entry_seeds() -> Iterator[bytes]:
    plain = json.loads(directory_bytes())
    yield b"\0" + json.dumps(plain["cities"][0]).encode()
    yield b"\1" + json.dumps(plain["operators"][0]).encode()


def _installed(data: bytes) -> bool:
    """Both signed files as a process reads them at its start, one of them changed."""
    kind, rest = framed(data, 3)
    names = ("bundle", "directory", "root")
    good = [envelope.sign(TYPES[k], _document(k), [world.key("authority")]) for k in (0, 1)] + [world.ROOT.to_json()]
    paths = {
        name: file_of(f"installed/{name}", rest if place == kind else good[place]) for place, name in enumerate(names)
    }
    load_installed(paths["root"], paths["directory"], paths["bundle"], now_s=world.NOW)
    load_reference(world.CITY, paths["root"], paths["directory"], paths["bundle"], now_s=world.NOW)
    return True


def _root(data: bytes) -> bool:
    found = root_files.read_root(file_of("root.json", data))
    assert root_files.read_root(file_of("root.json", found.to_json())) == found
    assert root_files.parse_root(data, Path("root.json")) == found
    return True


def _next_root(data: bytes) -> bool:
    anchor = file_of("roots/root.json", world.ROOT.to_json())
    file_of("roots/root.2.json", data)
    found = root_files.read_root(anchor)
    assert found.version == 2
    assert envelope.read(data)[1] == found.to_json()
    return True


@cache
def next_root() -> bytes:
    """The root after the one that is installed, signed by its authority."""
    data = replace(world.ROOT, version=2).to_json()
    return envelope.sign(envelope.ROOT_TYPE, data, [world.key("authority")])


def _notice(data: bytes) -> bool:
    found = notices.read_notice(data)
    assert notices.build_notice(found) == data
    notices.without(directory.read_directory(directory_bytes()), found.removed)
    return True


@cache
def notice_bytes() -> bytes:
    """A notice of everything that one can say."""
    planned = Maintenance(world.CITY, world.NOW, world.NOW + 3600)
    peer = PeerIdentity(DOMAIN, "operator", world.OPERATOR).uri
    return notices.build_notice(notices.Notice(world.NOW, (world.kid("proof"),), (peer,), (planned,)))


HARNESSES = (
    Harness("envelope", (envelope.verify, envelope.verify_under), _envelope, _envelope_seeds, LONG),
    Harness("bundle", (bundle.read_bundle,), _bundle, lambda: (bundle_bytes(),), LONG),
    Harness("directory", (directory.read_directory,), _directory, lambda: (directory_bytes(), admitted_bytes()), LONG),
    Harness("entry", (entries.read_entry,), _entry, _entry_seeds),
    Harness("root", (root_files.read_root, root_files.parse_root), _root, lambda: (world.ROOT.to_json(),)),
    Harness("next-root", (envelope.read,), _next_root, lambda: (next_root(),), LONG),
    Harness("notice", (notices.read_notice,), _notice, lambda: (notice_bytes(),)),
    Harness(
        "installed",
        (load_installed, load_reference, read_bundles, read_notices),
        _installed,
        lambda: (b"\2" + world.ROOT.to_json(), *_envelope_seeds()),
        LONG,
    ),
)
