"""The doctor's checks that need no peer: signed files, certificate, keys, clock, disk."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.cli.backup import DATABASE
from gateway.cli.certs_check import check_certificate
from gateway.cli.client import read_file
from gateway.cli.findings import Finding, of_error, ok, problem, warning
from gateway.cli.installation import Installation
from gateway.cli.messages import time_of_s
from gateway.cli.stored_log import StoredLog
from gateway.consentlog.entry import decode
from gateway.consentlog.note import SignerKey
from gateway.consentlog.shard import first_of, located
from gateway.crypto.envelope import DIRECTORY_TYPE, MAX_ENVELOPE_BYTES, Root, verify
from gateway.crypto.keys import load_private_key, public_jwk, thumbprint
from gateway.crypto.root_files import read_root
from gateway.domain.bundle import Bundle, Timeline
from gateway.domain.directory import Directory, DirectoryKey
from gateway.domain.ids import CityId, OperatorId, PeerIdentity
from gateway.errors import TiergateError
from gateway.policy.directory import read_directory
from gateway.policy.installed import read_bundles
from gateway.sqlite.connect import connect_reader
from gateway.storage.mark import marked_end

SOON_DAYS = 7
QUARTER_DAYS = 92
"""A shard is sealed once a quarter: from then on its size and its key are final."""
LEAST_FREE_BYTES = 256 * 1024 * 1024
LOW_FREE_BYTES = 2 * 1024 * 1024 * 1024
_RESTORE = "the gateway will not start on it: put back the newest copy (tiergate restore), or the mark's own file"
_HANDED_OVER = "take the files that the authorities handed over"


@dataclass
class ExaminedFiles:
    """What was found, and the signed files that can be used."""

    findings: list[Finding] = field(default_factory=list)
    directory: Directory | None = None
    bundle: Bundle | None = None


def examine_files(installation: Installation) -> ExaminedFiles:
    """Every check without a peer."""
    examined = ExaminedFiles()
    now_s = int(time.time())
    try:
        root = read_root(installation.root)
    except TiergateError as error:
        examined.findings += of_error("root", str(installation.root), error, _HANDED_OVER)
    else:
        _directory(installation, root, now_s, examined)
        _bundle(installation, root, examined)
    identity, dns = _expected(installation, examined.directory)
    examined.findings += check_certificate(installation.certificate, identity, dns)
    if examined.directory is not None:
        examined.findings += _listed(installation, examined.directory)
        examined.findings += _keys(installation, examined.directory)
    if installation.data_dir is not None:
        examined.findings.append(_disk(installation.data_dir))
        if installation.role == "gateway":
            examined.findings += _log(installation.data_dir / DATABASE, installation.log_mark)
    if installation.uncovered is not None:
        examined.findings.append(_calendar(installation.uncovered))
    return examined


def _calendar(uncovered: tuple[int, ...]) -> Finding:
    if not uncovered:
        return ok("calendar", "[cases]", "the holidays of each year that a case opened now reaches into are known")
    text = f"no holiday of {', '.join(map(str, uncovered))} is entered: deadlines over one end too early"
    remedy = "enter holidays and workdays from the State Council's notice on that year, when it is out"
    return warning("calendar", "[cases]", text, remedy)


def _directory(installation: Installation, root: Root, now_s: int, examined: ExaminedFiles) -> None:
    subject = str(installation.directory)
    try:
        envelope = read_file(installation.directory, MAX_ENVELOPE_BYTES)
        directory = read_directory(verify(root, DIRECTORY_TYPE, envelope))
    except TiergateError as error:
        examined.findings += of_error("directory", subject, error, f"{_HANDED_OVER}: it must be signed under the root")
        return
    examined.directory = directory
    until = time_of_s(directory.expires)
    if now_s < directory.issued - 10:
        issued = time_of_s(directory.issued)
        text = f"here it is {time_of_s(now_s)}, before the directory was issued ({issued})"
        examined.findings.append(problem("clock", "this machine", text, "set this machine's clock (NTP)"))
    else:
        text = "not behind the newest signed file; no other time source was asked"
        examined.findings.append(ok("clock", "this machine", text))
    if now_s >= directory.expires:
        remedy = "get the newest directory; if that is this one, look at this machine's clock"
        examined.findings.append(problem("directory", subject, f"expired at {until}", remedy))
    elif now_s >= directory.expires - SOON_DAYS * 86_400:
        examined.findings.append(warning("directory", subject, f"expires at {until}", "get the newest directory"))
    else:
        examined.findings.append(ok("directory", subject, f"version {directory.version}, signed, valid until {until}"))


def _bundle(installation: Installation, root: Root, examined: ExaminedFiles) -> None:
    if installation.bundle is None:
        return
    subject = str(installation.bundle)
    try:
        bundles, _ = read_bundles(root, installation.bundle)
        bundle = Timeline(bundles).at(time.time())
    except TiergateError as error:
        examined.findings += of_error("bundle", subject, error, f"{_HANDED_OVER}: it must be signed under the root")
        return
    examined.bundle = bundle
    today = datetime.now(UTC).date()
    if today > bundle.expires:
        examined.findings.append(problem("bundle", subject, f"expired on {bundle.expires}", "get the newest bundle"))
    elif today > bundle.expires - timedelta(days=SOON_DAYS):
        examined.findings.append(warning("bundle", subject, f"expires on {bundle.expires}", "get the newest bundle"))
    else:
        text = f"version {bundle.version}, signed, until {bundle.expires}, digest {bundle.digest}"
        examined.findings.append(ok("bundle", subject, text))


def _expected(installation: Installation, directory: Directory | None) -> tuple[PeerIdentity | None, str | None]:
    """The identity and DNS name that the certificate must carry; nothing without a directory."""
    if directory is None:
        return None, None
    identity = PeerIdentity(directory.trust_domain, installation.role, installation.name)
    if installation.role == "gateway":
        return identity, directory.gateway.endpoint.server_name
    city = directory.cities.get(CityId(installation.name)) if installation.role == "city" else None
    return identity, None if city is None else city.endpoint.server_name


def _listed(installation: Installation, directory: Directory) -> Iterator[Finding]:
    name = installation.name
    known = {
        "gateway": True,
        "city": name in directory.cities,
        "city-app": name in directory.cities,
        "operator": name in directory.operators,
        "auditor": name in directory.auditors,
        "witness": name in directory.witnesses,
    }[installation.role]
    if not known:
        text = f"the directory lists no {installation.role} {name}"
        yield problem("directory", str(installation.directory), text, "correct the name, or have yourself entered")


def _keys(installation: Installation, directory: Directory) -> Iterator[Finding]:
    listed = _listed_keys(installation, directory)
    for purpose, (named, path) in installation.keys.items():
        try:
            jwk = public_jwk(load_private_key(path))
        except TiergateError as error:
            yield from of_error("key", str(path), error, "a PEM key, mode 600, on this machine")
            continue
        kid = named or thumbprint(jwk)
        if any(item.purpose == purpose and item.kid == kid and dict(item.jwk) == jwk for item in listed):
            yield ok("key", str(path), f"{purpose} key, listed in the directory")
        else:
            remedy = "have its public part entered in the directory, or take the key that is entered"
            yield problem("key", str(path), f"the directory does not list this {purpose} key under {kid}", remedy)
    if installation.log_key is not None:
        yield _log_key(installation.log_key, directory)


def _listed_keys(installation: Installation, directory: Directory) -> tuple[DirectoryKey, ...]:
    if installation.role == "city":
        city = directory.cities.get(CityId(installation.name))
        return () if city is None else city.keys
    operator = directory.operators.get(OperatorId(installation.name))
    return () if operator is None else operator.keys


def _log_key(path: Path, directory: Directory) -> Finding:
    remedy = "take the log key whose public part the directory names"
    try:
        if path.stat().st_mode & 0o077:
            return problem("key", str(path), "can be read by others", "chmod 600")
        vkey = str(SignerKey.parse(path.read_text("ascii").strip()).verifier)
    except (OSError, UnicodeDecodeError, TiergateError):
        return problem("key", str(path), "is not a readable log key", remedy)
    if vkey in {earlier.vkey for earlier in directory.gateway.earlier_logs}:
        text = "is of a shard that the directory lists among the earlier ones: nothing can be signed with it"
        return problem("key", str(path), text, "stop the gateway, seal the shard (tiergate audit seal), start it")
    if vkey != directory.gateway.log_vkey:
        return problem("key", str(path), "is not the log key that the directory names", remedy)
    return ok("key", str(path), "log key, named in the directory")


def _log(database: Path, mark: Path | None) -> Iterator[Finding]:
    """Whether the log is all that was signed, and how old its newest shard is; nothing before there is a log."""
    try:
        signed = None if mark is None else marked_end(mark)  # before the log, which may grow meanwhile
    except TiergateError as error:
        yield from of_error("log", str(mark), error, _RESTORE)
        return
    if not database.exists():
        if signed:
            yield problem("log", str(database), f"is missing, and {_place(signed)} were signed", _RESTORE)
        return
    try:
        with closing(connect_reader(database)) as connection:
            log = StoredLog(connection)
            genesis = next(log.entries(first_of(log.shard), first_of(log.shard) + 1), None)
    except (TiergateError, sqlite3.Error):
        yield problem("log", str(database), "cannot be read", "see the gateway's own log")
        return
    if genesis is None:
        return
    if mark is not None and signed is None and log.size > 1:
        yield problem("log", str(mark), "is missing beside a log that has entries", _RESTORE)
    elif first_of(log.shard) + log.size < (signed or 0):
        text = f"ends at {log.size} entries of shard {log.shard}, and {_place(signed or 0)} were signed"
        yield problem("log", str(database), text, _RESTORE)
    days = int(time.time() - decode(genesis).time / 1000) // 86_400
    text = f"shard {log.shard} of {log.size} entries, begun {days} days ago"
    if days > QUARTER_DAYS:
        yield warning("log", str(database), text, "prepare the next key: tiergate keys rotate --purpose log says how")
    else:
        yield ok("log", str(database), text)


def _place(end: int) -> str:
    shard, size = located(end)
    return f"{size} entries of shard {shard}"


def _disk(folder: Path) -> Finding:
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    text = f"{free // (1024 * 1024)} MiB free"
    remedy = "make room: without it no decision can be logged, and so none is given"
    if free < LEAST_FREE_BYTES:
        return problem("disk", str(folder), text, remedy)
    return warning("disk", str(folder), text, remedy) if free < LOW_FREE_BYTES else ok("disk", str(folder), text)
