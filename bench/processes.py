"""Server processes: started, awaited, measured, ended. None survives the benchmark, however that ends."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from bench.procfs import cpu_seconds, rss_bytes

START_S = 30.0
STOP_S = 5.0
_QUIET_STEP_S = 0.25
_QUIET_SHARE = 0.04


class BenchError(Exception):
    """The benchmark cannot go on; the text says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and where it listens."""

    name: str
    process: subprocess.Popen[bytes]
    address: str

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def rss_bytes(self) -> int:
        """Resident memory."""
        return rss_bytes(self.pid)


class Processes:
    """All servers of one run. A context manager: leaving it ends them all."""

    def __init__(self, folder: Path) -> None:
        """Logs go to ``folder``."""
        self._folder = folder
        self._servers: list[Server] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.process.terminate()
        for server in self._servers:
            try:
                server.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                server.process.kill()
            _collect(server.process)

    def start(self, name: str, module: str, *arguments: str) -> Server:
        """Run a module until it prints ``ready PORT``. Raises BenchError with the end of its log if it does not."""
        log = self._folder / f"{name}.log"
        command = [sys.executable, "-m", "bench.child", module, *arguments]
        with log.open("wb") as errors:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        try:
            port = _ready(process.stdout)
        except BenchError as error:
            process.kill()
            _collect(process)
            tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise BenchError(f"{name} did not start: {error}\n{tail}") from error
        server = Server(name, process, f"127.0.0.1:{port}")
        self._servers.append(server)
        return server


def _collect(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _ready(output: IO[bytes]) -> int:
    deadline = time.monotonic() + START_S
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([output], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise BenchError(f"not ready after {START_S:.0f} s")
        read = output.read1(256) if hasattr(output, "read1") else output.read(1)
        if not read:
            raise BenchError("it ended")
        line += read
    words = line.split()
    if len(words) != 2 or words[0] != b"ready":
        raise BenchError(f"it said {line!r}")
    return int(words[1])


def wait_until_quiet(servers: Sequence[Server], limit_s: float) -> bool:
    """Wait until the servers do next to nothing, so that work put off does not fall into the next measurement.

    False when they are still busy after ``limit_s``.
    """
    deadline = time.monotonic() + limit_s
    before = sum(cpu_seconds(server.pid) for server in servers)
    while time.monotonic() < deadline:
        time.sleep(_QUIET_STEP_S)
        after = sum(cpu_seconds(server.pid) for server in servers)
        if after - before <= _QUIET_STEP_S * _QUIET_SHARE:
            return True
        before = after
    return False
