"""``./dev crash``: the process is killed and its system calls fail, and what clients were told must still hold."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
from pathlib import Path

from tests.crash.run import campaign
from tests.crash.whole import whole_campaign

STATE = Path(__file__).parents[2] / ".state" / "crash"


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"crash: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Exit code 1 if anything that was promised is broken; the logs then stay under ``.state/crash``."""
    parser = argparse.ArgumentParser(prog="./dev crash", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--gateway-runs", type=int, default=30, help="more, over gateway and adapter (default 30)")
    parser.add_argument("--seed", type=int, default=1, help="another seed plans other runs (default 1)")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, and nothing else there")
    given = parser.parse_args()
    if min(given.runs, given.gateway_runs) < 0 or not given.runs + given.gateway_runs:
        parser.error("--runs and --gateway-runs must not be negative, nor both 0")
    if shutil.which("strace") is None:
        say("strace is missing (Debian: apt-get install strace)")
        return 1
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))  # unwinds: processes end, disks go
    shutil.rmtree(STATE, ignore_errors=True)
    STATE.mkdir(parents=True)
    report = campaign(STATE, given.runs, given.seed, injected=True, say=say)
    whole_campaign(STATE / "whole", given.gateway_runs, given.seed, report, say=say)
    print(json.dumps(report.document(), indent=1) if given.json else "\n".join(report.lines()))
    if not report.broken:
        shutil.rmtree(STATE)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
