"""Where the shared test vectors are; absent, a test is skipped on a workstation and fails in CI."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

_REPOSITORY = Path(__file__).parents[2]


def vectors_dir() -> Path:
    """The folder with the vectors: ``$TIERGATE_VECTORS``, else ``shared/vectors`` beside the repository."""
    folder = Path(os.environ.get("TIERGATE_VECTORS") or _REPOSITORY.parent / "shared" / "vectors")
    if not folder.is_dir():
        reason = "test vectors not found: set TIERGATE_VECTORS to their folder"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


def load(name: str) -> Any:
    """One JSON file of the vectors."""
    return json.loads((vectors_dir() / name).read_text(encoding="utf-8"))
