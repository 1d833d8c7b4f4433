"""What ``doctor`` examines: one shape for a client's profile, a gateway's settings and an adapter's."""

from __future__ import annotations

import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from gateway.cli.profile import Profile
from gateway.config import PREFIX, GatewayConfig, Witnessing
from gateway.domain.directory import KeyPurpose
from gateway.domain.ids import Role
from gateway.settings import read_settings
from gateway.transport.tls import CertificateFiles


@dataclass(frozen=True, slots=True)
class Installation:
    """Who an installation is, and where its files lie.

    ``keys`` are private signing keys by purpose, each with the id that the directory must list (empty: the thumbprint).
    ``uncovered`` are the years of an adapter's next deadlines of which it knows no holiday; None: it has no deadlines.
    """

    role: Role
    name: str
    certificate: CertificateFiles
    root: Path
    directory: Path
    bundle: Path | None
    keys: dict[KeyPurpose, tuple[str, Path]] = field(default_factory=dict)
    data_dir: Path | None = None
    log_key: Path | None = None
    log_mark: Path | None = None
    witnessing: Witnessing | None = None
    uncovered: tuple[int, ...] | None = None


def of_profile(profile: Profile) -> Installation:
    """A client's installation."""
    keys: dict[KeyPurpose, tuple[str, Path]] = {}
    if profile.proof_key is not None:
        keys["proof"] = (profile.proof_kid, profile.proof_key)
    return Installation(
        role=profile.role,
        name=profile.name,
        certificate=CertificateFiles(profile.tls.cert, profile.tls.key, profile.tls.ca),
        root=profile.root,
        directory=profile.directory,
        bundle=profile.bundle,
        keys=keys,
    )


def of_config(path: Path) -> Installation:
    """A gateway's or an adapter's installation; settings that name a city are an adapter's. Raises CONFIG_INVALID."""
    return _adapter(path) if _names_a_city(path) else _gateway(path)


def _names_a_city(path: Path) -> bool:
    try:
        return "city" in tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False  # reading it as the gateway's will say what is wrong with it


def _gateway(path: Path) -> Installation:
    settings = read_settings(GatewayConfig, path, prefix=PREFIX)
    return Installation(
        role="gateway",
        name="",
        certificate=CertificateFiles(settings.tls.cert, settings.tls.key, settings.tls.ca),
        root=settings.root,
        directory=settings.directory,
        bundle=settings.bundle,
        data_dir=settings.data_dir,
        log_key=settings.log_key,
        log_mark=settings.log_mark,
        witnessing=settings.witnessing,
    )


def _adapter(path: Path) -> Installation:
    from adapters.config import load_settings

    settings = load_settings(path)
    keys = settings.keys
    return Installation(
        role="city",
        name=settings.city,
        certificate=CertificateFiles(settings.tls.cert, settings.tls.key, settings.tls.ca),
        root=settings.root,
        directory=settings.directory,
        bundle=settings.bundle,
        keys={
            "consent": (keys.consent.kid or "", keys.consent.file),
            "attestation": (keys.attestation.kid or "", keys.attestation.file),
            "event": (keys.event.kid or "", keys.event.file),
        },
        data_dir=settings.data_dir,
        uncovered=settings.cases.deadlines().uncovered(int(time.time())),
    )
