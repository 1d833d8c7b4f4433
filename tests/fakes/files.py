"""The files that an adapter is started from, in one folder: signed files, keys, settings."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.crypto.envelope import BUNDLE_TYPE, DIRECTORY_TYPE, PAYLOAD_TYPES, Authority, Root, sign
from gateway.crypto.keys import generate_signing_key, public_jwk, write_private_key
from gateway.domain.ids import CityId
from gateway.policy.directory import build_directory
from tests.fakes.network import Network, bundle_bytes


def write_signed_files(network: Network, folder: Path, *, bundle_version: int = 1) -> None:
    """``root.json``, ``directory.json`` and ``bundle.json`` under one new authority."""
    authority = generate_signing_key("ES256")
    root = Root((Authority("test", public_jwk(authority), PAYLOAD_TYPES),), dict.fromkeys(PAYLOAD_TYPES, 1))
    (folder / "root.json").write_bytes(root.to_json())
    (folder / "directory.json").write_bytes(sign(DIRECTORY_TYPE, build_directory(network.directory), [authority]))
    (folder / "bundle.json").write_bytes(sign(BUNDLE_TYPE, bundle_bytes(bundle_version), [authority]))


def write_city_keys(network: Network, city: CityId, folder: Path) -> None:
    """``consent.pem``, ``attestation.pem``, ``event.pem`` and ``pairwise.key``."""
    keys = network.keys[city]
    for name, signing in (("consent", keys.consent), ("attestation", keys.attestation), ("event", keys.event)):
        write_private_key(folder / f"{name}.pem", signing.key)
    with os.fdopen(os.open(folder / "pairwise.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(city.encode().ljust(32, b"-"))
