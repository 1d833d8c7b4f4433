"""From measurements to the report: medians of per-round ratios, what was asked, a table and a JSON document."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from bench.asked import ASKED, GATEWAY_RSS_LIMIT, RSS_FLATNESS, Asked
from bench.measure import Sample

QUIET_LOAD = 0.1
"""Cores that other processes may keep busy before it is said that the machine was not quiet."""
Rounds = Mapping[str, Sequence[Sample]]
"""Samples by mode, one per round."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """One asked ratio: its value in each round, and the median that counts."""

    asked: Asked
    per_round: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.per_round)

    @property
    def met(self) -> bool:
        """Whether the median is within the bound."""
        return self.asked.met(self.median)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a run found.

    ``memory``: resident bytes by what was looked at; ``left_out``: modes that were not run, and why.
    """

    rounds: Rounds
    ratios: tuple[Ratio, ...]
    memory: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def faults(self) -> list[str]:
        """Why the run is invalid; empty when it is valid."""
        faults = [
            f"{ratio.asked.mode} reached {ratio.median:.2f} of {ratio.asked.base}, less than {ratio.asked.bound:.2f}"
            for ratio in self.ratios
            if ratio.asked.gate and not ratio.met
        ]
        for mode, samples in self.rounds.items():
            errors = sum(sample.errors for sample in samples)
            if errors:
                kinds = sorted({note for sample in samples for note in sample.notes})
                faults.append(f"{mode}: {errors} calls failed ({'; '.join(kinds)[:200]})")
        return faults


def ratios_of(rounds: Rounds) -> tuple[Ratio, ...]:
    """All asked ratios whose two modes were measured."""
    found = []
    for asked in ASKED:
        mine, base = rounds.get(asked.mode), rounds.get(asked.base)
        if mine and base:
            pairs = zip(mine, base, strict=True)
            found.append(
                Ratio(asked, tuple(getattr(one, asked.metric) / getattr(two, asked.metric) for one, two in pairs))
            )
    return tuple(found)


def other_load(rounds: Rounds) -> float:
    """Cores that other processes kept busy: the median over all measurements."""
    return statistics.median([sample.other_load for samples in rounds.values() for sample in samples])


def cpu_shares(rounds: Rounds) -> dict[str, float]:
    """What each mode costs its servers per decision, in the window, as a multiple of the echo's at 64 in flight.

    It hardly depends on what else the machine does, so it is the figure to compare while working on the product.
    """
    base = rounds.get("echo-64")
    if not base:
        return {}
    return {
        mode: statistics.median(
            sum(one.cpu_us.values()) / sum(two.cpu_us.values()) for one, two in zip(samples, base, strict=True)
        )
        for mode, samples in rounds.items()
    }


def memory_verdicts(memory: Mapping[str, int]) -> list[tuple[str, bool]]:
    """What is asked of the gateway's memory: its size on an empty log, and that it does not grow with the log."""
    if not memory:
        return []
    first = next(iter(memory.values()))
    spread = max(abs(value - first) for value in memory.values()) / first
    return [
        (f"gateway before caches {_mib(first)}, asked at most {_mib(GATEWAY_RSS_LIMIT)}", first <= GATEWAY_RSS_LIMIT),
        (f"over {len(memory)} log sizes it differs by {spread:.0%}, asked at most {RSS_FLATNESS:.0%}",
         spread <= RSS_FLATNESS),
    ]  # fmt: skip


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def document(report: Report) -> dict[str, Any]:
    """The report as one JSON document; absolute figures are for reading, ratios for comparing."""
    return {
        "valid": not report.faults,
        "faults": report.faults,
        "settings": dict(report.settings),
        "modes": {mode: _mode(samples) for mode, samples in report.rounds.items()},
        "ratios": [
            {
                "key": ratio.asked.key,
                "median": ratio.median,
                "per_round": list(ratio.per_round),
                "asked": ratio.asked.bound,
                "prototype": ratio.asked.before,
                "met": ratio.met,
                "gate": ratio.asked.gate,
            }
            for ratio in report.ratios
        ],
        "server_cpu_of_echo": cpu_shares(report.rounds),
        "other_load": other_load(report.rounds),
        "memory": dict(report.memory),
        "left_out": dict(report.left_out),
    }


