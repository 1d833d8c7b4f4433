"""The signed files that a process runs under: root, peer directory, policy bundle; read together or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.crypto.envelope import BUNDLE_TYPE, DIRECTORY_TYPE, MAX_ENVELOPE_BYTES, read_root, verify
from gateway.domain.bundle import Bundle
from gateway.domain.directory import Directory
from gateway.errors import Problem, ProblemsError, Reason
from gateway.policy.bundle import check_in_force, read_bundle
from gateway.policy.directory import check_fresh, read_directory


@dataclass(frozen=True, slots=True)
class Installed:
    """Verified files. ``bundle_bytes`` are the canonical bytes behind ``bundle.digest``."""

    directory: Directory
    bundle: Bundle
    bundle_bytes: bytes


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_ENVELOPE_BYTES + 1)
    except OSError as error:
        problem = Problem(str(path), "", f"cannot be read ({error.strerror})")
        raise ProblemsError(Reason.CONFIG_INVALID, [problem]) from error


def load_installed(root: Path, directory: Path, bundle: Path, *, now_s: int, newest_directory: int = 0) -> Installed:
    """Read and verify the three files. ``newest_directory``: the highest directory version taken before.

    Raises CONFIG_INVALID, SIGNATURE_INVALID, DIRECTORY_INVALID or BUNDLE_INVALID; nothing is taken in part.
    """
    trusted = read_root(root)
    peers = read_directory(verify(trusted, DIRECTORY_TYPE, _read(directory)))
    check_fresh(peers, now_s, newest_directory)
    data = verify(trusted, BUNDLE_TYPE, _read(bundle))
    policies = check_in_force(read_bundle(data), datetime.fromtimestamp(now_s, UTC).date())
    return Installed(peers, policies, data)
