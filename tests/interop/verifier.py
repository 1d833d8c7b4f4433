"""Verifiers as programs: how they are built, and called with files."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

LIBRARIES = Path("/usr/share/gocode")
"""Where Debian's packages of Go sources (``golang-*-dev``) put them, laid out as a GOPATH."""


class Verdict(NamedTuple):
    """Whether a verifier took what it was given, and the one line that it printed."""

    accepted: bool
    said: str


@dataclass(frozen=True)
class Verifier:
    """A program, and the arguments that it always gets."""

    command: tuple[str | Path, ...]

    def __call__(self, *words: str | Path) -> Verdict:
        """Run it; anything but exit code 0 or 1 with one line is a fault of the driver itself."""
        done = subprocess.run(
            [*self.command, *words], capture_output=True, check=False, text=True, timeout=300, stdin=subprocess.DEVNULL
        )
        said = done.stderr if done.returncode else done.stdout
        assert done.returncode in {0, 1}, done.stderr
        assert said.count("\n") == 1, said
        assert not said.startswith("usage:"), said
        return Verdict(done.returncode == 0, said.strip())


def refused(verdict: Verdict, named: str) -> None:
    """Assert that a verifier said no, and why."""
    assert not verdict.accepted, verdict.said
    assert named in verdict.said


def build_go(tool: Path, sources: Path, state: Path) -> Verifier:
    """Compile the Go driver, without a network; what Go keeps goes below ``state``."""
    state.mkdir(parents=True, exist_ok=True)
    program = state / "verify"
    offline = {
        "CGO_ENABLED": "0",
        "GO111MODULE": "off",
        "GOCACHE": str(state / "go-cache"),
        "GOENV": "off",
        "GOFLAGS": "",
        "GOPATH": str(LIBRARIES),
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
    }
    done = subprocess.run(
        [tool, "build", "-o", program, "."],
        cwd=sources,
        env={**os.environ, **offline},
        capture_output=True,
        check=False,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return Verifier((program,))
