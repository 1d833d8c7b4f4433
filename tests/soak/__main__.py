"""``./dev soak``: bad messages against a live gateway and a live adapter, over mutual TLS."""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sys
from pathlib import Path

from tests.soak.run import network, soak

STATE = Path(__file__).parents[2] / ".state" / "soak"


async def _run(messages: int, seed: int) -> int:
    shutil.rmtree(STATE, ignore_errors=True)
    async with network(STATE) as started:
        report = await soak(started, messages, seed=seed)
    print("\n".join(report.lines()))
    return 1 if report.faults else 0


def main() -> int:
    """Exit code 1 for a fault."""
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="how many to send (default 100000)")
    parser.add_argument("--seed", type=int, default=1, help="another seed sends other messages (default 1)")
    given = parser.parse_args()
    if given.messages < 1:
        parser.error("--messages must be at least 1")
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of connections that the other side has closed
    return asyncio.run(_run(given.messages, given.seed))


if __name__ == "__main__":
    sys.exit(main())
