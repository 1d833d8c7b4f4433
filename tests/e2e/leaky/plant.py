"""The leaks. Each does what a careless change would do, with the score of the resident whose canary is meant for it.

The score is taken where the product opens it, in ``RawScore.map``, and remembered for the call in hand.
"""

from __future__ import annotations

import struct
import sys
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Literal, get_args
from unittest.mock import patch

import grpc.aio
import structlog
from prometheus_client import Gauge

from adapters.alarms import Metrics
from adapters.rpc import AttestationServicer
from adapters.score import RawScore
from adapters.store.attestations import Attest
from adapters.store.city_store import CityStore
from gateway.domain.tier import Concordance
from gateway.errors import Reason, TiergateError
from gateway.transport import chain, errors
from tests.fakes.canary import varint

VARIABLE = "TIERGATE_TEST_LEAKS"

Leak = Literal["field", "claim", "metadata", "log", "metric", "trace", "error", "database"]
LEAKS: tuple[Leak, ...] = get_args(Leak)
UNKNOWN_FIELD = 1000

_seen: ContextVar[int] = ContextVar("seen", default=0)


def plant(leaks: Mapping[int, str]) -> None:
    """Change this process. ``leaks`` maps points to the leak that they take."""

    def due(leak: Leak) -> int:
        """The score of this call's resident if it is to leave by ``leak``, else 0."""
        points = _seen.get()
        return points if leaks.get(points) == leak else 0

    _remember_scores()
    _leak_in_answers(due)
    _leak_in_the_store(due)
    _leak_in_metadata(due)
    _tell_details()


def _remember_scores() -> None:
    original = RawScore.map

    def opened(self: RawScore, concordance: Concordance) -> int:
        _seen.set(getattr(self, "_RawScore__points"))  # noqa: B009 - the name as the class mangles it
        return original(self, concordance)

    patch.object(RawScore, "map", opened).start()


def _leak_in_answers(due: Any) -> None:
    """A field that the contract does not have, a log line, a metric's value, a traceback, an error's text."""
    original, metrics = AttestationServicer.AttestTier, Metrics.__init__
    gauges: list[Gauge] = []

    def with_gauge(self: Metrics, registry: Any) -> None:
        metrics(self, registry)
        gauges.append(Gauge("tiergate_adapter_last_read", "Of the last read.", registry=registry))

    async def answer(self: AttestationServicer, request: Any, caller: Any) -> Any:
        response = await original(self, request, caller)
        if points := due("field"):
            response.MergeFromString(varint(UNKNOWN_FIELD << 3) + varint(2 * points))
        if points := due("log"):
            structlog.get_logger().info("attested", detail=f"{points:#x}")
        if points := due("metric"):
            gauges[0].set(points)
        if points := due("trace"):
            _fail_in_the_background(points)
        if points := due("error"):
            raise TiergateError(Reason.PLATFORM_UNAVAILABLE, f"no tier for {points}")
        return response

    patch.object(Metrics, "__init__", with_gauge).start()
    patch.object(AttestationServicer, "AttestTier", answer).start()


def _fail_in_the_background(points: int) -> None:
    try:
        raise ValueError(f"cannot place {points}")
    except ValueError:
        traceback.print_exc(file=sys.stderr)


def _leak_in_the_store(due: Any) -> None:
    """A number in the city's journal; a claim of the attestation, which the gateway keeps."""
    original = CityStore.submit

    async def submit(self: CityStore, operation: Any) -> Any:
        if isinstance(operation, Attest):
            sign = operation.sign
            if points := due("database"):
                operation = replace(operation, journal_at=points)
            if points := due("claim"):
                operation = replace(operation, sign=lambda draft: sign(replace(draft, id=f"{points:022d}")))
        return await original(self, operation)

    patch.object(CityStore, "submit", submit).start()


def _leak_in_metadata(due: Any) -> None:
    """A float of four bytes in a binary header of the city's answers."""

    def serve_unary(*arguments: Any) -> Any:
        handler: Any = chain.serve_unary(*arguments)
        inner = handler.unary_unary

        async def call(data: bytes, context: Any) -> bytes:
            reply: bytes = await inner(data, context)
            if points := due("metadata"):
                context.set_trailing_metadata((("x-load-bin", struct.pack("<f", points)),))
            return reply

        return grpc.unary_unary_rpc_method_handler(call)

    patch("gateway.transport.server.serve_unary", serve_unary).start()


def _tell_details() -> None:
    """Errors say what went wrong inside, on every hop, where the product says what the catalogue says."""

    def talkative(error: TiergateError) -> errors.WireStatus:
        return errors.status_of(error)._replace(text=error.detail)

    def credulous(error: grpc.aio.AioRpcError) -> TiergateError:
        found = errors.error_from_rpc(error)
        return TiergateError(found.reason, error.details() or "", retry_after_s=found.retry_after_s)

    patch("gateway.transport.refusals.status_of", talkative).start()
    patch("gateway.rpc.cities.error_from_rpc", credulous).start()
