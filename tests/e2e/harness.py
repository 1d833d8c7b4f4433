"""A whole network as real processes, for tests: with relays before the servers, metrics, other programs if asked."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from gateway.api.consent.v1.consent_pb2 import WithdrawConsentResponse
from gateway.api.operator.v1.operator_pb2 import Decision
from gateway.cli.localnet.clients import Clients, Consent
from gateway.cli.localnet.network import LocalNetwork
from gateway.cli.localnet.plan import TRUST_DOMAIN, Layout, Options, ReservedPort
from gateway.cli.localnet.processes import Processes
from gateway.cli.localnet.provision import Network, provision
from gateway.errors import TiergateError
from tests.fakes.relay import Recording, Relay

TOP, LIBRARY = "synthetic-fz-0001", "xiamen-library"
"""A resident of Fuzhou at the top of its scale, and a scenario in Xiamen of which she gets the terms."""
UNHURRIED: dict[str, int | float] = {"city_deadline_s": 20.0}
"""Limits of a gateway on a machine that does much else meanwhile."""
PATIENCE_S = 30.0
"""How long a condition is waited for before the test fails. It decides nothing else."""


class TestNetwork(LocalNetwork):
    """A local network; ``module`` (default: the product's) is what the interpreter runs for gateway and adapters."""

    __test__ = False

    def __init__(
        self, network: Network, processes: Processes, module: str, relays: dict[str, Relay], metrics: dict[str, str]
    ) -> None:
        super().__init__(network, processes)
        self._module = module
        self._relays = relays
        self._metrics = metrics
        self.clients = Clients(self.layout)

    def command(self, name: str) -> list[str]:
        """The product's command line, run by another module if asked."""
        return ["-m", self._module, *super().command(name)[2:]]

    def relay(self, server: str) -> Relay:
        """The relay before a server."""
        return self._relays[server]

    @property
    def recordings(self) -> list[Recording]:
        """What went over the links, if there are relays."""
        return [recording for relay in self._relays.values() for recording in relay.recordings]

    async def mend(self) -> None:
        """Start again what a failed test has left stopped."""
        for name in ("gateway", *self.network.options.cities):
            if name not in self.children or self.children[name].process.poll() is not None:
                await self.restart_async(name)

    async def restart_async(self, name: str) -> None:
        """Restart without holding up this loop's own servers."""
        await asyncio.to_thread(self.restart, name)

    async def stop_async(self, name: str, number: int | None = None) -> int:
        """Stop one process; its exit code."""
        return await asyncio.to_thread(self.stop_one, name, number)

    async def scrape(self, name: str) -> bytes:
        """The metrics page of the gateway or of an adapter."""

        def read() -> bytes:
            with urllib.request.urlopen(f"http://{self._metrics[name]}/metrics", timeout=PATIENCE_S) as page:
                text: bytes = page.read()
                return text

        return await asyncio.to_thread(read)


@asynccontextmanager
async def running(
    base: Path,
    options: Options,
    *,
    relayed: bool = False,
    module: str = "gateway",
    prepare: Callable[[Layout, Processes], None] = lambda *_: None,
) -> AsyncIterator[TestNetwork]:
    """Provision under ``base``, start, and stop everything. ``relayed``: before each server a recording relay.

    ``prepare`` may change the files, and start what the network needs, before anything of the network starts.
    """
    servers = ("gateway", *options.cities)
    relays = {name: Relay(name) for name in servers} if relayed else {}
    if relayed:
        options = replace(options, announced={name: relay.address for name, relay in relays.items()})
    network = provision(Layout(base), options)
    metrics = {name: _serve_metrics(network.layout, name) for name in servers}
    with Processes() as processes:
        local = TestNetwork(network, processes, module, relays, {n: port.address for n, port in metrics.items()})
        try:
            for name, relay in relays.items():
                await relay.start(
                    tls=_folder(network.layout, name) / "tls",
                    upstream=network.ports[name].address,
                    server_name=f"{name}.{TRUST_DOMAIN}",
                    clients=_participants(network),
                )
            for port in metrics.values():
                port.release()
            await asyncio.to_thread(prepare, network.layout, processes)
            await asyncio.to_thread(local.start)
            yield local
        finally:
            await local.clients.close()
            await asyncio.to_thread(processes.stop)
            for relay in relays.values():
                await relay.stop()


def _folder(layout: Layout, name: str) -> Path:
    return layout.gateway if name == "gateway" else layout.city(name)


def _serve_metrics(layout: Layout, name: str) -> ReservedPort:
    port = ReservedPort()
    file = _folder(layout, name) / ("gateway.toml" if name == "gateway" else "adapter.toml")
    file.write_text(f'metrics_listen = "{port.address}"\n{file.read_text("utf-8")}', "utf-8")
    return port


def _participants(network: Network) -> dict[str, Path]:
    """TLS folders by URI SAN."""
    layout = network.layout
    found = {"gateway": layout.gateway, "auditor/province": layout.auditor}
    for city in network.options.cities:
        found |= {f"city/{city}": layout.city(city), f"city/{city}/app": layout.app(city)}
    for operator in network.operators:
        found[f"operator/{operator}"] = layout.operator(operator)
    return {f"spiffe://{TRUST_DOMAIN}/{name}": folder / "tls" for name, folder in found.items()}


async def until(condition: Callable[[], Awaitable[object]], what: str) -> None:
    """Wait until ``condition`` holds; AssertionError after ``PATIENCE_S``."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await condition():  # noqa: ASYNC110 - other processes set no event of ours
                await asyncio.sleep(0.02)
    except TimeoutError as error:
        raise AssertionError(f"did not come about: {what}") from error


async def until_decided(check: Callable[[], Awaitable[Decision]], away: Collection[str]) -> Decision:
    """Check again and again while the answer is one of the gRPC statuses in ``away``; what it is then."""
    decisions: list[Decision] = []

    async def answered() -> bool:
        try:
            decisions.append(await check())
        except TiergateError as error:
            if error.status not in away:
                raise
        return bool(decisions)

    await until(answered, "a decision")
    return decisions[0]


def alive(pids: Iterable[int]) -> set[int]:
    """Those of ``pids`` that run: neither gone nor zombies waiting for their parent."""
    return {pid for pid in pids if _state(pid) not in ("", "Z", "X")}


def _state(pid: int) -> str:
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return status.rpartition(")")[2].split()[0]


async def withdraw(network: TestNetwork, consent: Consent) -> WithdrawConsentResponse:
    """Withdraw, and wait until the gateway has taken it; on a slow machine that may be after the first answer."""
    answers: list[WithdrawConsentResponse] = []

    async def taken() -> bool:
        answers.append(await network.clients.withdraw(consent))
        return answers[-1].acknowledged

    await until(taken, "the gateway's acknowledgement")
    return answers[0]


async def library_consent(network: TestNetwork, *, uses: int = 3) -> Consent:
    """Her consent; ``uses`` 0 is unlimited."""
    return await network.clients.grant("fuzhou", TOP, LIBRARY, LIBRARY, uses=uses)
