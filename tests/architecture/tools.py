"""Running the checkout's tools and listing its files."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple


class Done(NamedTuple):
    """How a command ended: its exit code and everything that it printed."""

    code: int
    output: str


def run(*command: str | Path, cwd: Path) -> Done:
    """Run a command in a folder; programs installed beside this Python are found first."""
    scripts = sysconfig.get_path("scripts")
    environment = {**os.environ, "PATH": os.pathsep.join((scripts, os.environ.get("PATH", os.defpath)))}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=300,
    )
    return Done(done.returncode, done.stdout)


def python(*arguments: str | Path, cwd: Path) -> Done:
    """Run this Python in a folder."""
    return run(sys.executable, *arguments, cwd=cwd)


def files(checkout: Path) -> list[Path]:
    """Every file that is, or with the next commit would be, in the repository; relative to the checkout."""
    # the checkout may belong to another user than the one who runs the tests
    listed = run(
        "git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=checkout
    )
    assert listed.code == 0, listed.output
    names = sorted(set(listed.output.split("\0")) - {""})
    return [Path(name) for name in names if (checkout / name).is_file()]


def texts(checkout: Path) -> dict[Path, str]:
    """The repository's text files with their contents."""
    found = {}
    for path in files(checkout):
        content = (checkout / path).read_bytes()
        if b"\0" not in content:
            found[path] = content.decode("utf-8", errors="replace")
    return found
