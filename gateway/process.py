"""What a process owes to whoever started it: word that it serves, a quiet end, and no life after its parent's."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog

AGAIN_S = 10.0
_log = structlog.get_logger("process")


def write_ready(file: Path, content: Mapping[str, object]) -> None:
    """Write ``content`` as JSON, so that a waiter sees the whole file or none. Raises OSError."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(json.dumps(dict(content)))
    partial.replace(file)  # not durable: it says that this process serves, which a power cut ends


def stop_event(on_reload: Callable[[], None] | None, lifeline_fd: int | None = None) -> asyncio.Event:
    """An event that SIGTERM, SIGINT and the end of the lifeline set, for the running loop.

    SIGHUP calls ``on_reload``; in a process that has nothing to reload (None) it stops, too.

    To be asked for before anybody is told that the process serves: a signal that comes earlier would kill it.
    ``lifeline_fd`` is the inherited read end of a pipe whose write end the parent alone holds: the system closes it
    however the parent ends, by SIGKILL too.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, on_reload or stopped.set)
    if lifeline_fd is not None:
        watch(lifeline_fd, stopped.set)
    return stopped


async def kept_running(name: str, run: Callable[[], Awaitable[None]], *, again_s: float = AGAIN_S) -> None:
    """Run a background task until it is cancelled or done; after an error it is begun again in ``again_s`` seconds.

    What hangs on it, reports and withdrawals among them, must not wait for somebody to restart the process.
    """
    while True:
        try:
            return await run()
        except Exception:  # noqa: BLE001  # whatever it was, it is told, and not the end
            _log.exception("task_failed", kind=name, retry_after_s=again_s)
        await asyncio.sleep(again_s)


def watch(descriptor: int, ended: Callable[[], None]) -> None:
    """Call ``ended`` on the running loop when ``descriptor`` reaches its end."""
    loop = asyncio.get_running_loop()

    def wait() -> None:
        ends = select.poll()  # not a read: another process that holds this end may have made it non-blocking
        ends.register(descriptor, select.POLLIN)
        ends.poll()
        if not loop.is_closed():
            loop.call_soon_threadsafe(ended)

    # a daemon, for the wait may never end
    threading.Thread(target=wait, name="lifeline", daemon=True).start()
