"""Whether the authorities signed what the log published: ``--root`` and ``--signed`` of audit commands.

An export has the bytes of each bundle, and has them from the gateway. That they are the authorities' is shown by files
of the authorities' own: their root, and the signed bundles that they publish for good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from gateway.cli.client import read_file
from gateway.cli.output import UsageError, table
from gateway.consentlog.entry import Entry
from gateway.crypto.envelope import BUNDLE_TYPE, MAX_ENVELOPE_BYTES, Root, read, signers, verify_under
from gateway.crypto.root_files import read_root
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.policy.bundle import digest_of

OPTIONS = "--root ROOT --signed FILE_OR_FOLDER"
_REMEDY = "name signed bundles, as `policy sign` writes them, or a folder of nothing else"


@dataclass(frozen=True, slots=True)
class Signed:
    """Who signed a bundle. ``root``: version of the newest root under which they are enough; 0: under none."""

    file: str
    root: int
    signed_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Authorities:
    """What the authorities have handed over: the newest root, and bundles by digest, also those that too few signed."""

    root: Root
    bundles: Mapping[str, Signed]


def read_authorities(root: Path | None, signed: Sequence[Path] | None) -> Authorities | None:
    """What ``--root`` and ``--signed`` name; None without them.

    A bundle that lies in several files is taken from the one that says most for it. That root or bundle have expired
    since is no matter. Raises :class:`UsageError` for one option alone, CONFIG_INVALID for a root or a file that cannot
    be read, SIGNATURE_INVALID for a file that is no signed bundle; both name the file.
    """
    if root is None and not signed:
        return None
    if root is None or not signed:
        raise UsageError("--root and --signed go together", f"give both: {OPTIONS}")
    trusted = read_root(root)
    found: dict[str, Signed] = {}
    for file in (file for path in signed for file in _files(path)):
        digest, one = _read(trusted, file)
        other = found.get(digest)
        if other is None or (one.root, len(one.signed_by)) > (other.root, len(other.signed_by)):
            found[digest] = one
    return Authorities(trusted, found)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.glob("*.json") if file.is_file() and not file.name.startswith("."))
    if not found:
        raise ProblemsError(Reason.CONFIG_INVALID, [Problem(str(path), "", "holds no *.json file", _REMEDY)])
    return found


def _read(trusted: Root, file: Path) -> tuple[str, Signed]:
    data = read_file(file, MAX_ENVELOPE_BYTES, _REMEDY)
    try:
        kind, payload, _ = read(data)
    except TiergateError as error:
        raise _no_bundle(file, f"is no signed file ({error.detail})") from error
    if kind != BUNDLE_TYPE:
        raise _no_bundle(file, "is signed, and no bundle")
    try:
        _, under = verify_under(trusted, BUNDLE_TYPE, data)
    except TiergateError:
        return digest_of(payload), Signed(str(file), 0, _signers(trusted, data))
    return digest_of(payload), Signed(str(file), under.version, _signers(under, data))


def _no_bundle(file: Path, message: str) -> ProblemsError:
    return ProblemsError(Reason.SIGNATURE_INVALID, [Problem(str(file), "", message, _REMEDY)])


def _signers(root: Root, envelope: bytes) -> tuple[str, ...]:
    if not root.thresholds.get(BUNDLE_TYPE):
        return ()  # it lets nobody sign bundles
    return tuple(sorted(signers(root, BUNDLE_TYPE, envelope)))


class Publications:
    """Takes a log's entries: each bundle's first publication, and how many decisions were made under it.

    What it says counts once the export has been verified, and is of all bundles in it.
    """

    def __init__(self, authorities: Authorities | None) -> None:
        """Without ``authorities`` nothing is checked, and that is said."""
        self._authorities = authorities
        self._first: dict[str, tuple[int, int]] = {}
        """Log index and version, by digest."""
        self._decisions: Counter[str] = Counter()

    def take(self, index: int, entry: Entry) -> None:
        """The next entry, at a log index."""
        if entry.type == "decision":
            self._decisions[entry.text("bundle")] += 1
        elif entry.type == "policy_published":
            self._first.setdefault(entry.text("bundle"), (index, entry.number("version")))

    @property
    def unsigned(self) -> list[str]:
        """Digests that no file shows to be signed by enough authorities, in order of publication; none unchecked."""
        if self._authorities is None:
            return []
        held = self._authorities.bundles
        return [digest for digest in self._first if digest not in held or not held[digest].root]

    def document(self) -> dict[str, Any]:
        """What was found, as JSON."""
        if self._authorities is None:
            return {"checked": False, "check_with": OPTIONS}
        unsigned = set(self.unsigned)
        told = [self._told(digest) for digest in self._first]
        return {
            "checked": True,
            "root": self._authorities.root.version,
            "signed": [item for item in told if item["bundle"] not in unsigned],
            "unsigned": [item for item in told if item["bundle"] in unsigned],
        }

    def words(self) -> Iterator[str | Table]:
        """What was found, for people."""
        if self._authorities is None:
            yield f"who signed the policy bundles was NOT CHECKED: give {OPTIONS}"
            return
        unsigned, version = self.unsigned, self._authorities.root.version
        told = [self._told(digest) for digest in self._first]
        if unsigned:
            columns = ("published at", "version", "bundle", "decisions", "file", "signed by")
            rows = [
                (
                    item["index"],
                    item["version"],
                    item["bundle"],
                    item["decisions"],
                    Path(item["file"]).name if item["file"] else "none has it",
                    ", ".join(item["signed_by"]) or "nobody of the root",
                )
                for item in told
                if not item["root"]
            ]
            yield table("Bundles that the authorities have not signed", columns, rows)
            yield (
                f"DOES NOT VERIFY: of {len(told)} bundle(s) that the log published, {len(unsigned)} not signed by as "
                f"many authorities as root version {version}, or one that it followed, asks for"
            )
            return
        earlier = sum(item["root"] != version for item in told)
        line = f"signed by enough authorities of root version {version}: all of {len(told)} policy bundle(s)"
        yield line + (f", {earlier} of them under an earlier root alone" if earlier else "")

    def _told(self, digest: str) -> dict[str, Any]:
        index, version = self._first[digest]
        held = None if self._authorities is None else self._authorities.bundles.get(digest)
        return {
            "bundle": digest,
            "version": version,
            "index": index,
            "decisions": self._decisions[digest],
            "file": None if held is None else held.file,
            "root": None if held is None else held.root or None,
            "signed_by": [] if held is None else list(held.signed_by),
        }
