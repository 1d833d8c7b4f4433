"""Evidence of forks, one folder each, for people and for others' tools.

    <state_dir>/evidence/<log id>/<kind>-<size>-<root>/seen      the note that the witness had cosigned
                                                       shown     the note that does not continue it
                                                       request   the whole request that showed it

Both notes are signed by the log. A folder appears whole (temporary name, fsync, rename) and is never changed again.
Proven forks (``split``, ``inconsistent``) stay. What is ``unproven`` goes when its checkpoint has been proved
consistent after all, and the oldest of it when there is too much: a stranger can bring it about, and is not to fill the
disk with it, nor to keep anything else out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.note import parse_note
from gateway.consentlog.witness import Fork, log_id
from gateway.errors import Reason, TiergateError
from gateway.files import make_folders, sync_folder

_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class KeptFork:
    """One folder of evidence: ``split``, ``inconsistent`` or ``unproven``, the log's id, and where it lies."""

    kind: str
    log: str
    folder: Path


class EvidenceFolder:
    """The evidence below one folder. ``unproven_kept``: how many of that kind are kept of one log."""

    def __init__(self, base: Path, unproven_kept: int = 1000) -> None:
        self._base = base
        self._unproven_kept = unproven_kept

    def keep(self, fork: Fork) -> bool:
        """Keep a fork, durably; whether it is a new one. Raises STORE_FAILED."""
        shown = Checkpoint.parse(parse_note(fork.shown).text)
        # the whole note text counts: extension lines may differ where root and size do not
        mark = sha256(fork.seen.partition(b"\n\n")[0] + b"\n" + fork.shown.partition(b"\n\n")[0]).hexdigest()[:16]
        parent = self._base / log_id(fork.origin)
        folder = parent / f"{fork.kind}-{shown.size}-{mark}"
        try:
            if folder.exists():
                return False
            self._write(folder, {"seen": fork.seen, "shown": fork.shown, "request": fork.request})
            if fork.kind == "unproven":
                self._make_room(parent, folder)
        except OSError as error:
            raise TiergateError(Reason.STORE_FAILED, f"evidence: {error.strerror}", retry_after_s=5) from error
        return True

    def settle(self, origin: str, note: bytes) -> None:
        """Drop what is unproven of exactly the head of ``note``, which has been proved to continue the log by now.

        What cannot be read or removed stays: evidence too much harms nobody.
        """
        head = Checkpoint.parse(parse_note(note).text)
        for folder in self._unproven(self._base / log_id(origin), f"{head.size}-*"):
            with suppress(OSError, TiergateError):
                shown = Checkpoint.parse(parse_note((folder / "shown").read_bytes()).text)
                if (shown.size, shown.root) == (head.size, head.root):
                    self._drop(folder)

    def _make_room(self, parent: Path, newest: Path) -> None:
        others = (folder for folder in self._unproven(parent) if folder != newest)
        oldest_first = sorted(others, key=lambda folder: folder.stat().st_mtime_ns)
        for folder in oldest_first[: max(0, len(oldest_first) + 1 - self._unproven_kept)]:
            self._drop(folder)

    @staticmethod
    def _unproven(parent: Path, rest: str = "*") -> list[Path]:
        return [folder for folder in parent.glob(f"unproven-{rest}") if folder.suffix != _PARTIAL]

    @staticmethod
    def _drop(folder: Path) -> None:
        """Take a folder away: half of it is never seen."""
        partial = folder.with_name(folder.name + _PARTIAL)
        folder.rename(partial)
        shutil.rmtree(partial)

    def _write(self, folder: Path, files: dict[str, bytes]) -> None:
        make_folders(folder.parent, mode=0o700)
        partial = folder.with_name(folder.name + _PARTIAL)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        for name, data in files.items():
            with (partial / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        sync_folder(partial)
        partial.rename(folder)
        sync_folder(folder.parent)

    def all(self) -> Iterator[KeptFork]:
        """Everything that is kept, in the order of the paths."""
        for folder in sorted(self._base.glob("*/*-*")):
            if folder.suffix != _PARTIAL:
                yield KeptFork(folder.name.partition("-")[0], folder.parent.name, folder)
