"""``./dev bench log``: see README.md beside the package. Exit codes as those of ``./dev bench``."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench import report
from bench.log import appends, curve, exports
from bench.log.report import Found
from bench.processes import BenchError
from bench.run import ROOT, say
from gateway.app import GC_ALLOCATIONS, SWITCH_INTERVAL_S
from gateway.errors import TiergateError

PARTS = ("appends", "curve", "exports")
_MIN_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for. ``count``: appends a round at 256 in flight."""

    rounds: int
    count: int
    sizes: tuple[int, ...]
    exports: tuple[int, ...]
    only: tuple[str, ...]
    as_json: bool


def _entries(text: str) -> int:
    size = int(float(text))
    if not 2 * curve.NEWEST <= size <= 10**8:
        raise argparse.ArgumentTypeError(f"sizes lie between {2 * curve.NEWEST} and 10^8")
    return size


def parse(arguments: list[str]) -> Options:
    """The options; ends with code 2 for wrong ones."""
    parser = argparse.ArgumentParser(prog="./dev bench log", description="Measure the consent log by itself.")
    parser.add_argument("--rounds", type=int, default=_MIN_ROUNDS, help="rounds of each part (default 5)")
    parser.add_argument("--count", type=int, default=20_000, help="appends a round at 256 in flight (default 20,000)")
    sizes: dict[str, Any] = {"type": _entries, "nargs": "+", "metavar": "N"}
    parser.add_argument(
        "--sizes", **sizes, default=[10**4, 10**5, 10**6, 10**7], help="of the curve's logs (default 1e4 1e5 1e6 1e7)"
    )
    parser.add_argument("--exports", **sizes, default=[10**5, 10**6], help="of the exports (default 1e5 1e6)")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="only these parts")
    parser.add_argument("--quick", action="store_true", help="small and short: shows that it runs, no more")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, and nothing else there")
    given = parser.parse_args(arguments)
    if given.rounds < 1 or given.count < 1000:
        parser.error("rounds must be at least 1, count at least 1000")
    if given.quick:
        return Options(2, 2000, (2000, 4000), (2000, 4000), tuple(given.only), given.json)
    curves, whole = tuple(sorted(set(given.sizes))), tuple(sorted(set(given.exports)))
    return Options(given.rounds, given.count, curves, whole, tuple(given.only), given.json)


async def measure(options: Options, folder: Path) -> Found:
    """Every part that is wanted, below ``folder``. Raises BenchError or TiergateError."""
    found = Found(report.machine() | {"cores_allowed": len(os.sched_getaffinity(0))})
    if "appends" in options.only:
        found.appends = await appends.measure(folder, options.rounds, options.count)
    if "curve" in options.only:
        some = options.count // 5
        found.curve = await curve.measure(folder, options.sizes, options.rounds, some, some // 4)
    if "exports" in options.only:
        found.exports = await exports.measure(folder, options.exports, options.rounds)
    return found


def main(arguments: list[str]) -> int:
    """Run and report; returns the exit code."""
    options = parse(arguments)
    state = ROOT / ".state"  # on the checkout's disk, as everything that commits
    state.mkdir(exist_ok=True)
    sys.setswitchinterval(SWITCH_INTERVAL_S)  # this process is run as the gateway runs
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-log-", dir=state) as name:
            found = uvloop.run(measure(options, Path(name)))
    except (BenchError, TiergateError) as error:
        say(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    print(json.dumps(found.document(), indent=1) if options.as_json else found.table())
    if options.rounds < _MIN_ROUNDS:
        say(f"bench: {options.rounds} rounds are too few for a result")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
