from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from gateway.errors import Reason, TiergateError
from gateway.transport.metrics import CallMetrics
from gateway.transport.refusals import LINES_AT_ONCE, LINES_PER_S, Refusals


class Ended(Exception):  # noqa: N818 - what gRPC's abort raises is no error of ours
    pass


class Context:
    """A call's context that only ends."""

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return ()

    async def abort(self, *_: object) -> None:
        raise Ended


async def refuse(refusals: Refusals, error: Exception, times: int = 1) -> list[Any]:
    """The lines that are written."""
    with capture_logs() as lines:
        for _ in range(times):
            with pytest.raises(Ended):
                await refusals.answer(error, cast("Any", Context()), method="/m", caller=None, seconds=0.1)
    return lines


async def test_a_flood_of_refusals_is_no_flood_of_lines_but_is_counted() -> None:
    clock, registry = iter([0.0] * 500 + [1.0] * 500), CollectorRegistry()
    refusals = Refusals(CallMetrics(registry), monotonic=lambda: next(clock))
    error = TiergateError(Reason.CALLER_UNKNOWN)
    assert len(await refuse(refusals, error, 499)) == LINES_AT_ONCE
    later = await refuse(refusals, error, 300)
    assert len(later) == LINES_PER_S
    assert later[0]["unwritten"] == 499 - LINES_AT_ONCE
    count = registry.get_sample_value("tiergate_rpc_failures_total", {"method": "/m", "reason": "CALLER_UNKNOWN"})
    assert count == 799


@pytest.mark.parametrize("reason", [Reason.RATE_LIMITED, Reason.BUSY, Reason.SHUTTING_DOWN])
async def test_what_comes_in_floods_is_counted_alone(reason: Reason) -> None:
    assert await refuse(Refusals(CallMetrics(CollectorRegistry())), TiergateError(reason)) == []


async def test_a_fault_is_always_written() -> None:
    refusals = Refusals(CallMetrics(CollectorRegistry()), monotonic=lambda: 0.0)
    assert len(await refuse(refusals, ValueError("x"), 300)) == 300


async def test_an_internal_error_of_our_own_is_written_as_a_fault() -> None:
    refusals = Refusals(CallMetrics(CollectorRegistry()))
    (line,) = await refuse(refusals, TiergateError(Reason.INTERNAL, "a detail"))
    assert (line["log_level"], line["detail"]) == ("error", "a detail")
