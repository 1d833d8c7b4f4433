"""Runs the fenced blocks of a document as they stand there, in their order.

The line above a block may say in italics for which way it is (none: for all) and that it stays running: the next block
then waits for the file that its ``--ready-file`` names. Nothing is changed but port numbers, since several tests run on
one machine. What stays running is started once and lives to the end: no step may need a restart.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from gateway.cli.localnet.plan import ReservedPort
from gateway.cli.localnet.processes import Child, Processes, tail
from gateway.errors import Reason, TiergateError

_BLOCK = re.compile(r"(?:^\*([a-z, ]+):\*\n\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SERVES = "stays running"
_READY = re.compile(r"--ready-file\s+(\S+)")


@dataclass(frozen=True)
class Step:
    """One block: for which ways it is (none: for all), whether it stays running, and what a shell is given."""

    ways: frozenset[str]
    serves: bool
    text: str


def steps_of(document: Path, section: str) -> list[Step]:
    """The blocks below the heading ``## section``."""
    text = document.read_text("utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    assert text, f"{document.name} has no section {section!r}"
    found = _BLOCK.findall(text)
    assert {language for _, language, _ in found} == {"sh"}, "every block is for a shell, and is run"
    said = [(frozenset(filter(None, label.split(", "))), block) for label, _, block in found]
    return [Step(words - {_SERVES}, _SERVES in words, block) for words, block in said]


@dataclass
class Follower:
    """Somebody who follows a document in ``folder``; what was started ends with the block."""

    folder: Path
    checkout: Path
    ports: tuple[int, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    serving: list[Child] = field(default_factory=list)
    _processes: Processes = field(default_factory=Processes)

    def __post_init__(self) -> None:
        self._reserved = [ReservedPort() for _ in self.ports]
        self._ports = {str(port): str(item.port) for port, item in zip(self.ports, self._reserved, strict=True)}
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TIERGATE_")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "CHECKOUT": str(self.checkout),
            **self.environment,
        }

    def follow(self, steps: list[Step], way: str) -> None:
        """Run every block that is for ``way``; AssertionError with what was said if one fails."""
        for step in steps:
            if step.ways and way not in step.ways:
                continue
            text = step.text
            for written, taken in self._ports.items():
                text = re.sub(rf"(?<=[: ]){written}\b", taken, text)
            if step.serves:
                self._serve(text)
            else:
                self._run(text)
            self.require_serving()

    def _run(self, text: str) -> None:
        done = subprocess.run(
            ["sh", "-eu", "-c", text],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr}"

    def _serve(self, text: str) -> None:
        named = _READY.search(text)
        assert named, f"nothing says when it serves: {text}"
        ready = self.folder / named.group(1)
        log = self.folder / f"{len(self.serving)}.log"
        self._release()
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["sh", "-eu", "-c", text if "exec " in text else f"exec {text}"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        child = Child(text, process, log)
        self.serving.append(child)
        self._processes.wait_ready(child, ready)

    def _release(self) -> None:
        """Let what serves have the ports; which of them it takes stands in its settings."""
        while self._reserved:
            self._reserved.pop().release()

    def require_taken_while_running(self, answer: Mapping[str, Any]) -> None:
        """AssertionError unless gateway and Xiamen took new policies once, in the processes that ran before.

        ``answer``: a decision as JSON. Its bundle must be the second one of ``published.json``, which a step made of
        the log's entries before anybody asked.
        """
        for name, child in zip(("gateway", "xiamen"), self.serving, strict=False):
            assert int((self.folder / f"province/{name}.pid").read_text("ascii")) == child.process.pid
            events = [json.loads(line)["event"] for line in child.log.read_text("utf-8").splitlines()]
            assert (events.count("serving"), events.count("reloaded")) == (1, 1), events
        first, second = json.loads((self.folder / "published.json").read_text("utf-8"))["entries"]
        assert (first["version"], second["version"]) == (1, 2)
        assert second["bundle"] == answer["bundle_digest"]
        assert second["index"] < answer["log_index"]

    def require_serving(self) -> None:
        """Raise INTERNAL, with its log, if something that was to stay running has ended."""
        for child in self.serving:
            if child.process.poll() is not None:
                raise TiergateError(Reason.INTERNAL, f"{child.name} ended:\n{tail(child.log)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._release()
        for child in self.serving:
            child.process.terminate()
        for child in self.serving:
            self._processes.stop_one(child)
        self._processes.stop()
