"""Builds the verifiers, and finds the second adapter's packages. What is missing is a failure; no test is left out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.interop.verifier import Verifier, build_go


@pytest.fixture(scope="session")
def go(checkout: Path) -> Verifier:
    """The driver in ``tests/interop/go``, built from Debian's sources of Go's own packages."""
    tool = shutil.which("go")
    assert tool, "Go is missing; ./dev interop installs it"
    return build_go(Path(tool), checkout / "tests/interop/go", checkout / ".state/interop")


@pytest.fixture(scope="session")
def scales_python(checkout: Path) -> Path:
    """The Python of the environment that holds tlog-scales and what it needs."""
    python = checkout / ".state/interop/scales/bin/python"
    assert python.exists(), "tlog-scales is missing; ./dev interop installs it"
    return python


@pytest.fixture(scope="session")
def scales(checkout: Path, scales_python: Path) -> Verifier:
    """The driver in ``tests/interop/scales``, which imports nothing of the product (``-I``: nor of this folder)."""
    return Verifier((scales_python, "-I", checkout / "tests/interop/scales/verify.py"))


@pytest.fixture(scope="session")
def node(checkout: Path) -> tuple[str, Path]:
    """Node.js, and the folder of the packages that the second adapter is built on."""
    program = shutil.which("node")
    packages = checkout / ".state/interop/node/node_modules"
    assert program, "Node.js is missing (Debian: nodejs, npm); ./dev interop installs it"
    assert packages.exists(), "the second adapter's packages are missing; ./dev interop installs them"
    return program, packages
