"""What is asked, as ratios within one run, and what makes a run invalid. No absolute time is asked anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Metric = Literal["throughput", "p50_ms", "p99_ms"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One ratio ``mode / base`` of a metric, and its bound: a lower one for throughput, an upper one for latencies.

    ``gate``: below the bound the run is invalid, because a yardstick was hobbled. ``before``: what a prototype reached.
    """

    mode: str
    base: str
    metric: Metric
    bound: float
    before: str = ""
    gate: bool = False

    @property
    def key(self) -> str:
        """Stable name, for the JSON document and the baseline."""
        return f"{self.metric} {self.mode} / {self.base}"

    def met(self, ratio: float) -> bool:
        """Whether a ratio is within the bound."""
        return ratio >= self.bound if self.metric == "throughput" else ratio <= self.bound


ASKED: tuple[Asked, ...] = (
    Asked("naive", "echo-64", "throughput", 0.10, gate=True),
    Asked("introspection", "echo-64", "throughput", 0.25, gate=True),
    Asked("anew-64", "echo-64", "throughput", 0.50, "0.56-0.64"),
    Asked("anew-64", "echo-64", "p50_ms", 2.2),
    Asked("anew-64", "echo-64", "p99_ms", 3.0),
    Asked("anew-4", "echo-4", "throughput", 0.38),
    Asked("anew-1", "echo-1", "p50_ms", 3.0, "2.4"),
    Asked("known-64", "echo-64", "throughput", 0.80, "0.88-1.09"),
    Asked("counted-stub", "echo-64", "throughput", 0.28, "0.31-0.35"),
    Asked("counted-stub", "echo-64", "p99_ms", 4.0),
    Asked("counted", "echo-64", "throughput", 0.28),
    Asked("counted", "echo-64", "p99_ms", 4.0),
    Asked("first-stub", "echo-64", "throughput", 0.28),
    Asked("first", "echo-64", "throughput", 0.28),
    Asked("device-64", "anew-64", "throughput", 0.70),
    Asked("batch-anew", "anew-64", "throughput", 2.7),
    Asked("batch-known", "known-64", "throughput", 7.0, "10"),
    Asked("anew-64", "anew-plain", "throughput", 0.85),
    Asked("anew-64", "naive", "throughput", 3.5),
    Asked("anew-64", "introspection", "throughput", 1.4),
    Asked("anew-million", "anew-thousand", "throughput", 0.95),
)
"""Modes: ``anew`` verifies the token's signature on each check, ``known`` has verified it before; ``device`` is bound
to a resident's device, with a fresh proof for each check; ``counted`` and ``first`` ask the home city each time, with
``-stub`` one that costs next to nothing; the number is how many requests are in flight (64 where there is none)."""

GATEWAY_RSS_LIMIT = 120 * 1024 * 1024
"""Bytes of the gateway's resident memory before its caches fill."""
RSS_FLATNESS = 0.10
"""How far resident memory may differ over sizes of the log."""
