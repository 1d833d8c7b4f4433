"""Child processes that cannot outlive us: a pipe whose end of file tells every child that its parent is gone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.errors import Reason, TiergateError

START_S = 30.0
STOP_S = 12.0


@dataclass(frozen=True)
class Child:
    """A started process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Processes:
    """Starts processes and stops all of them, in reverse order, whatever happens to us.

    On a normal end ``stop`` terminates and awaits them. If this process dies in any other way, SIGKILL included, the
    kernel closes the lifeline, and the children, who watch it, stop by themselves.
    """

    def __init__(self) -> None:
        self._children: list[Child] = []
        self._lifeline_read, self._lifeline_write = os.pipe()
        os.set_inheritable(self._lifeline_read, True)

    def start(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> Child:
        """Start ``command`` with ``--lifeline-fd N`` appended; its standard error goes to ``log``."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                [*command, "--lifeline-fd", str(self._lifeline_read)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(self._lifeline_read,),
                start_new_session=True,  # a Ctrl-C at the terminal is ours to handle
                env=dict(environment) if environment is not None else None,
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def wait_ready(self, child: Child, ready_file: Path) -> dict[str, object]:
        """What the process wrote when it was ready to serve. Raises INTERNAL with the end of its log."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if ready_file.exists():
                ready: dict[str, object] = json.loads(ready_file.read_text("utf-8"))
                return ready
            if child.process.poll() is not None:
                break
            time.sleep(0.02)
        state = "is not ready in time" if child.process.poll() is None else f"ended with {child.process.returncode}"
        raise TiergateError(Reason.INTERNAL, f"{child.name} {state}; the end of {child.log}:\n{tail(child.log)}")

    def check(self) -> None:
        """Raise INTERNAL if a process has ended by itself."""
        for child in self._children:
            if child.process.poll() is not None:
                raise TiergateError(
                    Reason.INTERNAL, f"{child.name} ended with {child.process.returncode}:\n{tail(child.log)}"
                )

    def stop_one(self, child: Child, number: int = signal.SIGTERM) -> int:
        """Stop one process; its exit code."""
        if child.process.poll() is None:
            child.process.send_signal(number)
        try:
            code = child.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.process.kill()
            code = child.process.wait()
        if child in self._children:
            self._children.remove(child)
        return code

    def stop(self) -> None:
        """Stop everything; safe to call twice."""
        for child in self._children:
            if child.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    child.process.terminate()
        for child in reversed(list(self._children)):
            self.stop_one(child)
        for descriptor in (self._lifeline_read, self._lifeline_write):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    try:
        return "\n".join(path.read_text("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
