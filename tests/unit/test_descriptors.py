"""A process that was started without standard descriptors opens nothing of its own under their numbers."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os, sys
from gateway.descriptors import hold_standard_descriptors
hold_standard_descriptors()
opened = os.open(os.devnull, os.O_RDONLY)
assert opened > 2, opened
assert all(os.get_inheritable(number) for number in range(3))
assert sys.stdin.read() == ""
print("told", file=sys.stderr, flush=True)
sys.exit(7)
"""


@pytest.mark.parametrize(
    "closed", [names for count in range(1, 4) for names in itertools.combinations(("<&-", ">&-", "2>&-"), count)]
)
def test_what_is_opened_first_gets_no_standard_number(checkout: Path, closed: tuple[str, ...]) -> None:
    line = f'exec "$0" -c "$1" {" ".join(closed)}'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable, CODE],
        cwd=checkout,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout == ""
    assert done.stderr == ("" if "2>&-" in closed else "told\n")
