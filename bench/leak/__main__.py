"""``python -m bench.leak``: see README.md of the benchmark for the method.

Exit codes: 0 all reasons look alike (with ``--planted``: the leak was caught each time), 1 they do not, 2 wrong
arguments, 3 undecided: noise leaves the bound, 4 it could not be carried out.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import grpc.aio
import uvloop

from bench.leak import report
from bench.leak.classes import REASONS, TWIN
from bench.leak.planted import DELAY_S, SLOW
from bench.leak.shapes import differences, shapes
from bench.leak.stage import Stage, set_up
from bench.leak.timing import PATHS, Times, measure
from bench.leak.timing import Path as Way
from bench.processes import BenchError
from bench.procfs import cpu_seconds, machine_busy_seconds
from bench.run import ROOT, say
from gateway.errors import TiergateError

ROUNDS, PLANTED_ROUNDS, PLANTED_RUNS = 20_000, 2500, 10
ALL = (*REASONS, TWIN)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    rounds: int
    paths: tuple[Way, ...]
    bounds: dict[Way, float]
    time_grid_s: float
    planted: bool
    json: bool


def parse(arguments: Sequence[str]) -> Options:
    """Options, or the end of the program."""
    parser = argparse.ArgumentParser(prog="./dev leak", description="Do the reasons of an ordinary answer look alike?")
    parser.add_argument("--rounds", type=int, help=f"of each path (default {ROUNDS}; planted {PLANTED_ROUNDS} a run)")
    parser.add_argument("--path", choices=PATHS, action="append", help="time this path alone (default: both)")
    for path in PATHS:
        parser.add_argument(f"--bound-{path.replace(' ', '-')}", type=float, default=report.BOUNDS[path], metavar="US")
    parser.add_argument("--time-grid", type=float, default=0.005, metavar="S", help="of the city's answers (0: none)")
    parser.add_argument("--planted", action="store_true", help=f"is a leak of {DELAY_S * 1e6:.0f} µs caught each time?")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, and nothing else there")
    given = parser.parse_args(arguments)
    rounds = (PLANTED_ROUNDS if given.planted else ROUNDS) if given.rounds is None else given.rounds
    if rounds < 3 or not 0 <= given.time_grid <= 1:
        parser.error("rounds must be at least 3, the time grid in [0, 1]")
    bounds: dict[Way, float] = {"cached": given.bound_cached, "round trip": given.bound_round_trip}
    paths = tuple(given.path or (PATHS[:1] if given.planted else PATHS))
    return Options(rounds, paths, bounds, given.time_grid, given.planted, given.json)


async def _timed(stage: Stage, path: Way, rounds: int, bound: float) -> report.Timing:
    before, begin = _others_busy(stage), time.monotonic()
    times: Times = await measure(stage, ALL, path, rounds, say)
    busy = (_others_busy(stage) - before) / (time.monotonic() - begin)
    return report.timing(path, times, bound, max(0.0, busy))


def _others_busy(stage: Stage) -> float:
    """CPU seconds so far of everything that is not this run."""
    return machine_busy_seconds() - cpu_seconds(os.getpid()) - sum(cpu_seconds(item.pid) for item in stage.servers)


async def look(options: Options, folder: Path) -> int:
    """Compare bytes, log and times."""
    async with set_up(folder, time_grid_s=options.time_grid_s) as stage:
        seen = await shapes(stage, ALL)
        apart = differences(seen)
        say(f"bytes, metadata, status, log and receipts: {len(apart)} differences")
        found = [await _timed(stage, path, options.rounds, options.bounds[path]) for path in options.paths]
    questions = sum(len(asked) for asked in seen.values())
    if options.json:
        print(json.dumps({"differences": apart, "timing": [report.document(item) for item in found]}, indent=1))
    else:
        print(f"{len(seen)} reasons, {questions} answers: bytes, metadata, status, log entries and receipts "
              + ("are the same" if not apart else "DIFFER:"))  # fmt: skip
        print("\n".join([*(f"  {line}" for line in apart), *(report.table(item) for item in found)]))
    verdicts: set[report.Verdict] = {item.verdict for item in found}
    if apart or "different" in verdicts:
        return 1
    return 3 if "undecided" in verdicts else 0


def caught(found: report.Timing) -> bool:
    """Whether every pair of which one is slowed shows it."""
    return all(found.verdict_on(pair) == "different" for pair in found.pairs if pair.holds(SLOW) == 1)


async def look_for_planted(options: Options, folder: Path) -> int:
    """Run against a gateway that leaks, again and again."""
    results = []
    async with set_up(folder, module="bench.leak.planted", time_grid_s=options.time_grid_s) as stage:
        for path in options.paths:
            for number in range(PLANTED_RUNS):
                found = await _timed(stage, path, options.rounds, options.bounds[path])
                results.append((found, caught(found)))
                shown = [abs(pair.interval.median) for pair in found.pairs if pair.holds(SLOW) == 1]
                floor = found.floor.interval
                word = "caught" if results[-1][1] else "NOT CAUGHT"
                say(f"{path}, run {number + 1}: {word}, shows as {min(shown):.0f} to {max(shown):.0f} µs; "
                    f"noise floor [{floor.low:+.1f}, {floor.high:+.1f}]")  # fmt: skip
    count = sum(hit for _, hit in results)
    if options.json:
        print(json.dumps([report.document(found) | {"caught": hit} for found, hit in results], indent=1))
    else:
        print(f"a delay of {DELAY_S * 1e6:.0f} µs for withdrawn consents: caught in {count} of {len(results)} runs")
    return 0 if count == len(results) else 1


def _stop(number: int, _frame: FrameType | None) -> None:
    say(f"leak: stopped by {signal.Signals(number).name}")
    sys.exit(128 + number)  # unwinds, so that servers are ended and files removed


def main(arguments: Sequence[str]) -> int:
    """Measure and report; returns the exit code."""
    options = parse(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    gc.freeze()
    state = ROOT / ".state"  # on the checkout's disk, where commits cost what they cost
    state.mkdir(exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="leak-", dir=state) as name:
            return uvloop.run((look_for_planted if options.planted else look)(options, Path(name)))
    except (BenchError, TiergateError, grpc.aio.AioRpcError) as error:
        say(f"leak: {error}")
        return 4
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
