"""The product's processes for one variant: a gateway, and the real adapter of its city or the stub in its place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BenchError, Processes, Server
from bench.world import CITY, Tls, World, make_world, tls_of, world_file
from gateway.cli.localnet.network import LocalNetwork
from gateway.cli.localnet.plan import Layout, Options
from gateway.cli.localnet.processes import Processes as Children
from gateway.cli.localnet.provision import Network, provision
from gateway.cli.localnet.settings_files import decoy_of

RESIDENTS = tuple(f"synthetic-bench-{number:03d}" for number in range(100))
_POINTS = 900
"""Above the highest cut of every city: what is measured is an entitled resident's check."""
NO_CONSENT_LIMIT: dict[str, int | float] = {"per_consent_per_h": 1e9, "consent_burst": 1_000_000}
NO_RATE_LIMIT = NO_CONSENT_LIMIT | {"per_operator_per_s": 1e6, "burst": 1_000_000}
POLICIES = Path(__file__).resolve().parent.parent / "policies"


@dataclass(frozen=True, slots=True)
class Variant:
    """How one gateway differs. ``stub``: no real adapter behind it; ``log_entries``: filled in before it starts."""

    name: str
    stub: bool = False
    plaintext: bool = False
    trust_remembered: bool = False
    log_entries: int = 0


def prepare(folder: Path, variant: Variant) -> tuple[Network, World]:
    """Provision a network under ``folder``, with residents who all have high scores; nothing is started."""
    dataset = folder / f"{variant.name}.residents.json"
    points = dict.fromkeys(RESIDENTS, _POINTS) | {decoy_of(CITY): 0}
    dataset.write_text(json.dumps(points), encoding="utf-8")
    options = Options(
        cities=(CITY,),
        policies=POLICIES,
        gateway_limits=NO_RATE_LIMIT | {"trust_remembered": variant.trust_remembered},
        adapter_limits=NO_CONSENT_LIMIT,
        datasets={CITY: dataset},
        bench_plaintext=variant.plaintext,
    )
    network = provision(Layout(folder / variant.name), options)
    return network, make_world(network)


def prepare_yards(folder: Path) -> tuple[Layout, World]:
    """A network for echo and yardsticks, of which no process of the product will start."""
    network, world = prepare(folder, Variant("yards"))
    for port in network.ports.values():
        port.release()
    return network.layout, world


class Product:
    """A running variant."""

    def __init__(self, variant: Variant, network: Network, world: World) -> None:
        self.variant = variant
        self.world = world
        self.layout = network.layout
        self._network = network
        self._local: LocalNetwork | None = None
        self.gateway: Server
        self.city: Server

    def start(self, children: Children, processes: Processes) -> None:
        """Start it and wait until it serves."""
        addresses = {name: port.address for name, port in self._network.ports.items()}
        local = self._local = LocalNetwork(self._network, children)
        if self.variant.stub:
            port = self._network.ports[CITY]
            port.release()
            name = f"{self.variant.name}-city"
            self.city = processes.start(name, "bench.stub_city", str(world_file(self._network.layout)), str(port.port))
            self.start_gateway()
        else:
            local.start()
            self.city = Server("adapter", local.children[CITY].process, addresses[CITY])
            self.gateway = Server("gateway", local.children["gateway"].process, addresses["gateway"])

    def stop_gateway(self) -> None:
        """Stop the gateway, so that another process may have its log."""
        self._running().stop_one("gateway")

    def start_gateway(self) -> None:
        """Start the gateway, alone or again."""
        local = self._running()
        local.restart("gateway")
        address = self._network.ports["gateway"].address
        self.gateway = Server("gateway", local.children["gateway"].process, address)

    def _running(self) -> LocalNetwork:
        if self._local is None:
            raise BenchError(f"{self.variant.name} has not been started")
        return self._local

    @property
    def app(self) -> Tls:
        """The city app's end, which may grant consents."""
        return tls_of(self.layout.app(CITY))

    @property
    def servers(self) -> dict[str, Server]:
        """Gateway and city, by role."""
        return {"gateway": self.gateway, "city": self.city}
