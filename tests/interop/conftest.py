"""Builds the verifiers. One that cannot be built is a failure, never a reason to leave its tests out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.interop.go_verifier import GoVerifier


@pytest.fixture(scope="session")
def go(checkout: Path) -> GoVerifier:
    """The driver in ``tests/interop/go``, built without a network from Debian's sources of Go's own packages."""
    tool = shutil.which("go")
    assert tool, "Go is missing; ./dev interop installs it"
    return GoVerifier.build(Path(tool), checkout / "tests/interop/go", checkout / ".state/interop", dict(os.environ))
