"""Groups of concurrent work, formed on the event loop: one commit, or one call to a peer, for many callers.

While as many groups are on their way as there are lanes, the next one forms. On a fast disk or network groups do not
form by themselves; so a group is kept open until as many wait as lately were pending at once (``target`` at most), but
only while the loop is busy: then it is the loop that callers wait for, and a larger group lightens it. A loop that has
time to spare closes the group at the next look, ``look_s`` later; and ``window_s`` is the end in any case. A single
caller is never kept waiting.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

BUSY = 0.5
"""From this share of the time on a loop counts as busy."""
CALLERS_DECAY = 0.7
"""Per group: after a burst of 64 callers company is expected for some ten groups more."""


class Groups(Generic[ItemT]):
    """Hands each group to ``leave``; whoever carries it calls ``back`` when it has been dealt with.

    ``lanes``: groups on their way at once. A group that has waited ``patience_s`` for a lane leaves without one, so
    that a slow group holds up no others; by default it waits. Times are in seconds. Not thread-safe but for ``take``.
    """

    def __init__(
        self,
        leave: Callable[[list[ItemT]], None],
        *,
        max_group: int = 1024,
        target: int = 64,
        lanes: int = 1,
        look_s: float = 0.001,
        window_s: float = 0.02,
        patience_s: float = math.inf,
    ) -> None:
        self._leave = leave
        self._max_group = max_group
        self._target = target
        self._lanes = lanes
        self._look_s = look_s
        self._window_s = window_s
        self._patience_s = patience_s
        self._waiting: deque[ItemT] = deque()
        self._pending = 0
        self._callers = 1.0  # how many were pending at once lately
        self._peak = 0
        self._on_their_way = 0
        self._complete = False  # the group that waits leaves at the end of this turn
        self._timer: asyncio.TimerHandle | None = None  # when to look again whether it is kept open
        self._end: Callable[[], None] | None = None

    @property
    def pending(self) -> int:
        """Items added and not yet back."""
        return self._pending

    def add(self, item: ItemT) -> None:
        """Add one item, on the running loop."""
        self._pending += 1
        self._peak = max(self._peak, self._pending)
        self._waiting.append(item)
        if self._on_their_way < self._lanes:
            self._consider()
        elif self._timer is None and self._patience_s < math.inf:
            self._timer = asyncio.get_running_loop().call_later(self._patience_s, self._close_group)

    def back(self, size: int) -> None:
        """A group of ``size`` has been dealt with; the next one leaves, if it is complete."""
        self._pending -= size
        self._on_their_way -= 1
        if self._end is not None or len(self._waiting) >= max(1, self._wanted()):
            self._close_group()
        elif self._waiting:
            self._drop_timer()  # of its patience: a lane is free
            self._consider()

    def finish(self, end: Callable[[], None]) -> None:
        """Keep nothing open from now on; ``end`` is called once, when the last group is back."""
        self._end = end
        if not self._on_their_way:
            self._close_group()

    def take(self) -> list[ItemT]:
        """The group that waits, taken out; for ``leave``'s side where the loop is gone."""
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_group))]

    def _consider(self) -> None:
        """A lane is free: see to it that the group that waits takes it."""
        if self._complete:
            return
        if len(self._waiting) >= self._wanted():
            self._complete = True
            asyncio.get_running_loop().call_soon(self._leave_complete)  # with whatever else comes in this turn
        elif self._timer is None:
            now = time.monotonic()
            self._look_later(now, now + self._window_s)

    def _look_later(self, now: float, closes: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._look_s, self._look, now, time.thread_time(), closes)

    def _look(self, since: float, worked: float, closes: float) -> None:
        """Keep the group open if the loop has been busy ``since`` then, when it had ``worked`` so many seconds."""
        self._timer = None
        now = time.monotonic()
        if now < closes and time.thread_time() - worked >= BUSY * (now - since):
            self._look_later(now, closes)
        else:
            self._close_group()

    def _wanted(self) -> int:
        return min(self._target, self._max_group, int(self._callers / self._lanes))

    def _leave_complete(self) -> None:
        if self._complete:  # else it has been closed before its turn came
            self._close_group()

    def _close_group(self) -> None:
        """What waits leaves; the end follows the last group."""
        self._drop_timer()
        self._complete = False
        if not self._waiting:
            if self._end is not None and not self._on_their_way:
                end, self._end = self._end, _nothing
                end()
            return
        self._on_their_way += 1
        self._callers = max(float(self._peak), self._callers * CALLERS_DECAY)
        self._peak = 0
        self._leave(self.take())

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def release(group: Sequence[tuple[object, asyncio.Future[ResultT]]], results: Sequence[ResultT | Exception]) -> None:
    """Give each caller of a group its own result or error; one that was cancelled waits no more."""
    for (_, future), result in zip(group, results, strict=True):
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def _nothing() -> None:
    """Follows the end."""
