"""A whole run: start everything, measure the modes in turn round by round, report."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import report
from bench.material import sample_reply
from bench.measure import Mode, Sample, measure
from bench.memory import rss_by_log_size
from bench.network import Product, Variant, prepare, prepare_yards
from bench.processes import BenchError, Processes
from bench.product import VARIANTS, product_modes
from bench.yards import yard_modes
from gateway.cli.localnet.processes import Processes as Children

ROOT = Path(__file__).resolve().parent.parent
QUICK_ENTRIES = 10_000
LOG_SIZES = (0, 1_000, 10_000, 100_000, 1_000_000)
BASELINE = Path(__file__).with_name("baseline.json")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for. Times in seconds; ``only``: names of modes, or none for all."""

    rounds: int
    seconds: float
    warm_s: float
    quick: bool
    only: tuple[str, ...]


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def interleave(modes: Sequence[Mode], options: Options, folder: Path) -> dict[str, list[Sample]]:
    """Measure every mode once per round; each round begins one mode later, so that none always follows the same one."""
    rounds: dict[str, list[Sample]] = {mode.name: [] for mode in modes}
    for number in range(options.rounds):
        shift = number % len(modes)
        for mode in [*modes[shift:], *modes[:shift]]:
            sample = measure(mode, folder, warm_s=options.warm_s, seconds=options.seconds)
            rounds[mode.name].append(sample)
            say(f"round {number + 1}/{options.rounds}  {mode.name:<15}{sample.throughput:>8.0f} per s  "
                f"p50 {sample.p50_ms:.2f} ms  p99 {sample.p99_ms:.2f} ms")  # fmt: skip
    return rounds


class _Run:
    """The processes and modes of one run."""

    def __init__(self, options: Options, folder: Path, processes: Processes, children: Children) -> None:
        self._options = options
        self._folder = folder
        self._processes = processes
        self._children = children
        self.modes: list[Mode] = []
        self.memory: dict[str, int] = {}
        self.left_out: dict[str, str] = {}

    def _wanted(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if not self._options.only or name in self._options.only]

    def start_yards(self) -> None:
        """Start echo and yardsticks."""
        layout, world = prepare_yards(self._folder)
        modes = yard_modes(world, layout, self._processes, sample_reply(world).ByteSize())
        wanted = self._wanted([mode.name for mode in modes])
        self.modes += [mode for mode in modes if mode.name in wanted]

    def start_product(self, variant: Variant, names: Sequence[str]) -> None:
        """Start one variant, if one of its modes is wanted."""
        wanted = self._wanted(names)
        if not wanted:
            return
        if self._options.quick and variant.log_entries > QUICK_ENTRIES:
            self.left_out |= dict.fromkeys(wanted, "takes minutes to prepare; not in a quick run")
            return
        say(f"starting {variant.name}")
        product = Product(variant, *prepare(self._folder, variant))
        product.start(self._children, self._processes)
        if variant.log_entries:
            say(f"filling the log of {variant.name}, and looking at the gateway's memory on the way")
            sizes = [size for size in LOG_SIZES if size <= variant.log_entries]
            self.memory = rss_by_log_size(product, sizes)
        self.modes += product_modes(product, wanted, self._options.warm_s + self._options.seconds)


def run(options: Options) -> report.Report:
    """Run the benchmark. Raises BenchError, or TiergateError when the product does not start."""
    state = ROOT / ".state"  # on the checkout's disk: a temporary folder may lie in memory, where commits cost nothing
    state.mkdir(exist_ok=True)
    before = report.machine()
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=state) as name,
        Processes(Path(name)) as processes,
        Children() as children,
    ):
        folder = Path(name)
        current = _Run(options, folder, processes, children)
        current.start_yards()
        for variant, names in VARIANTS.items():
            current.start_product(variant, names)
        if not current.modes:
            raise BenchError(f"no mode is called {' or '.join(options.only)}")
        rounds = interleave(current.modes, options, folder)
    settings = {"rounds": options.rounds, "seconds": options.seconds, "quick": options.quick, "machine": before}
    return report.Report(rounds, report.ratios_of(rounds), current.memory, current.left_out, settings)


def baseline() -> dict[str, float]:
    """The medians of an earlier run, by key of the ratio; empty without one."""
    if not BASELINE.exists():
        return {}
    found: dict[str, float] = json.loads(BASELINE.read_text(encoding="utf-8"))["medians"]
    return found
