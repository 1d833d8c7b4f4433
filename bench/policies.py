"""How a large bundle is borne: ``./dev bench --only policies``.

Loading: a signed bundle of 1,000 scenarios and 300 cities, each of which names all others, is verified and read by a
fresh process. Evaluating: what a decision asks of the bundle, from ten cities and scenarios to a thousand cities and
ten thousand scenarios; every call is about another scenario, so that no cache flatters it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from bench import report
from bench.large import enlarged
from bench.network import POLICIES
from bench.processes import BenchError
from bench.run import Options, say
from gateway.crypto.envelope import BUNDLE_TYPE, PAYLOAD_TYPES, Authority, Root, sign
from gateway.crypto.keys import generate_signing_key, public_jwk
from gateway.domain.bundle import Bundle
from gateway.domain.evaluate import evaluate, scenario_in_force
from gateway.policy.bundle import build_bundle, read_bundle
from gateway.policy.load import LoadedPolicies, load_policies

NAME = "policies"
LARGE = (1_000, 300)
ASKED_S, ASKED_RSS = 2.0, 200 * 1024 * 1024
SIZES = ((10, 10), (100, 30), (1_000, 300), (10_000, 1_000))
_CALLS = 20_000


@dataclass(frozen=True, slots=True)
class Policies:
    """What a run found. ``loads``: seconds of each; ``rss``: bytes, the highest; ``curve``: microseconds by size."""

    loads: tuple[float, ...]
    rss: int
    envelope: int
    curve: dict[tuple[int, int], float]
    machine: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """All figures."""
        seconds = statistics.median(self.loads)
        smallest = self.curve[SIZES[0]]
        return {
            "loading": {
                "scenarios": LARGE[0],
                "cities": LARGE[1],
                "signed_bytes": self.envelope,
                "seconds": seconds,
                "per_round": self.loads,
                "peak_rss": self.rss,
                "met": seconds < ASKED_S and self.rss < ASKED_RSS,
            },
            "evaluating": [
                {"scenarios": size[0], "cities": size[1], "us": us, "of_smallest": us / smallest}
                for size, us in self.curve.items()
            ],
            "machine": self.machine,
        }

    def table(self) -> str:
        """The same for a terminal."""
        found = self.document()
        load = found["loading"]
        loading = (
            f"verifying and reading {LARGE[0]} scenarios, {LARGE[1]} cities ({self.envelope / 1e6:.1f} MB signed): "
            f"{load['seconds']:.2f} s, peak {self.rss / 2**20:.0f} MiB; asked < {ASKED_S:.0f} s, < "
            f"{ASKED_RSS / 2**20:.0f} MiB {'ok' if load['met'] else 'MISS'}"
        )
        curve = [
            f"{item['scenarios']:>8} scenarios {item['cities']:>6} cities {item['us']:>8.2f} us"
            f"  {item['of_smallest']:.2f} of the smallest"
            for item in found["evaluating"]
        ]
        return "\n".join([loading, "evaluating one decision:", *curve])


def run(options: Options) -> Policies:
    """Measure; nothing is started but the readers. Raises BenchError when one fails."""
    machine = report.machine()
    shipped = load_policies(POLICIES)
    sizes = SIZES[:3] if options.quick else SIZES
    evaluators = {size: _evaluator(read_bundle(_built(shipped, *size))) for size in sizes}
    curve: dict[tuple[int, int], list[float]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory(prefix="tiergate-bench-") as name:
        root, bundle = _signed(Path(name), _built(shipped, *LARGE))
        loads = []
        for number in range(options.rounds):
            loads.append(_load(root, bundle))
            for size, once in evaluators.items():
                curve[size].append(once())
            say(f"round {number + 1}/{options.rounds}  {loads[-1]['seconds']:.2f} s")
        envelope = bundle.stat().st_size
    return Policies(
        tuple(item["seconds"] for item in loads),
        max(item["rss"] for item in loads),
        envelope,
        {size: statistics.median(values) for size, values in curve.items()},
        machine,
    )


def _built(shipped: LoadedPolicies, scenarios: int, cities: int) -> bytes:
    expires = date.today() + timedelta(days=30)  # noqa: DTZ011 - a calendar day of this machine is near enough
    return build_bundle(enlarged(shipped, scenarios, cities), 1, expires)


def _signed(folder: Path, payload: bytes) -> tuple[Path, Path]:
    key = generate_signing_key("EdDSA")
    authority = Authority("synthetic", public_jwk(key), PAYLOAD_TYPES)
    root, bundle = folder / "root.json", folder / "bundle.json"
    root.write_bytes(Root((authority,), dict.fromkeys(PAYLOAD_TYPES, 1)).to_json())
    bundle.write_bytes(sign(BUNDLE_TYPE, payload, [key]))
    return root, bundle


def _load(root: Path, bundle: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.child", "bench.loading", str(root), str(bundle)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise BenchError(f"the bundle was not read\n{done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _evaluator(bundle: Bundle) -> Callable[[], float]:
    """What measures one round: microseconds of what a decision asks of the bundle."""
    day = date.today()  # noqa: DTZ011 - as above
    cities = list(bundle.concordances)
    questions = [
        (item.id, item.operators[0], cities[number % len(cities)], number % (len(item.rungs) + 1))
        for number, item in enumerate(bundle.scenarios.values())
    ]

    def once() -> float:
        repeated = max(1, _CALLS // len(questions))
        started = time.perf_counter()
        for _ in range(repeated):
            for scenario, operator, city, rung in questions:
                evaluate(bundle, scenario_in_force(bundle, scenario, operator, city, day), city, rung)
        return (time.perf_counter() - started) / (repeated * len(questions)) * 1e6

    return once