def _mode(samples: Sequence[Sample]) -> dict[str, Any]:
    def median(values: Sequence[float]) -> float:
        return statistics.median(values)

    return {
        "throughput": median([sample.throughput for sample in samples]),
        "throughput_per_round": [sample.throughput for sample in samples],
        "p50_ms": median([sample.p50_ms for sample in samples]),
        "p99_ms": median([sample.p99_ms for sample in samples]),
        "server_cpu_us": {role: median([sample.cpu_us[role] for sample in samples]) for role in samples[0].cpu_us},
        "server_cpu_all_us": {
            role: median([sample.cpu_all_us[role] for sample in samples]) for role in samples[0].cpu_all_us
        },
        "client_cpu_us": median([sample.client_cpu_us for sample in samples]),
        "other_load": median([sample.other_load for sample in samples]),
        "errors": sum(sample.errors for sample in samples),
        "notes": sorted({note for sample in samples for note in sample.notes}),
    }


def machine() -> dict[str, Any]:
    """Where it ran: needed to read the absolute figures at all."""
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    model = next((line.partition(":")[2].strip() for line in cpus if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "grpcio": grpc.__version__,
        "kernel": platform.release(),
    }


def table(report: Report) -> str:
    """The report for a terminal."""
    lines = [
        "Absolute figures (medians; decisions per second; µs of server CPU per decision: in the window | all in all)",
        f"{'mode':<15}{'per s':>8}{'p50 ms':>9}{'p99 ms':>9}{'client µs':>11}  server CPU",
    ]
    for mode, samples in report.rounds.items():
        row = _mode(samples)
        cpu = ", ".join(
            f"{role} {spent:.0f} | {row['server_cpu_all_us'][role]:.0f}" for role, spent in row["server_cpu_us"].items()
        )
        lines.append(
            f"{mode:<15}{row['throughput']:>8.0f}{row['p50_ms']:>9.2f}{row['p99_ms']:>9.2f}{row['client_cpu_us']:>11.0f}"
            f"  {cpu}"
        )
        lines += [f"{'':<15}! {note}" for note in row["notes"]]
    lines += ["", "Ratios (median of the rounds' own ratios, lowest and highest beside it)"]
    for ratio in report.ratios:
        asked = ratio.asked
        sign = "≥" if asked.metric == "throughput" else "≤"
        before = f", prototype {asked.before}" if asked.before else ""
        pair = f"{asked.mode} / {asked.base}"
        lines.append(
            f"{'ok  ' if ratio.met else 'MISS'} {asked.metric.removesuffix('_ms'):<11}{pair:<31}"
            f"{ratio.median:>6.2f}  {min(ratio.per_round):.2f}-{max(ratio.per_round):.2f}"
            f"  asked {sign} {asked.bound:.2f}{before}"
        )
    lines += [
        "",
        "Server CPU per decision, all servers of a mode, as a multiple of the echo's (nothing is asked of it)",
    ]
    lines += [f"     {mode:<15}{share:>6.2f}" for mode, share in cpu_shares(report.rounds).items()]
    if report.memory:
        lines += ["", "Memory of the gateway"]
        lines += [f"     {what:<32}{_mib(size):>10}" for what, size in report.memory.items()]
        lines += [f"{'ok  ' if met else 'MISS'} {text}" for text, met in memory_verdicts(report.memory)]
    load = other_load(report.rounds)
    if load > QUIET_LOAD:
        lines += [
            "",
            f"The machine was not quiet: other processes kept {load:.1f} cores busy; take this for a rough idea.",
        ]
    lines += [f"left out: {mode}: {why}" for mode, why in report.left_out.items()]
    lines += [f"INVALID RUN: {fault}" for fault in report.faults]
    return "\n".join(lines)


def compared(report: Report, baseline: Mapping[str, float]) -> str:
    """How the medians stand to those of an earlier run, for reading alone: another machine gives other ratios."""
    lines = [
        f"     {ratio.asked.key:<45}{baseline[ratio.asked.key]:>6.2f} → {ratio.median:.2f}"
        for ratio in report.ratios
        if ratio.asked.key in baseline
    ]
    return "\n".join(["", "Against bench/baseline.json", *lines]) if lines else ""
