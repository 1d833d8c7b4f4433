"""A witness as the product runs it: a process with settings, key and state in a folder of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.cli.localnet.plan import ReservedPort
from gateway.cli.localnet.processes import Child, Processes

DIES_BEFORE_IT_SIGNS = """
import os, signal, sys
from gateway.cli import main
from gateway.consentlog import witness
witness._cosignature = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(main())
"""
"""The command, in a process that a SIGKILL ends between the commit of its state and its signature."""


def _free_address() -> str:
    port = ReservedPort()
    port.release()
    return port.address


@dataclass
class WitnessProcess:
    """``logs``: vkey by origin. ``limits``: lines of that table. The port is the same at every start."""

    folder: Path
    processes: Processes
    name: str
    logs: dict[str, str]
    limits: str = ""
    address: str = field(default_factory=_free_address)
    vkey: str = ""
    child: Child | None = field(default=None)

    @property
    def config(self) -> Path:
        return self.folder / "witness.toml"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def write(self) -> None:
        """Write the settings."""
        self.folder.mkdir(parents=True, exist_ok=True)
        logs = "".join(f'[[logs]]\norigin = "{origin}"\nvkey = "{vkey}"\n' for origin, vkey in self.logs.items())
        settings = f'listen = "{self.address}"\nkey = "witness.key"\nstate_dir = "state"\n'
        self.config.write_text(f"{settings}[limits]\n{self.limits}\n{logs}", "utf-8")

    def init(self) -> None:
        """Make key and state."""
        self.write()
        self.vkey = self.run("init", "--name", self.name)["vkey"]

    def run(self, command: str, *arguments: str, code: int = 0) -> Any:
        """Run a command of ``tiergate witness`` to its end; its document."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "witness", command, "--config", self.config, "--json", *arguments],
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def start(self, program: str = "") -> None:
        """Start serving; ``program``: in place of the command's own module."""
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        runs = ["-c", program] if program else ["-m", "gateway"]
        words = ["witness", "serve", "--config", str(self.config), "--ready-file", str(ready)]
        self.child = self.processes.start(self.name, [sys.executable, *runs, *words], self.folder / "log")
        self.address = str(self.processes.wait_ready(self.child, ready)["address"])
        self.write()

    def stop(self, number: int = 15) -> None:
        """Stop it."""
        assert self.child is not None
        self.processes.stop_one(self.child, number)
