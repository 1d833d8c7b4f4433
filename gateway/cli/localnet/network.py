"""Starts and stops the processes of a local network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gateway.cli.localnet.plan import SOURCE_KINDS
from gateway.cli.localnet.processes import Child, Processes
from gateway.cli.localnet.provision import Network
from gateway.cli.localnet.settings_files import PLATFORM_PORT


class LocalNetwork:
    """The processes of a provisioned network: platforms, adapters, gateway, each one on its own."""

    def __init__(self, network: Network, processes: Processes) -> None:
        self.network = network
        self.layout = network.layout
        self._processes = processes
        self.children: dict[str, Child] = {}

    def start(self) -> None:
        """Start everything and wait until it serves. Raises INTERNAL with the log of what did not start."""
        for city in self.network.options.cities:
            self._start_platform(city)
        waiting = [self._launch(name) for name in ("gateway", *self.network.options.cities)]
        for name, child, ready in waiting:
            self._processes.wait_ready(child, ready)
            self.children[name] = child

    def restart(self, name: str) -> None:
        """Start the gateway or a city's adapter again after it was stopped or killed."""
        _, child, ready = self._launch(name)
        self._processes.wait_ready(child, ready)
        self.children[name] = child

    def stop_one(self, name: str, number: int | None = None) -> int:
        """Stop one process; its exit code."""
        child = self.children.pop(name)
        return self._processes.stop_one(child) if number is None else self._processes.stop_one(child, number)

    def check(self) -> None:
        """Raise INTERNAL if a process has ended by itself."""
        self._processes.check()

    def command(self, name: str) -> list[str]:
        """What the interpreter runs as the gateway or as a city's adapter."""
        if name == "gateway":
            return ["-m", "gateway", "serve", "--config", str(self.layout.gateway / "gateway.toml")]
        return ["-m", "gateway", "adapter", "serve", name, "--config", str(self.layout.city(name) / "adapter.toml")]

    def _launch(self, name: str) -> tuple[str, Child, Path]:
        folder = self.layout.gateway if name == "gateway" else self.layout.city(name)
        ready = folder / "ready.json"
        ready.unlink(missing_ok=True)
        self.network.ports[name].release()
        child = self._processes.start(
            f"{name} adapter" if name != "gateway" else "gateway",
            [sys.executable, *self.command(name), "--ready-file", str(ready)],
            self.layout.log(name),
            environment={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        return name, child, ready

    def _start_platform(self, city: str) -> None:
        folder = self.layout.city(city) / "platform"
        folder.mkdir(exist_ok=True)
        ready = folder / "ready.json"
        ready.unlink(missing_ok=True)
        kind = SOURCE_KINDS[city]
        command = [sys.executable, "-m", "adapters.sandbox", city, "--ready-file", str(ready)]
        match kind:
            case "http":
                command += ["--state", str(folder)]
            case "sql":
                command += ["--db", str(folder / "scores.sqlite3"), "--stay"]
            case "csv":
                command += ["--csv", str(folder / "export.csv"), "--stay"]
        dataset = self.network.options.datasets.get(city)
        if dataset is not None:
            command += ["--dataset", str(dataset)]
        name = f"{city} platform"
        child = self._processes.start(name, command, self.layout.log(f"{city}-platform"))
        told = self._processes.wait_ready(child, ready)
        self.children[f"{city}-platform"] = child
        if kind == "http":
            settings = self.layout.city(city) / "adapter.toml"
            settings.write_text(settings.read_text("utf-8").replace(PLATFORM_PORT, str(told["port"])), "utf-8")
