"""The reasons of an ordinary answer, as a table: one row and one function for each.

A function prepares one consent of its class with ``uses`` (0: unlimited) and returns it. A new reason that the product
knows gets its function and its row here; everything else follows. Residents are the synthetic ones of the sandbox.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.leak.stage import Granted, Stage
from bench.material import Consent
from bench.processes import BenchError
from gateway.api.operator.v1 import operator_pb2

TOP, FROZEN, BOTTOM = "synthetic-xm-0001", "synthetic-xm-0002", "synthetic-xm-0009"
NO_SCORE, STALE, CORRUPT, NOBODY = "synthetic-xm-0010", "synthetic-xm-0011", "synthetic-xm-0012", "synthetic-xm-9999"


@dataclass(frozen=True, slots=True)
class Reason:
    """One class. ``used``: its consents have been checked once when they are ready, as part of what happened to them.

    ``cut_off``: prepared while the city does not reach the gateway, which stays so until all has been asked.
    """

    name: str
    prepare: Callable[[Stage, int], Awaitable[Consent]]
    used: bool = False
    cut_off: bool = False


def _of(resident: str) -> Callable[[Stage, int], Awaitable[Consent]]:
    async def prepare(stage: Stage, uses: int) -> Consent:
        return (await stage.grant(resident, uses)).consent

    return prepare


async def _no_record(stage: Stage, uses: int) -> Consent:
    return stage.unrecorded(uses)


async def _frozen(stage: Stage, uses: int) -> Consent:
    await stage.freeze(FROZEN)
    return (await stage.grant(FROZEN, uses)).consent


async def _withdrawn(stage: Stage, uses: int) -> Consent:
    granted = await stage.grant(TOP, uses)
    await stage.withdraw(granted)
    return granted.consent


async def _withdrawn_after_use(stage: Stage, uses: int) -> Consent:
    granted = await _used(stage, uses)
    await stage.withdraw(granted)
    return granted.consent


async def _locked(stage: Stage, uses: int) -> Consent:
    resident = f"synthetic-xm-{secrets.token_hex(8)}"  # nobody gives a consent after she has asked for erasure
    granted = await stage.grant(resident, uses)
    await stage.erase(resident)
    return granted.consent


async def _paused(stage: Stage, uses: int) -> Consent:
    granted = await stage.grant(TOP, uses)
    await stage.pause(granted)
    return granted.consent


async def _paused_after_use(stage: Stage, uses: int) -> Consent:
    granted = await _used(stage, uses)
    await stage.pause(granted)
    return granted.consent


async def _replaced(stage: Stage, uses: int) -> Consent:
    granted = await stage.grant(TOP, uses)
    await stage.replace(granted, uses)
    return granted.consent


async def _used(stage: Stage, uses: int) -> Granted:
    """A consent that has just been good for more: what was attested of it lives on at the gateway."""
    granted = await stage.grant(TOP, uses)
    if (await stage.check(granted.consent)).outcome != operator_pb2.OUTCOME_ENTITLED:
        raise BenchError("the resident at the top of the scale is not entitled")
    return granted


REASONS = (
    Reason("below tier", _of(BOTTOM)),
    Reason("no score", _of(NO_SCORE)),
    Reason("unknown", _of(NOBODY)),
    Reason("stale record", _of(STALE)),
    Reason("bad record", _of(CORRUPT)),
    Reason("frozen by the city", _frozen),  # before those that have been used: it ends what is attested of them
    Reason("no record of the consent", _no_record),
    Reason("replaced", _replaced),
    Reason("paused", _paused),
    Reason("paused after use", _paused_after_use, used=True),
    Reason("withdrawn", _withdrawn),
    Reason("withdrawn after use", _withdrawn_after_use, used=True),
    Reason("paused, push under way", _paused, cut_off=True),
    Reason("erasure asked for", _locked),
    Reason("withdrawn, push under way", _withdrawn, cut_off=True),
)
"""A consent that was declined or deleted leaves the operator no token, or one without a record."""
TWIN = Reason("below tier, again", _of(BOTTOM))
"""The first class once more: what differs between these two is the machine's noise."""
