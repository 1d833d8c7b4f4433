"""One run: every check, one after the other, each judged for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import grpc.aio

from gateway.conformance.check import Check, FailedError, NotApplicableError, Result
from gateway.conformance.deployment import Deployment
from gateway.conformance.session import Kit
from gateway.conformance.table import CHECKS
from gateway.errors import Reason, TiergateError

CONNECT_S = 10.0


async def run_checks(
    deployment: Deployment,
    address: str,
    *,
    checks: Sequence[Check] = CHECKS,
    told: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """The results, in order; ``told`` hears of each at once. Raises PEER_UNREACHABLE if nobody answers there."""
    import asyncio

    results: list[Result] = []
    async with Kit(deployment, address) as kit:
        try:
            async with asyncio.timeout(CONNECT_S):
                await kit.channel("gateway").channel_ready()
        except TimeoutError as error:
            raise TiergateError(Reason.PEER_UNREACHABLE, f"no city answers at {address}") from error
        for check in checks:
            results.append(await _result(kit, check))
            told(results[-1])
    return results


async def _result(kit: Kit, check: Check) -> Result:
    said = (check.id, check.says, check.source)
    try:
        await check.run(kit)
    except FailedError as error:
        return Result(*said, "failed", error.expected, error.came)
    except NotApplicableError as error:
        return Result(*said, "not applicable", "", str(error))
    except (grpc.aio.UsageError, TiergateError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        # the peer's answer was of a kind that the check could not even read
        return Result(*said, "failed", "an answer that can be read", f"one that cannot ({type(error).__name__})")
    return Result(*said, "passed")
