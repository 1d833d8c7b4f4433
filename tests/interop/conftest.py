"""Builds the verifiers. One that cannot be had is a failure, never a reason to leave its tests out."""

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
