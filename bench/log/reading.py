"""Export, or verify an export, in a process of its own: ``python -m bench.log.reading WHAT FOLDER EXPORT``.

WHAT is ``export``, ``hashes`` (leaf hashes, tiles, root, checkpoint) or ``replay`` (with each entry's schema, its links
and the replay of every decision). FOLDER is a log's, closed. Prints entries, seconds and peak resident bytes as JSON.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.log.material import DATA
from gateway.cli.audit_replay import bundle_reader
from gateway.consentlog.audit import EntryAuditor
from gateway.consentlog.entry import Entry
from gateway.consentlog.export import write_export
from gateway.consentlog.merkle import leaf_hash
from gateway.consentlog.replay import Replay
from gateway.consentlog.tiles import Bundle, bundle_path, parse_bundle
from gateway.consentlog.verify import read_part, verify_export, verify_form
from gateway.errors import Reason, TiergateError
from gateway.sqlite.connect import connect_reader

TRUST = "trust"
_MAX_BUNDLE = 1 << 24


class _Stored:
    """A log as its database has it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def checkpoint(self) -> str:
        return str(self._connection.execute("SELECT checkpoint FROM head").fetchone()[0])

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        rows = self._connection.execute("SELECT leaf FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx", (start, end))
        for (leaf,) in rows:
            yield leaf.encode("ascii")


def export(folder: Path, target: Path) -> int:
    """Export the log; its size."""
    trust = (folder / TRUST).read_bytes()
    connection = connect_reader(folder / DATA)
    bundles = dict(connection.execute("SELECT digest, data FROM bundle").fetchall())
    return write_export(_Stored(connection), target, bundles, trust).checkpoint.size


def hashes(folder: Path, target: Path) -> int:
    """Verify what hashes alone can say; the size."""

    def leaves(part: Path, bundle: Bundle, _auditor: EntryAuditor) -> Iterator[bytes]:
        data = read_part(part, bundle_path(bundle), _MAX_BUNDLE)
        return map(leaf_hash, parse_bundle(data, bundle.width))

    trust = (folder / TRUST).read_bytes()
    return verify_form(
        target,
        trust,
        leaves,
        bundle_path,
        [file.relative_to(target).as_posix() for file in (target / "bundles").iterdir()],
    ).size


def replay(folder: Path, target: Path) -> int:
    """Verify everything, and recompute every decision; the size. Raises LOG_CORRUPT for a decision that differs."""
    replayed = Replay(bundle_reader(target))

    def take(index: int, entry: Entry) -> None:
        found = replayed.take(index, entry)
        if found is not None and found.differences:
            raise TiergateError(Reason.LOG_CORRUPT, f"entry {found.index}: {found.differences[0].code}")

    return verify_export(target, (folder / TRUST).read_bytes(), take).size


def main(what: str, folder: Path, target: Path) -> None:
    """Do it once, and print what it took."""
    begun, worked = time.perf_counter(), time.process_time()
    size = {"export": export, "hashes": hashes, "replay": replay}[what](folder, target)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - worked
    print(json.dumps({"entries": size, "seconds": seconds, "cpu_seconds": cpu, "peak_rss": _peak_rss()}))


def _peak_rss() -> int:
    """Of this program alone (proc(5), VmHWM): ``getrusage`` also counts what the parent was when it forked."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
