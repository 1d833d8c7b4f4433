"""A bound on how long a connection may take to send a request's head; uvicorn bounds only the pause after an answer."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def impatient(request_s: float) -> type[H11Protocol]:
    """The HTTP protocol of a server that closes a connection whose next request has not begun after ``request_s``."""

    class Impatient(H11Protocol):
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
            # before the first request there is no cycle, whatever its type says
            if self.cycle is not before or not getattr(self.cycle, "response_complete", True):
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
