"""What checks feel of new policies: ``./dev bench --only reload``.

The load of ``anew-64`` runs in windows. In every other window the next bundle is installed under it as the governance
document says: beside the one in force, to take effect a moment later; adapter and gateway are told by SIGHUP, read it
while they answer, and turn by their own clocks. Once with policies as shipped, once with a country's worth of them.
"""

from __future__ import annotations

import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from bench import report
from bench.large import enlarged
from bench.measure import Sample, measure
from bench.network import POLICIES, Product, Variant, prepare
from bench.policies import LARGE
from bench.processes import Processes
from bench.product import product_modes
from bench.run import ROOT, Options, say
from gateway.api.operator.v1 import operator_pb2 as api
from gateway.cli.localnet.processes import Processes as Children
from gateway.crypto.envelope import BUNDLE_TYPE, sign
from gateway.crypto.keys import load_private_key
from gateway.domain.ids import BundleDigest
from gateway.policy.bundle import build_bundle, digest_of
from gateway.policy.load import LoadedPolicies, load_policies

NAME = "reload"
ASKED = 1.5
"""The p99 of a window with a reload, as a multiple of that of the quiet window before it: at most this."""
MODE = "anew-64"
_WINDOW_S = 12.0
_GRACE_S = 3600
_AHEAD_S, _INSTALLED_S = 10, 3.0
"""From the start of a measurement: when the bundle takes effect, and when it is installed. The load begins within the
first two of these seconds, and lasts for more than the window."""


@dataclass(frozen=True, slots=True)
class Window:
    """Two windows, one after the other: without and with a reload."""

    quiet: Sample
    reload: Sample

    @property
    def ratio(self) -> float:
        """Of their p99."""
        return self.reload.p99_ms / self.quiet.p99_ms


@dataclass(frozen=True, slots=True)
class Reloads:
    """What a run found, by size of the policies."""

    windows: dict[str, Sequence[Window]]
    machine: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """All figures."""
        return {
            "asked": ASKED,
            "sizes": {
                name: {
                    "p99_ratio": statistics.median(item.ratio for item in items),
                    "per_round": [item.ratio for item in items],
                    "p99_quiet_ms": statistics.median(item.quiet.p99_ms for item in items),
                    "p99_reload_ms": statistics.median(item.reload.p99_ms for item in items),
                    "throughput_ratio": statistics.median(
                        item.reload.throughput / item.quiet.throughput for item in items
                    ),
                    "failed": sum(item.reload.errors for item in items),
                    "calls": sum(item.reload.calls for item in items),
                }
                for name, items in self.windows.items()
            },
            "machine": self.machine,
        }

    def table(self) -> str:
        """The same for a terminal."""
        lines = []
        for name, found in self.document()["sizes"].items():
            met = found["p99_ratio"] <= ASKED and not found["failed"]
            lines.append(
                f"{name:<10} p99 {found['p99_quiet_ms']:.2f} ms quiet, {found['p99_reload_ms']:.2f} ms with a reload: "
                f"{found['p99_ratio']:.2f} (asked <= {ASKED}), throughput {found['throughput_ratio']:.2f}, "
                f"{found['failed']} of {found['calls']} failed {'ok' if met else 'MISS'}"
            )
        return "\n".join(lines)


class _Published:
    """The bundles of one network, and the authority that signs them."""

    def __init__(self, product: Product, loaded: LoadedPolicies) -> None:
        self._product = product
        self._loaded = loaded
        self._keys = [load_private_key(file) for file in product.layout.signing_keys]
        self._version = 1
        # where the settings name a file they may as well name a folder of several
        self._folder = product.layout.shared / "bundle.json"
        first = self._folder.read_bytes()
        self._folder.unlink()
        self._folder.mkdir()
        (self._folder / "1.json").write_bytes(first)

    def next(self) -> bytes:
        """The next bundle, to be in force a moment from now."""
        self._version += 1
        expires = date.today() + timedelta(days=30)  # noqa: DTZ011 - a calendar day of this machine is near enough
        starts = int(time.time()) + _AHEAD_S
        return build_bundle(self._loaded, self._version, expires, effective=starts, grace_s=_GRACE_S)

    def install(self, data: bytes) -> None:
        """Put it beside the one in force, take away what has served, and tell both processes."""
        aside = self._folder / ".next"
        aside.write_bytes(sign(BUNDLE_TYPE, data, self._keys))
        aside.rename(self._folder / f"{self._version}.json")
        (self._folder / f"{self._version - 2}.json").unlink(missing_ok=True)
        for server in self._product.servers.values():
            server.process.send_signal(signal.SIGHUP)


def run(options: Options) -> Reloads:
    """Start everything, measure, stop everything. Raises BenchError, or TiergateError if the product does not start."""
    state = ROOT / ".state"
    state.mkdir(exist_ok=True)
    machine = report.machine()
    shipped = load_policies(POLICIES)
    found: dict[str, Sequence[Window]] = {}
    for name, loaded in {"shipped": shipped, "country": enlarged(shipped, *LARGE)}.items():
        with (
            tempfile.TemporaryDirectory(prefix="bench-", dir=state) as folder,
            Processes(Path(folder)) as processes,
            Children() as children,
        ):
            found[name] = _measure(name, loaded, options, Path(folder), processes, children)
    return Reloads(found, machine)


def _measure(
    name: str, loaded: LoadedPolicies, options: Options, folder: Path, processes: Processes, children: Children
) -> list[Window]:
    variant = Variant(NAME)
    product = Product(variant, *prepare(folder, variant))
    published = _Published(product, loaded)
    product.start(children, processes)
    (mode,) = product_modes(product, [MODE], options.warm_s + options.seconds)
    seconds = max(options.seconds, _WINDOW_S)
    windows = []
    for number in range(options.rounds + 1):
        quiet = measure(mode, folder, warm_s=options.warm_s, seconds=seconds)
        data = published.next()
        told = threading.Timer(_INSTALLED_S, published.install, [data])
        told.start()
        turned = replace(mode, check=_under(digest_of(data)))
        window = Window(quiet, measure(turned, folder, warm_s=options.warm_s, seconds=seconds))
        told.join()
        say(f"{name} {number}/{options.rounds}  p99 {quiet.p99_ms:.2f} ms, with a reload {window.reload.p99_ms:.2f} ms")
        windows.append(window)
    return windows[1:]  # the first installs the policies of this size in place of those that the network came with


def _under(digest: BundleDigest) -> Callable[[bytes], None]:
    """Raise ValueError unless the last reply of a window was decided under the bundle installed in it."""

    def check(reply: bytes) -> None:
        decision = api.CheckEligibilityResponse.FromString(reply).decision
        if decision.outcome != api.OUTCOME_ENTITLED or decision.bundle_digest != digest:
            raise ValueError("not entitled under the new bundle")

    return check
