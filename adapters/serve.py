"""One city's adapter as a process: signals, the ready file, and what the interpreter is told."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from adapters.app import Adapter
from adapters.config import AdapterSettings, load_settings
from gateway.observability import configure_logging
from gateway.process import stop_event, write_ready

# The writer thread must not wait 5 ms for the loop each time it comes back from SQLite.
SWITCH_INTERVAL_S = 0.0005
GC_ALLOCATIONS = 20_000  # more than the usual 700: a call makes hundreds of objects, and leaves no cycles behind


async def serve(
    settings: AdapterSettings, config: Path, *, ready_file: Path | None = None, lifeline_fd: int | None = None
) -> None:
    """Run an adapter until it is told to stop (SIGTERM, SIGINT, the lifeline's end); SIGHUP reloads files and keys.

    ``config`` is where the settings came from: of all in it, only the key files are looked at again by a reload.
    ``ready_file`` is written once it serves: ``{"address": "host:port"}``. Raises what ``Adapter.start`` raises.
    """
    configure_logging(f"adapter-{settings.city}")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    adapter = Adapter(settings, reread=lambda: load_settings(config))
    stopped = stop_event(adapter.request_reload, lifeline_fd)
    await adapter.start()
    # What is loaded now stays: looking through it again at every collection costs more than it could ever free.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
    try:
        if ready_file is not None:
            write_ready(ready_file, {"address": adapter.address})
        adapter.announce()
        await stopped.wait()
    finally:
        await adapter.stop()
