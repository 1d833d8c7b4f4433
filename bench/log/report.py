"""From measurements to what is said about them: each asked ratio, its rounds, a table and a JSON document."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.log.appends import FEW, MANY, Round
from bench.log.curve import REAL_MAX, Costs
from bench.log.exports import Reading

FLAT = 1.2
"""What an append, and a receipt, may cost on the largest log, as a multiple of the smallest."""
_KINDS = {"append": "an append", "new": "a receipt of a new entry", "any": "a receipt of any entry"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One asked figure: its value in each round, of which the median counts, and the bound."""

    name: str
    per_round: tuple[float, ...]
    bound: float
    at_least: bool

    @property
    def median(self) -> float:
        """Over the rounds."""
        return statistics.median(self.per_round)

    @property
    def met(self) -> bool:
        """Whether the median is within the bound."""
        return self.median >= self.bound if self.at_least else self.median <= self.bound

    def document(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self) | {"median": self.median, "met": self.met}

    def line(self) -> str:
        """For a terminal."""
        asked = f"asked {'>=' if self.at_least else '<='} {self.bound:g}"
        spread = f"{min(self.per_round):.4g} to {max(self.per_round):.4g}"
        return f"{'ok  ' if self.met else 'MISS'} {self.name:<56}{self.median:>9.4g}  ({spread})  {asked}"


@dataclass(slots=True)
class Found:
    """What a run measured; a part that was not run is empty."""

    machine: Mapping[str, Any]
    appends: Sequence[Round] = ()
    curve: Mapping[int, Sequence[Costs]] = field(default_factory=dict)
    exports: Mapping[int, Mapping[str, Sequence[Reading]]] = field(default_factory=dict)

    def verdicts(self) -> list[Verdict]:
        """Everything that is asked, of what was measured."""
        found = []
        if self.appends:
            rates = tuple(one.appends / one.floor for one in self.appends)
            waits = tuple(one.p50_ms / one.fdatasync_ms for one in self.appends)
            found.append(Verdict(f"appends / plain commits, {MANY} in flight", rates, 0.5, at_least=True))
            found.append(Verdict(f"p50 of an append, {FEW} in flight / fdatasync", waits, 8.0, at_least=False))
        if len(self.curve) > 1:
            small, large = min(self.curve), max(self.curve)
            for kind, words in _KINDS.items():
                pairs = list(zip(self.curve[large], self.curve[small], strict=True))
                name = f"{words} at {large:.0e} / at {small:.0e}"
                for by, ratios in (
                    ("clock", tuple(one[kind].wall / two[kind].wall for one, two in pairs)),
                    ("processor", tuple(one[kind].cpu / two[kind].cpu for one, two in pairs)),
                ):
                    found.append(Verdict(f"{name}, {by}", ratios, FLAT, at_least=False))
        for size, readings in self.exports.items():
            for what, bound in (("hashes", 100_000.0), ("replay", 15_000.0)):
                rates = tuple(one.entries / one.cpu_seconds for one in readings[what])
                found.append(Verdict(f"entries a core second, {what}, {size:.0e}", rates, bound, at_least=True))
        return found

    def document(self) -> dict[str, Any]:
        """Everything, for ``--json``."""
        return {
            "machine": dict(self.machine),
            "verdicts": [verdict.document() for verdict in self.verdicts()],
            "appends": [asdict(one) for one in self.appends],
            "curve": {
                str(size): [{kind: asdict(cost) for kind, cost in costs.items()} for costs in rounds]
                for size, rounds in self.curve.items()
            },
            "exports": {
                str(size): {what: [asdict(one) for one in runs] for what, runs in readings.items()}
                for size, readings in self.exports.items()
            },
        }

    def table(self) -> str:
        """For a terminal: absolute figures for reading, then what was asked."""
        lines = []
        if self.appends:
            figures = {
                name: statistics.median(getattr(one, name) for one in self.appends)
                for name in ("appends", "floor", "p50_ms", "fdatasync_ms")
            }
            lines.append(
                f"{figures['appends']:.0f} appends/s, plain commits {figures['floor']:.0f}/s;"
                f" p50 {figures['p50_ms']:.2f} ms, fdatasync {figures['fdatasync_ms']:.2f} ms"
            )
        for size, rounds in self.curve.items():
            costs = [
                f"{words} {statistics.median(one[kind].wall for one in rounds):.0f} µs"
                f" ({statistics.median(one[kind].cpu for one in rounds):.0f} of the processor)"
                for kind, words in _KINDS.items()
            ]
            made = "imported" if size > REAL_MAX else "by real appends"
            lines.append(f"{size:>9} entries, {made}: {', '.join(costs)}")
        for size, readings in self.exports.items():
            for what, runs in readings.items():
                rate = statistics.median(one.entries / one.seconds for one in runs)
                cpu = statistics.median(one.entries / one.cpu_seconds for one in runs)
                peak = max(one.peak_rss for one in runs) >> 20
                lines.append(f"{size:>9} entries, {what:<7}{rate:>8.0f}/s ({cpu:.0f}/s a core), peak {peak} MiB")
        return "\n".join([*lines, "", *(verdict.line() for verdict in self.verdicts())])
