"""Bounds on connections that uvicorn does not have: on the time until a request's head, and on those that are idle.

Uvicorn answers 503 while there are too many connections, whatever they do: some that ask nothing, or something cheap
now and then, would keep everybody else out. Here the one that has been idle for longest makes room.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_turns = count()
"""An order of events, for which the loop's time is too coarse."""


class MakesRoom(H11Protocol):
    """Closes as many idle connections, the longest idle first, as it takes to stay below ``limit_concurrency``."""

    def connection_made(self, transport: Any) -> None:
        """Idle from the start."""
        super().connection_made(transport)
        self.idle_since = next(_turns)
        self._make_room()

    def data_received(self, data: bytes) -> None:
        """What could not make room before may be idle by now."""
        self._make_room()
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Idle again."""
        self.idle_since = next(_turns)
        super().on_response_complete()

    @property
    def is_idle(self) -> bool:
        """Whether no request of this connection is being read or answered."""
        # before the first request there is no cycle, whatever its type says
        return bool(getattr(self.cycle, "response_complete", True))

    def _make_room(self) -> None:
        limit = self.limit_concurrency
        while limit is not None and len(self.connections) >= limit:
            others = (other for other in self.connections if isinstance(other, MakesRoom) and other is not self)
            longest = min((other for other in others if other.is_idle), key=lambda it: it.idle_since, default=None)
            if longest is None:
                return
            self.connections.discard(longest)  # it counts no more, however long its transport takes to end
            longest.transport.abort()


def impatient(request_s: float) -> type[H11Protocol]:
    """The HTTP protocol of a server that closes a connection whose next request has not begun after ``request_s``."""

    class Impatient(MakesRoom):
        """Counts from the connection, and from the first byte after each answer, to the end of the request's head."""

        def connection_made(self, transport: Any) -> None:
            """Begin to wait for the first request."""
            super().connection_made(transport)
            self._due: asyncio.TimerHandle | None = None
            self._wait()

        def data_received(self, data: bytes) -> None:
            """Begin to wait with the first byte; stop when a request is there."""
            self._wait()
            before = self.cycle
            super().data_received(data)
            if self.cycle is not before or not self.is_idle:
                self._stop()

        def connection_lost(self, exc: Exception | None) -> None:
            """Stop waiting."""
            self._stop()
            super().connection_lost(exc)

        def _wait(self) -> None:
            if self._due is None:
                self._due = self.loop.call_later(request_s, self.transport.close)

        def _stop(self) -> None:
            if self._due is not None:
                self._due.cancel()
                self._due = None

    return Impatient
