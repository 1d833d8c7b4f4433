"""A network of one city, its gateway and adapter as processes, and the command as everybody in it runs it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.sandbox import quanzhou
from adapters.sandbox.residents import residents_of
from gateway.cli.localnet.plan import Layout, Options
from gateway.cli.localnet.processes import Child, Processes
from gateway.cli.localnet.provision import provision

CITY, SCENARIO, OPERATOR = "quanzhou", "xiamen-library", "xiamen-library"
PEOPLE = residents_of(CITY)
TOP, LOW = PEOPLE[0].ref, PEOPLE[8].ref


@dataclass(frozen=True)
class Ran:
    """What the command did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output, which must be one JSON document."""
        return json.loads(self.out)


@dataclass
class Running:
    """A running network of one city, and the files of everybody in it."""

    layout: Layout
    processes: Processes
    checkout: Path
    folder: Path
    adapter: Child = field(init=False)

    def start(self, name: str, *arguments: object) -> Child:
        """Start a process of the network; it serves when this returns."""
        ready = self.folder / f"{name}.ready"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "gateway", *map(str, arguments), "--ready-file", str(ready)]
        child = self.processes.start(name, command, self.folder / f"{name}.log")
        self.processes.wait_ready(child, ready)
        return child

    def start_adapter(self) -> None:
        """Start the city's adapter."""
        self.adapter = self.start(
            "adapter", "adapter", "serve", CITY, "--config", self.layout.city(CITY) / "adapter.toml"
        )

    async def run(self, *arguments: object) -> Ran:
        """Run a command to its end."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", *map(str, arguments)),
            cwd=self.checkout,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert b"Traceback" not in out + err, err.decode()
        return Ran(process.returncode or 0, out.decode(), err.decode())

    async def consent(self, *arguments: object) -> Ran:
        """A command of the city's app."""
        return await self.run("consent", *arguments, "--profile", self.layout.app(CITY) / "client.toml")

    async def resident(self, *arguments: object) -> Ran:
        """A command of the city about a resident."""
        return await self.run("resident", *arguments, "--profile", self.layout.app(CITY) / "client.toml")

    async def check(self, token: Path, *more: object, operator: str = OPERATOR) -> Ran:
        """A check by an operator."""
        profile = self.layout.operator(operator) / "client.toml"
        arguments = ("--scenario", SCENARIO, "--token-file", token, "--profile", profile)
        return await self.run("check", *arguments, *more)

    async def audit(self, *arguments: object) -> Ran:
        """A command of the auditor."""
        return await self.run("audit", *arguments, "--profile", self.layout.auditor / "client.toml")

    async def granted(self, name: str, *terms: object, resident: str = TOP) -> tuple[str, Path]:
        """A consent's id, and the file of its token."""
        out = self.folder / name
        what = ("--resident", resident, "--operator", OPERATOR, "--scenario", SCENARIO)
        done = await self.consent("grant", *what, *terms, "--yes", "--out", out, "--json")
        assert done.code == 0, done.err
        identifier: str = done.document["consent_id"]
        return identifier, out


@contextmanager
def running_network(folder: Path, checkout: Path) -> Iterator[Running]:
    """Everything in ``folder``, running; stopped at the end."""
    made = provision(Layout(folder / "network"), Options(cities=(CITY,), policies=checkout / "policies"))
    quanzhou.export(PEOPLE, made.layout.city(CITY) / "platform" / "export.csv")
    for port in made.ports.values():
        port.release()
    with Processes() as processes:
        running = Running(made.layout, processes, checkout, folder)
        running.start("gateway", "serve", "--config", made.layout.gateway / "gateway.toml")
        running.start_adapter()
        yield running
