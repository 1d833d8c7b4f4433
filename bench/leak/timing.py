"""How long an operator waits for each reason's answer, at its own socket: all reasons once per round, in random order.

Rounds come in blocks. Each block has consents of its own, so that no accident of one consent (where its rows lie, how
its token hashes) passes for its reason's; and it ends long before an attestation does, so that what is to be answered
from a live attestation is. The first check of every consent is made before the clock starts.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from bench.leak.classes import Reason
from bench.leak.stage import CHECK, Stage
from bench.loadgen import fill, request_ids
from bench.material import Consent, Template, single
from bench.processes import BenchError
from gateway.api.operator.v1 import operator_pb2 as api

Path = Literal["cached", "round trip"]
PATHS: tuple[Path, ...] = ("cached", "round trip")
BLOCK_S = 200.0
"""A block ends then at the latest: an attestation and a proof live for 300 s, and preparing takes some of them."""
ROUNDS = 2500
"""Of a block at most."""
UNLIMITED = 4
USES = 200
_SPARE = 3
"""Uses of a counted consent that are not timed: the preparation's, the first check, and one for good measure."""
_AT_ONCE = 16
Times = dict[str, list[float]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Lane:
    """One reason's requests, taken in turn."""

    templates: Sequence[Template]
    ends: Sequence[int]
    """When the live attestation of each ends (Unix seconds)."""


async def measure(
    stage: Stage, reasons: Sequence[Reason], path: Path, rounds: int, say: Callable[[str], None]
) -> Times:
    """Microseconds by reason, as many as rounds: the n-th of each are of one round. Raises BenchError."""
    times: Times = {reason.name: [] for reason in reasons}
    chosen = random.Random()
    done = 0
    while done < rounds:
        lanes = await _prepare(stage, reasons, path, min(rounds - done, ROUNDS))
        done += await _block(stage, lanes, path, min(rounds - done, ROUNDS), chosen, times)
        say(f"{path}: {done} of {rounds} rounds")
    return times


async def _prepare(stage: Stage, reasons: Sequence[Reason], path: Path, rounds: int) -> dict[str, _Lane]:
    count, uses = (UNLIMITED, 0) if path == "cached" else (-(-rounds // (USES - _SPARE)), USES)
    stage.gate.open()
    slots = asyncio.Semaphore(_AT_ONCE)
    ready: dict[str, list[Consent]] = {}
    for reason in sorted(reasons, key=lambda item: item.cut_off):
        if reason.cut_off:
            stage.gate.shut()
        ready[reason.name] = await asyncio.gather(*(_within(slots, reason.prepare(stage, uses)) for _ in range(count)))
    return {name: await _lane(stage, name, consents, slots) for name, consents in ready.items()}


async def _lane(stage: Stage, name: str, consents: Sequence[Consent], slots: asyncio.Semaphore) -> _Lane:
    """The first checks, and until when their answers hold."""
    first = await asyncio.gather(*(_within(slots, stage.check(consent)) for consent in consents))
    if any(decision.outcome != api.OUTCOME_ORDINARY for decision in first):
        raise BenchError(f"{name}: entitled")
    return _Lane(single(stage.world, consents), [decision.valid_until.seconds for decision in first])


async def _within(slots: asyncio.Semaphore, work: Awaitable[T]) -> T:
    async with slots:
        return await work


async def _block(
    stage: Stage, lanes: Mapping[str, _Lane], path: Path, rounds: int, chosen: random.Random, times: Times
) -> int:
    """Ask; how many rounds were made."""
    call, ids = stage.caller(CHECK), request_ids()
    names, deadline = list(lanes), time.monotonic() + BLOCK_S
    clock = time.perf_counter_ns
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(rounds):
            if time.monotonic() > deadline:
                return number
            chosen.shuffle(names)
            for name in names:
                lane = lanes[name]
                place = number % len(lane.templates)
                request = fill(lane.templates[place], ids)
                begin = clock()
                payload = await call(request, timeout=20.0)
                times[name].append((clock() - begin) / 1000)
                decision = api.CheckEligibilityResponse.FromString(payload).decision
                if decision.outcome != api.OUTCOME_ORDINARY:
                    raise BenchError(f"{name}: entitled")
                # to a second: the gateway counts lives on two clocks and takes the earlier end, in milliseconds
                if path == "cached" and abs(decision.valid_until.seconds - lane.ends[place]) > 1:
                    raise BenchError(f"{name}: not answered from the live attestation")
            if number % 200 == 0:
                gc.collect(0)
        return rounds
    finally:
        if collecting:
            gc.enable()
