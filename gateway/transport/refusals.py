"""The outermost step of every call: whatever goes wrong leaves the process as a catalogued error and nothing else.

gRPC would send an uncaught exception's text to the caller. Here a :class:`TiergateError` becomes its status, anything
else INTERNAL, and the fault goes to this process's log under the call's request id. Only failed calls are logged; a
successful one is counted, and its decision is in the consent log.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import NoReturn

import structlog

from gateway.errors import Reason, TiergateError
from gateway.transport.errors import DETAILS_KEY, REQUEST_ID_KEY, request_id_of, status_of
from gateway.transport.identity import Caller, Context
from gateway.transport.metrics import CallMetrics

LINES_PER_S = 50.0
LINES_AT_ONCE = 200.0
_QUIET = frozenset({Reason.RATE_LIMITED, Reason.BUSY, Reason.SHUTTING_DOWN})
"""Counted and not logged: under a flood, a line for each would be a second flood."""

_log = structlog.get_logger("gateway.transport")


class Refusals:
    """Answers, counts and logs failed calls. At most ``LINES_PER_S`` lines a second are written; the rest is counted.

    Faults (INTERNAL) are always written.
    """

    def __init__(self, metrics: CallMetrics, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._monotonic = monotonic
        self._lines = LINES_AT_ONCE
        self._stamp = monotonic()
        self._unwritten = 0

    async def answer(
        self, error: Exception, context: Context, *, method: str, caller: Caller | None, seconds: float
    ) -> NoReturn:
        """End the call with ``error``; raises gRPC's AbortError.

        The request id is the caller's ``x-request-id`` or a new one, and is returned in the trailing metadata. It is
        looked at here alone: a call that succeeds needs none, its answer names its decision, and reading metadata
        costs 2.5 µs.
        """
        request_id = request_id_of(context.invocation_metadata()) or secrets.token_hex(16)
        known = error if isinstance(error, TiergateError) else TiergateError(Reason.INTERNAL)
        status = status_of(known)
        self._metrics.failed(method, status.code.name, known.reason.value, seconds)
        self._write(error, known, method, caller, request_id)
        await context.abort(status.code, status.text, ((DETAILS_KEY, status.details), (REQUEST_ID_KEY, request_id)))

    def cancelled(self, method: str, seconds: float) -> None:
        """The caller went away or its deadline passed."""
        self._metrics.failed(method, "CANCELLED", "CANCELLED", seconds)

    def _write(
        self, error: Exception, known: TiergateError, method: str, caller: Caller | None, request_id: str
    ) -> None:
        role = caller.identity.role if caller else "unknown"
        name = caller.identity.name if caller else ""
        if known.reason is Reason.INTERNAL:
            _log.error(
                "call_failed", method=method, request_id=request_id, role=role, peer=name, detail=known.detail,
                exc_info=error,
            )  # fmt: skip
            return
        if known.reason in _QUIET or not self._may_write():
            self._unwritten += 1
            return
        _log.info(
            "call_refused",
            method=method,
            reason=known.reason.value,
            detail=known.detail,
            request_id=request_id,
            role=role,
            peer=name,
            unwritten=self._unwritten,
        )
        self._unwritten = 0

    def _may_write(self) -> bool:
        now = self._monotonic()
        self._lines = min(LINES_AT_ONCE, self._lines + (now - self._stamp) * LINES_PER_S)
        self._stamp = now
        if self._lines < 1.0:
            return False
        self._lines -= 1.0
        return True
