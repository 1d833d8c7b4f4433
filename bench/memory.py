"""The gateway's resident memory on logs of different sizes, before its caches fill."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from bench.network import Product
from bench.processes import BenchError, wait_until_quiet
from gateway.cli.localnet.plan import Layout

QUIET_LIMIT_S = 60.0
_PREFILL_S = 1800


def _fill(layout: Layout, entries: int) -> None:
    """Fill the log of a gateway that has run and is stopped. Raises BenchError."""
    databases = list((layout.gateway / "data").glob("*.db"))
    if len(databases) != 1:
        raise BenchError(f"{len(databases)} databases in the gateway's data directory")
    command = [sys.executable, "-m", "bench.child", "bench.prefill"]
    mark, key = layout.gateway / "log.mark", layout.gateway / "log.key"
    arguments = [str(databases[0]), str(mark), str(key), str(entries)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=_PREFILL_S, check=False)
    if done.returncode:
        raise BenchError(f"the log could not be filled\n{done.stderr[-2000:]}")


def rss_by_log_size(product: Product, sizes: Sequence[int]) -> dict[str, int]:
    """Resident bytes of a running gateway after a start, by size of the log, which grows; 0 is the log as it is.

    The gateway is stopped in between, and runs afterwards. Raises BenchError.
    """
    found = {}
    for size in sizes:
        if size:
            product.stop_gateway()
            _fill(product.layout, size)
            product.start_gateway()
        if not wait_until_quiet([product.gateway], QUIET_LIMIT_S):
            raise BenchError(f"the gateway is still busy {QUIET_LIMIT_S:.0f} s after its start on {size} entries")
        found[f"log of {size} entries"] = product.gateway.rss_bytes()
    return found
