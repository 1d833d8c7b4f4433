"""The signed files that a process runs under: root, directory, notices, bundles; read together or not at all.

The path of the bundle names one file, or a folder of several: the one in force, the one before it for as long as it is
in grace, and the next ones, installed before they take effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from gateway.crypto.envelope import BUNDLE_TYPE, DIRECTORY_TYPE, MAX_ENVELOPE_BYTES, NOTICE_TYPE, Root, verify
from gateway.crypto.root_files import check_root, read_root
from gateway.domain.bundle import Bundle, Timeline
from gateway.domain.directory import Directory, Maintenance
from gateway.domain.ids import BundleDigest
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.files import bytes_of
from gateway.policy.bundle import check_in_force, digest_of, read_bundle
from gateway.policy.directory import ISSUED_AHEAD, ISSUED_AHEAD_S, check_fresh, read_directory
from gateway.policy.notices import Notice, newest_removals, read_notice, without
from gateway.policy.pace import at_once, without_haste

MAX_FILES = 64
MAX_NOTICES = 1024
"""More than an emergency can need: one notice takes 64 keys, and those that have served are taken away."""
NOTICES = "notices"
_REMOVED = "removed:"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a process has worked by before and must not fall behind: newest versions (0: none), and what was removed.

    ``removed``: time of removal (Unix seconds) by key thumbprint or SPIFFE id; taking a notice's file away does not
    bring a key back.
    """

    root: int = 0
    directory: int = 0
    bundle: int = 0
    removed: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, numbers: Mapping[str, int]) -> Seen:
        """What :meth:`numbers` gave; other names are passed over."""
        removed = {name[len(_REMOVED) :]: at for name, at in numbers.items() if name.startswith(_REMOVED)}
        return cls(numbers.get("root", 0), numbers.get("directory", 0), numbers.get("bundle", 0), removed)

    def numbers(self) -> dict[str, int]:
        """As numbers by name, of which a store has to remember the highest."""
        removed = {f"{_REMOVED}{name}": at for name, at in self.removed.items()}
        return {"root": self.root, "directory": self.directory, "bundle": self.bundle, **removed}


@dataclass(frozen=True, slots=True)
class Installed:
    """Verified files. ``bundle_bytes``: the canonical bytes by digest. ``directory``: without what was removed."""

    root: Root
    directory: Directory
    timeline: Timeline
    bundle_bytes: Mapping[BundleDigest, bytes]
    maintenance: tuple[Maintenance, ...] = ()
    removed: Mapping[str, int] = field(default_factory=dict)

    @property
    def seen(self) -> Seen:
        """What is to be remembered before these files are worked by."""
        newest = self.timeline.bundles[-1].version
        return Seen(self.root.version, self.directory.version, newest, self.removed)

    def maintenance_left(self, peer: str, now_s: float) -> float:
        """For how many seconds more a city, or the gateway, is under announced maintenance; 0 while it is not."""
        ends = [item.ends for item in self.maintenance if item.peer == peer and item.starts <= now_s < item.ends]
        return max(ends, default=now_s) - now_s


def load_installed(
    root: Path,
    directory: Path,
    bundle: Path,
    *,
    now_s: int,
    seen: Seen | None = None,
    held: Timeline | None = None,
) -> Installed:
    """Read and verify all files; nothing is taken in part. ``now_s``: Unix seconds.

    ``held``: what the process works by meanwhile; those bundles are not read again, and the others without haste.

    Raises CONFIG_INVALID, SIGNATURE_INVALID, DIRECTORY_INVALID, NOTICE_INVALID or BUNDLE_INVALID.
    """
    seen = seen or Seen()
    trusted = check_root(read_root(root), now_s, seen.root)
    listed = check_fresh(read_directory(verify(trusted, DIRECTORY_TYPE, _read(directory))), now_s, seen.directory)
    notices = read_notices(trusted, directory)
    if any(notice.issued > now_s + ISSUED_AHEAD_S for notice in notices):
        raise TiergateError(Reason.NOTICE_INVALID, f"a notice {ISSUED_AHEAD}")  # it would outlive directories to come
    removed = newest_removals(notices, seen.removed)
    bundles, contents = read_bundles(trusted, bundle, held)
    timeline = Timeline(bundles)
    in_force = check_in_force(timeline.at(now_s), datetime.fromtimestamp(now_s, UTC).date())
    if bundles[-1].version < seen.bundle:
        detail = f"bundle version {bundles[-1].version} is older than version {seen.bundle}, seen before"
        raise TiergateError(Reason.BUNDLE_INVALID, detail)
    for found in bundles[bundles.index(in_force) :]:  # those to come turn by the clock: nobody looks again then
        if found.version < listed.bundle_from or listed.version < found.directory_from:
            detail = (
                f"directory version {listed.version} goes with bundles from version {listed.bundle_from} on, and "
                f"bundle version {found.version} with directories from version {found.directory_from} on"
            )
            raise TiergateError(Reason.BUNDLE_INVALID, detail)
    planned = tuple(item for notice in notices for item in notice.maintenance if item.ends > now_s)
    return Installed(trusted, without(listed, removed), timeline, contents, planned, removed)


