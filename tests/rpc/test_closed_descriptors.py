"""Processes that are started with a standard descriptor closed serve, and end in good order."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from adapters.sandbox import quanzhou
from adapters.sandbox.residents import residents_of
from gateway.cli.localnet.plan import Layout, Options
from gateway.cli.localnet.processes import Processes
from gateway.cli.localnet.provision import provision
from tests.fakes.adapter import CSV, AdapterFiles


def _served(folder: Path, closed: str, *words: object) -> int:
    """Start a program, have it serve, stop it; its exit code."""
    ready = folder / "ready"
    command = ["sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-m", *map(str, words), "--ready-file", ready]
    with Processes() as processes:
        child = processes.start("program", [str(word) for word in command], folder / "log")
        processes.wait_ready(child, ready)
        return processes.stop_one(child)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_gateway_serves_with_a_descriptor_closed(tmp_path: Path, checkout: Path, closed: str) -> None:
    made = provision(Layout(tmp_path / "network"), Options(cities=("quanzhou",), policies=checkout / "policies"))
    for port in made.ports.values():
        port.release()
    config = made.layout.gateway / "gateway.toml"
    assert _served(tmp_path, closed, "gateway", "serve", "--config", config) == 0


@pytest.mark.parametrize("closed", ["<&-", "<&- >&- 2>&-"])
def test_an_adapter_serves_with_descriptors_closed(tmp_path: Path, closed: str) -> None:
    quanzhou.export(residents_of("fuzhou"), tmp_path / "scores.csv")
    files = AdapterFiles(tmp_path, CSV)
    files.settings()
    assert _served(tmp_path, closed, "adapters", files.city, "--config", files.file) == 0
