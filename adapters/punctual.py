"""Sleeping to the point: event loops round a pause to whole milliseconds from the moment at which it is asked for.

An answer that is to leave 5 ms after its question must not leave 4.6 or 4.9 ms after it because finding it took 0.6 or
0.9 ms: what was to be hidden would come through to the microsecond. A thread that waits for the next moment is late by
some ten microseconds, whatever came before.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
import time

_Sleeper = tuple[float, int, asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class Punctual:
    """Wakes sleepers of event loops by one thread, which lives from the first sleep to ``close``."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._asleep: list[_Sleeper] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def sleep(self, seconds: float) -> None:
        """Sleep for ``seconds``, to the precision of the operating system's timers."""
        due = time.monotonic() + seconds
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._wake, name="punctual", daemon=True)
                self._thread.start()
            heapq.heappush(self._asleep, (due, next(self._order), loop, future))
            if self._asleep[0][3] is future:
                self._changed.notify()
        await future

    def close(self) -> None:
        """End the thread, and wake who still sleeps."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _wake(self) -> None:
        with self._changed:
            while not self._closed:
                wait = self._asleep[0][0] - time.monotonic() if self._asleep else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                self._release(heapq.heappop(self._asleep))
            for sleeper in self._asleep:
                self._release(sleeper)

    @staticmethod
    def _release(sleeper: _Sleeper) -> None:
        _, _, loop, future = sleeper
        try:
            loop.call_soon_threadsafe(_settle, future)
        except RuntimeError:
            return  # the loop is closed: nobody sleeps there any more


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():  # else its sleeper was cancelled
        future.set_result(None)
