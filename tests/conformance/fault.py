"""What a planted fault is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Fault:
    """``check`` is meant to catch it; ``also`` fail with it, and nothing else does."""

    name: str
    plant: Plant
    check: str
    also: tuple[str, ...] = ()