def installed_directory(root: Path, directory: Path) -> Directory:
    """The directory as installed, without what notices have removed; whether it is in force is ``check_fresh``.

    Raises CONFIG_INVALID, SIGNATURE_INVALID, DIRECTORY_INVALID, NOTICE_INVALID.
    """
    trusted = read_root(root)
    listed = read_directory(verify(trusted, DIRECTORY_TYPE, _read(directory)))
    return without(listed, newest_removals(read_notices(trusted, directory), {}))


def read_notices(trusted: Root, directory: Path) -> list[Notice]:
    """The notices beside a directory's file, verified. Raises CONFIG_INVALID, SIGNATURE_INVALID, NOTICE_INVALID.

    One by an authority that an earlier root named, and ``trusted`` does not, is passed over: it was right in its time,
    and whoever has taken its key since can remove nobody.
    """
    return [notice for notice in _notices(trusted, directory).values() if notice is not None]


def served_notices(trusted: Root, directory: Path, listed: Directory, now_s: int) -> list[Path]:
    """Files of notices that do nothing any more: by authorities that left, or over and before ``listed`` was issued.

    Raises what :func:`read_notices` raises.
    """
    return [
        file
        for file, notice in _notices(trusted, directory).items()
        if notice is None
        or (
            all(item.ends <= now_s for item in notice.maintenance)
            and (not notice.removed or notice.issued < listed.issued)
        )
    ]


def _notices(trusted: Root, directory: Path) -> dict[Path, Notice | None]:
    """By file; None for one that is passed over."""
    return {file: _notice(trusted, file) for file in _files(directory.parent / NOTICES, "*.json", MAX_NOTICES)}


def _notice(trusted: Root, file: Path) -> Notice | None:
    try:
        return read_notice(_named(file, lambda data: verify(trusted, NOTICE_TYPE, data)))
    except TiergateError as error:
        if error.reason is Reason.SIGNATURE_INVALID and trusted.before is not None:
            with suppress(TiergateError):
                _notice(trusted.before, file)
                return None
        raise


def read_bundles(
    trusted: Root, path: Path, held: Timeline | None = None
) -> tuple[tuple[Bundle, ...], Mapping[BundleDigest, bytes]]:
    """The bundles of a file or folder, in order of version, and their bytes by digest.

    Every signature is verified anew, since the root may be another one; what a digest stands for stays what it was.

    Raises CONFIG_INVALID (nothing there), SIGNATURE_INVALID, BUNDLE_INVALID (two of one version included).
    """
    files = _files(path, "*.json") if path.is_dir() else [path]
    if not files:
        raise ProblemsError(
            Reason.CONFIG_INVALID, [Problem(str(path), "", "holds no bundle", "install the signed bundle")]
        )
    known = {bundle.digest: bundle for bundle in held.bundles} if held else {}
    breathe = without_haste() if held else at_once
    contents = {}
    for file in files:
        data = _named(file, lambda envelope: verify(trusted, BUNDLE_TYPE, envelope))
        bundle = known.get(digest_of(data)) or read_bundle(data, breathe)
        contents[bundle.digest] = (bundle, data)
    bundles = sorted((bundle for bundle, _ in contents.values()), key=lambda item: item.version)
    versions = [bundle.version for bundle in bundles]
    if len(set(versions)) != len(versions):
        # under one version there is one bundle: else two peers could each be shown another one
        raise TiergateError(Reason.BUNDLE_INVALID, "two bundles of one version are installed")
    return tuple(bundles), {digest: data for digest, (_, data) in contents.items()}


def _named(path: Path, check: Callable[[bytes], bytes]) -> bytes:
    """A file's payload; a failed signature is told with the file's name, since there are several of a kind."""
    try:
        return check(_read(path))
    except TiergateError as error:
        if isinstance(error, ProblemsError):
            raise
        raise TiergateError(error.reason, f"{path.name}: {error.detail}") from error


def _files(folder: Path, pattern: str, most: int = MAX_FILES) -> list[Path]:
    """Files of a folder in order of name; none if it does not exist. Raises CONFIG_INVALID for more than ``most``."""
    found = sorted(file for file in folder.glob(pattern) if not file.name.startswith("."))
    if len(found) > most:
        problem = Problem(str(folder), "", f"holds more than {most} files", "take away those that have served")
        raise ProblemsError(Reason.CONFIG_INVALID, [problem])
    return found


def _read(path: Path) -> bytes:
    try:
        return bytes_of(path, MAX_ENVELOPE_BYTES + 1)
    except OSError as error:
        problem = Problem(str(path), "", f"cannot be read ({error.strerror})")
        raise ProblemsError(Reason.CONFIG_INVALID, [problem]) from error
