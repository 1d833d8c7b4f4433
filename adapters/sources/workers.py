"""A few daemon threads for drivers that block.

``concurrent.futures`` joins its threads when the interpreter ends, so one database that never answers would keep the
adapter from stopping. These threads are abandoned instead: they only read.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class Workers:
    """``size`` threads that run blocking functions for an event loop; the last to end runs ``at_end``."""

    def __init__(self, size: int, name: str, at_end: Callable[[], None] | None = None) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._size = size
        self._running = size
        self._at_end = at_end
        self._lock = threading.Lock()
        for number in range(size):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    async def run(self, function: Callable[[], T]) -> T:
        """Run ``function`` in a thread and return or raise what it does. Cancelled before its turn, it is not run."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((function, loop, future))
        return await future

    def stop(self) -> None:
        """Let every thread end after what it has in hand."""
        for _ in range(self._size):
            self._jobs.put(None)

    def _work(self) -> None:
        try:
            self._take_jobs()
        finally:
            with self._lock:
                self._running -= 1
                last = self._running == 0
            if last and self._at_end is not None:
                self._at_end()

    def _take_jobs(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, loop, future = job
            del job
            if future.cancelled():
                continue
            try:
                result, error = function(), None
            except Exception as caught:  # noqa: BLE001  # handed to the waiter, whatever it is
                result, error = None, caught
            try:
                loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:  # the loop is closed: nobody waits
                return
            # An idle thread must not keep the last record, or the frames that held it, alive.
            del function, future, result, error


def _settle(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
