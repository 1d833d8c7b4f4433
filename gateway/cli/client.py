"""Calls to the gateway or to the city's adapter, with the certificate and the directory of a profile."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc.aio

from gateway.cli.profile import Profile
from gateway.config import TlsFiles
from gateway.crypto.root_files import read_root
from gateway.domain.bundle import Bundle, Timeline
from gateway.domain.directory import Directory, Endpoint
from gateway.domain.ids import CityId
from gateway.errors import Problem, ProblemsError, Reason
from gateway.files import bytes_of, shown
from gateway.policy.bundle import check_in_force
from gateway.policy.directory import check_fresh
from gateway.policy.installed import installed_directory, read_bundles
from gateway.transport.channel import open_channel
from gateway.transport.errors import error_from_rpc
from gateway.transport.tls import CertificateFiles, WatchedCertificate

CALL_S = 10.0
"""Deadline of a single call, seconds; more than a gateway gives a home city."""
STREAM_S = 600.0
"""Deadline of reading a part of the log, seconds."""


def read_file(path: Path, limit: int, remedy: str = "") -> bytes:
    """A regular file of at most ``limit`` bytes. Raises CONFIG_INVALID, as a :class:`ProblemsError`."""
    name = shown(str(path))
    try:
        data = bytes_of(path, limit + 1)
    except OSError as error:
        problem = Problem(name, "", f"cannot be read ({error.strerror})", remedy)
        raise ProblemsError(Reason.CONFIG_INVALID, [problem]) from error
    if len(data) > limit:
        raise ProblemsError(Reason.CONFIG_INVALID, [Problem(name, "", f"is larger than {limit} bytes", remedy)])
    return data


def known_directory(profile: Profile) -> Directory:
    """The profile's directory, signed and in force. Raises CONFIG_INVALID, SIGNATURE_INVALID, DIRECTORY_INVALID."""
    return check_fresh(installed_directory(profile.root, profile.directory), int(time.time()), 0)


def known_bundle(profile: Profile) -> Bundle | None:
    """The profile's bundle, signed and in force; None without one.

    Raises CONFIG_INVALID, SIGNATURE_INVALID, BUNDLE_INVALID.
    """
    if profile.bundle is None:
        return None
    now = datetime.now(UTC)
    bundles, _ = read_bundles(read_root(profile.root), profile.bundle)
    return check_in_force(Timeline(bundles).at(now.timestamp()), now.date())


def endpoint_of(profile: Profile, directory: Directory) -> Endpoint:
    """Whom the profile talks to: a city's app to its city's adapter, everybody else to the gateway.

    Raises CONFIG_INVALID for a city that the directory does not list.
    """
    if profile.role != "city-app":
        return directory.gateway.endpoint
    city = directory.cities.get(CityId(profile.name))
    if city is None:
        problem = Problem("profile", "name", f'the directory lists no city "{profile.name}"', "correct the name")
        raise ProblemsError(Reason.CONFIG_INVALID, [problem])
    return city.endpoint


def certificate_files(tls: TlsFiles) -> CertificateFiles:
    """The files as the transport takes them."""
    return CertificateFiles(tls.cert, tls.key, tls.ca)


@dataclass(frozen=True, slots=True)
class Session:
    """An open connection: who is calling, by which directory, over which channel."""

    profile: Profile
    directory: Directory
    channel: grpc.aio.Channel


@asynccontextmanager
async def session(profile: Profile) -> AsyncIterator[Session]:
    """A connection to whom the profile talks to; failed calls in the block become typed errors."""
    directory = known_directory(profile)
    certificate = WatchedCertificate(certificate_files(profile.tls))
    async with open_channel(endpoint_of(profile, directory), certificate) as channel:
        try:
            yield Session(profile, directory, channel)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
