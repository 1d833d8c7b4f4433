"""Wiring: one running network for all tests of the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.running import Running, running_network


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Iterator[Running]:
    """Processes that the tests of the command share."""
    with running_network(tmp_path_factory.mktemp("network"), checkout) as running:
        yield running
