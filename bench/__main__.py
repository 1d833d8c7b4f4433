"""``python -m bench``: see README.md for the method.

Exit codes: 0 measured (also when a ratio was missed: that is a finding, and it is printed), 1 the run is invalid or
could not be carried out, 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Protocol

from bench import policies, reload, report, withdrawal
from bench.log import __main__ as log
from bench.processes import BenchError
from bench.run import BASELINE, Options, baseline, run, say
from gateway.errors import TiergateError

_MIN_ROUNDS = 5


class _Found(Protocol):
    """The figures of one run."""

    def document(self) -> dict[str, Any]:
        """For machines."""

    def table(self) -> str:
        """For people."""


ALONE: Mapping[str, Callable[[Options], _Found]] = {
    withdrawal.NAME: withdrawal.run,
    policies.NAME: policies.run,
    reload.NAME: reload.run,
}


def parse(arguments: list[str]) -> tuple[Options, bool, bool]:
    """Options, whether JSON is wanted, whether to keep the medians as baseline."""
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measure against the floor and the yardsticks.")
    parser.add_argument("--rounds", type=int, default=_MIN_ROUNDS, help="rounds of all modes in turn (default 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="measured seconds per mode and round (default 2)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of half a second: shows that it runs, no more")
    parser.add_argument("--only", metavar="MODE", nargs="+", default=(), help="only these modes, e.g. echo-64 anew-64")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, and nothing else there")
    parser.add_argument("--save-baseline", action="store_true", help="keep the medians of the ratios in baseline.json")
    given = parser.parse_args(arguments)
    if given.rounds < 1 or not 0 < given.seconds <= 60:
        parser.error("rounds must be at least 1, seconds in (0, 60]")
    if given.save_baseline and (given.quick or given.only or given.rounds < _MIN_ROUNDS):
        parser.error(f"a baseline needs a whole run of at least {_MIN_ROUNDS} rounds")
    if len(given.only) > 1 and (alone := ALONE.keys() & set(given.only)):
        parser.error(f"{min(alone)} is measured alone")
    options = Options(
        rounds=2 if given.quick else given.rounds,
        seconds=0.5 if given.quick else given.seconds,
        warm_s=0.2 if given.quick else 0.5,
        quick=given.quick,
        only=tuple(given.only),
    )
    return options, given.json, given.save_baseline


def _alone(measure: Callable[[Options], _Found], options: Options, *, as_json: bool) -> int:
    """What is not a mode among others: it starts what it needs, and has a report of its own."""
    try:
        found = measure(options)
    except (BenchError, TiergateError) as error:
        say(f"bench: {error}")
        return 1
    print(json.dumps(found.document(), indent=1) if as_json else found.table())
    return 0


def _stop(number: int, _frame: FrameType | None) -> None:
    say(f"bench: stopped by {signal.Signals(number).name}")
    sys.exit(128 + number)  # unwinds, so that servers are ended and files removed


def main(arguments: list[str]) -> int:
    """Run and report; returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    if arguments[:1] == ["log"]:
        return log.main(arguments[1:])
    options, as_json, save = parse(arguments)
    for name in options.only:
        if name in ALONE:
            return _alone(ALONE[name], options, as_json=as_json)
    try:
        found = run(options)
    except (BenchError, TiergateError) as error:
        say(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    if as_json:
        print(json.dumps(report.document(found), indent=1))
    else:
        print(report.table(found))
        print(report.compared(found, baseline()))
    if options.rounds < _MIN_ROUNDS:
        say(f"bench: {options.rounds} rounds are too few for a result")
    if found.faults:
        say("bench: INVALID RUN: " + "; ".join(found.faults))
        return 1
    if save:
        medians = {ratio.asked.key: round(ratio.median, 3) for ratio in found.ratios}
        BASELINE.write_text(json.dumps({"medians": medians}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
