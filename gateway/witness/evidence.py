"""Evidence of forks, one folder each, for people and for others' tools.

    <state_dir>/evidence/<log id>/<kind>-<size>-<root>/seen      the note that the witness had cosigned
                                                       shown     the note that does not continue it
                                                       request   the whole request that showed it

Both notes are signed by the log. A folder appears whole (temporary name, fsync, rename) and is never changed again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
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
    """One folder of evidence: ``split`` or ``unproven``, the log's id, and where it lies."""

    kind: str
    log: str
    folder: Path


class EvidenceFolder:
    """The evidence below one folder. ``unproven_kept``: how many of that kind are kept of one log."""

    def __init__(self, base: Path, unproven_kept: int = 1000) -> None:
        self._base = base
        self._unproven_kept = unproven_kept

    def keep(self, fork: Fork) -> bool:
        """Keep a fork, durably; whether it is a new one. Raises STORE_FAILED.

        What proves nothing by itself is kept up to a limit: a stranger could fill the disk with it.
        """
        shown = Checkpoint.parse(parse_note(fork.shown).text)
        # the whole note text counts: extension lines may differ where root and size do not
        mark = sha256(fork.seen.partition(b"\n\n")[0] + b"\n" + fork.shown.partition(b"\n\n")[0]).hexdigest()[:16]
        parent = self._base / log_id(fork.origin)
        folder = parent / f"{fork.kind}-{shown.size}-{mark}"
        try:
            if folder.exists() or (fork.kind == "unproven" and self._full(parent)):
                return False
            self._write(folder, {"seen": fork.seen, "shown": fork.shown, "request": fork.request})
        except OSError as error:
            raise TiergateError(Reason.STORE_FAILED, f"evidence: {error.strerror}", retry_after_s=5) from error
        return True

    def _full(self, parent: Path) -> bool:
        return sum(1 for _ in parent.glob("unproven-*")) >= self._unproven_kept

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
