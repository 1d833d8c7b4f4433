"""How long a withdrawal takes to reach an operator: ``./dev bench --only withdrawal``.

One consent at a time is checked over and over, one call after the other, as by a desk that cannot wait; meanwhile it is
withdrawn at its home city. Two latencies: from the withdrawal's call, and from its return, to the first ORDINARY that
the operator receives. The yardstick is the p50 of one echo (``echo-1``), measured before and after.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench import report
from bench.material import sample_reply
from bench.measure import Mode, measure
from bench.network import RESIDENTS, Product, Variant, prepare, prepare_yards
from bench.processes import BenchError, Processes
from bench.run import ROOT, Options, say
from bench.yards import yard_modes
from gateway.api.operator.v1 import operator_pb2 as api
from gateway.cli.localnet.clients import Clients, Consent
from gateway.cli.localnet.processes import Processes as Children

NAME = "withdrawal"
ASKED = 50.0
"""The p99 from the call, and from the return, as a multiple of an echo's p50: at most this."""
COUNT, QUICK_COUNT = 300, 20
_DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One withdrawal; milliseconds."""

    called_ms: float
    returned_ms: float
    took_ms: float


@dataclass(frozen=True, slots=True)
class Withdrawals:
    """What a run found."""

    seen: tuple[Seen, ...]
    echo_p50_ms: float
    machine: dict[str, Any]

    def percentile(self, name: str, share: float) -> float:
        """A percentile (nearest rank) of one latency, in milliseconds."""
        values = sorted(getattr(item, name) for item in self.seen)
        return float(values[min(len(values) - 1, int(share * len(values)))])

    def document(self) -> dict[str, Any]:
        """All figures, with the two asked ratios."""
        figures = {
            name: {"p50_ms": self.percentile(name, 0.5), "p99_ms": self.percentile(name, 0.99)}
            for name in ("called_ms", "returned_ms", "took_ms")
        }
        ratios = {name: figures[name]["p99_ms"] / self.echo_p50_ms for name in ("called_ms", "returned_ms")}
        return {
            "withdrawals": len(self.seen),
            "echo_p50_ms": self.echo_p50_ms,
            "latencies": figures,
            "p99_of_echo_p50": ratios,
            "asked": ASKED,
            "met": all(ratio < ASKED for ratio in ratios.values()),
            "machine": self.machine,
        }

    def table(self) -> str:
        """The same for a terminal."""
        found = self.document()
        words = {
            "called_ms": "call to first ORDINARY",
            "returned_ms": "return to first ORDINARY",
            "took_ms": "the call itself",
        }
        lines = [f"{len(self.seen)} withdrawals; p50 of one echo {self.echo_p50_ms:.2f} ms"]
        for name, figure in found["latencies"].items():
            ratio = found["p99_of_echo_p50"].get(name)
            asked = "" if ratio is None else f"  {ratio:.0f} echoes, asked < {ASKED:.0f} {_verdict(ratio < ASKED)}"
            lines.append(f"{words[name]:<26} p50 {figure['p50_ms']:>7.2f} ms  p99 {figure['p99_ms']:>7.2f} ms{asked}")
        return "\n".join(lines)


def _verdict(met: bool) -> str:  # noqa: FBT001 - a condition, not a flag
    return "ok" if met else "MISS"


def run(options: Options) -> Withdrawals:
    """Start everything, measure, stop everything. Raises BenchError, or TiergateError if the product does not start."""
    state = ROOT / ".state"
    state.mkdir(exist_ok=True)
    machine = report.machine()
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=state) as name,
        Processes(Path(name)) as processes,
        Children() as children,
    ):
        folder = Path(name)
        layout, world = prepare_yards(folder)
        modes = yard_modes(world, layout, processes, sample_reply(world).ByteSize())
        (echo,) = [mode for mode in modes if mode.name == "echo-1"]
        variant = Variant(NAME)
        product = Product(variant, *prepare(folder, variant))
        product.start(children, processes)
        before = _echo(echo, folder, options)
        seen = uvloop.run(_measure(product, QUICK_COUNT if options.quick else COUNT))
        after = _echo(echo, folder, options)
    return Withdrawals(tuple(seen), statistics.median([before, after]), machine)


def _echo(mode: Mode, folder: Path, options: Options) -> float:
    return measure(mode, folder, warm_s=options.warm_s, seconds=options.seconds).p50_ms


async def _measure(product: Product, count: int) -> Sequence[Seen]:
    clients = Clients(product.layout)
    world = product.world
    try:
        consents = [
            await clients.grant(world.city_id, RESIDENTS[number % len(RESIDENTS)], world.operator, world.scenario)
            for number in range(count)
        ]
        seen = []
        for number, consent in enumerate(consents, start=1):
            seen.append(await _withdraw(clients, consent))
            if number % 50 == 0:
                say(f"{number}/{count} withdrawals")
        return seen
    finally:
        await clients.close()


async def _withdraw(clients: Clients, consent: Consent) -> Seen:
    check = clients.eligibility(consent.operator).CheckEligibility
    request = clients.request(consent)

    async def outcome() -> int:
        request.request_id = secrets.token_urlsafe(16)
        answer: api.CheckEligibilityResponse = await check(request, timeout=_DEADLINE_S)
        return answer.decision.outcome

    async def until_ordinary() -> float:
        while await outcome() != api.OUTCOME_ORDINARY:
            pass
        return time.perf_counter()

    if await outcome() != api.OUTCOME_ENTITLED:
        raise BenchError("a consent is not entitled before its withdrawal")
    polling = asyncio.ensure_future(until_ordinary())
    await asyncio.sleep(0.01)  # the desk is asking when the withdrawal comes
    called = time.perf_counter()
    answer = await clients.withdraw(consent)
    returned = time.perf_counter()
    first = await polling
    if not answer.acknowledged:
        raise BenchError("a withdrawal was not acknowledged in time")
    return Seen(1000 * (first - called), 1000 * max(0.0, first - returned), 1000 * (returned - called))
