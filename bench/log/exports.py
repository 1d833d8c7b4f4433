"""Export and verification of a log: entries per second, and peak memory on two sizes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.log.importing import bulk_import
from bench.log.material import Log, fill
from bench.log.reading import TRUST
from bench.processes import BenchError
from bench.run import say

WHAT = ("export", "hashes", "replay")
_LIMIT_S = 3600
_FIRST = 1000


@dataclass(frozen=True, slots=True)
class Reading:
    """One run of one process: entries, seconds by the clock and of the processor, peak resident bytes."""

    entries: int
    seconds: float
    cpu_seconds: float
    peak_rss: int


def _read(what: str, log: Log, target: Path) -> Reading:
    command = [sys.executable, "-m", "bench.child", "bench.log.reading", what, str(log.folder), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode:
        raise BenchError(f"{what} ended with {done.returncode}\n{done.stderr[-2000:]}")
    found = Reading(**json.loads(done.stdout))
    rate, cpu = found.entries / found.seconds, found.entries / found.cpu_seconds
    say(f"{what:<7}{found.entries:>9} entries {rate:>7.0f}/s ({cpu:.0f}/s a core)  peak {found.peak_rss >> 20} MiB")
    return found


async def _make(folder: Path, size: int) -> Log:
    log = Log.make(folder / f"export-{size}")
    (log.folder / TRUST).write_bytes(log.trust)
    store = await log.open()
    await fill(store, "first", min(size, _FIRST))
    await store.close()
    bulk_import(log, size)
    return log


async def measure(folder: Path, sizes: Sequence[int], rounds: int) -> dict[int, dict[str, list[Reading]]]:
    """By size and by what was done. Each round exports anew and verifies twice, at every size. Raises BenchError."""
    logs = {size: await _make(folder, size) for size in sizes}
    found: dict[int, dict[str, list[Reading]]] = {size: {what: [] for what in WHAT} for size in sizes}
    for _ in range(rounds):
        for size, log in logs.items():
            target = log.folder / "export"
            for what in WHAT:
                found[size][what].append(_read(what, log, target))
            shutil.rmtree(target)
    return found
