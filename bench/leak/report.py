"""What is made of the times: pairs, intervals, tests, and what the machine itself is good for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import median
from typing import Literal

from bench.leak.classes import REASONS, TWIN
from bench.leak.stats import Interval, median_interval, sign_test, wilcoxon
from bench.leak.timing import Path, Times

BOUNDS: Mapping[Path, float] = {"cached": 20.0, "round trip": 50.0}
"""Microseconds within which the 95 % interval of the median difference of every pair has to lie."""
CHANCE = 0.05
"""A difference counts as one when, over all pairs together, chance shows such no oftener (Bonferroni)."""
Verdict = Literal["alike", "different", "undecided"]
FLOOR = (REASONS[0].name, TWIN.name)
"""The pair that is one reason twice: how far it reaches is the machine's own noise."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two reasons: the differences of their times, round by round, in microseconds."""

    one: str
    two: str
    interval: Interval
    wilcoxon_p: float
    sign_p: float

    @property
    def is_floor(self) -> bool:
        """Whether both are the same reason."""
        return (self.one, self.two) == FLOOR

    def holds(self, names: Sequence[str]) -> int:
        """How many of ``names`` are in it."""
        return (self.one in names) + (self.two in names)


@dataclass(frozen=True, slots=True)
class Timing:
    """One path. ``medians`` by reason; ``busy``: cores that everything but this run kept busy meanwhile."""

    path: Path
    rounds: int
    bound: float
    medians: dict[str, float]
    pairs: list[Pair]
    busy: float

    @property
    def floor(self) -> Pair:
        """The pair that shows the machine's noise."""
        return next(pair for pair in self.pairs if pair.is_floor)

    def verdict_on(self, pair: Pair) -> Verdict:
        """``alike``: the interval lies within the bound. ``different``: it does not, and not by chance.

        ``undecided``: it is too wide for either, on a noisy machine or after few rounds.
        """
        if pair.interval.within(self.bound):
            return "alike"
        return "different" if pair.wilcoxon_p < CHANCE / len(self.pairs) else "undecided"

    @property
    def verdict(self) -> Verdict:
        """The worst of all pairs, the noise floor's among them."""
        found = {self.verdict_on(pair) for pair in self.pairs}
        return "different" if "different" in found else "undecided" if "undecided" in found else "alike"


def timing(path: Path, times: Times, bound: float, busy: float) -> Timing:
    """Compare every pair."""
    pairs = []
    for one, two in combinations(times, 2):
        differences = [a - b for a, b in zip(times[one], times[two], strict=True)]
        pairs.append(Pair(one, two, median_interval(differences), wilcoxon(differences)[1], sign_test(differences)))
    medians = {name: median(values) for name, values in times.items()}
    return Timing(path, len(next(iter(times.values()))), bound, medians, pairs, busy)


def table(found: Timing) -> str:
    """For people."""
    floor = found.floor.interval
    lines = [
        f"{found.path}: {found.rounds} rounds, bound ± {found.bound:.0f} µs, {found.verdict.upper()}",
        f"  noise floor (one reason twice): {floor.median:+.1f} µs, 95 % [{floor.low:+.1f}, {floor.high:+.1f}]",
        f"  all else on the machine kept {found.busy:.2f} cores busy",
        *(f"  {name:<28}median {value:>8.1f} µs" for name, value in found.medians.items()),
        f"  {'pair':<56}{'median':>8}{'95 % from':>11}{'to':>8}{'Wilcoxon p':>12}{'sign p':>9}",
    ]
    for pair in found.pairs:
        interval = pair.interval
        verdict = found.verdict_on(pair)
        mark = ("  (noise floor)" if pair.is_floor else "") + ("" if verdict == "alike" else f"  {verdict.upper()}")
        lines.append(
            f"  {pair.one + ' | ' + pair.two:<56}{interval.median:>+8.1f}{interval.low:>+11.1f}{interval.high:>+8.1f}"
            f"{pair.wilcoxon_p:>12.3g}{pair.sign_p:>9.3g}{mark}"
        )
    return "\n".join(lines)


def document(found: Timing) -> dict[str, object]:
    """For programs."""
    pairs = [asdict(pair) | {"floor": pair.is_floor, "verdict": found.verdict_on(pair)} for pair in found.pairs]
    return {
        "path": found.path, "rounds": found.rounds, "bound_us": found.bound, "verdict": found.verdict,
        "medians_us": found.medians, "pairs": pairs, "others_busy_cores": found.busy,
    }  # fmt: skip
