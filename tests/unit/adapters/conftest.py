"""One network per run, one city per test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.errors import Reason, TiergateError
from tests.fakes.city import FakeCity
from tests.fakes.network import Network


@pytest.fixture(scope="session")
def network() -> Network:
    return Network()


@pytest.fixture
async def city(network: Network, tmp_path: Path) -> AsyncIterator[FakeCity]:
    async with FakeCity(network, tmp_path) as running:
        running.source.know("synthetic-1", 900)
        yield running


@contextmanager
def refuses(reason: Reason) -> Iterator[None]:
    """The block raises a TiergateError of exactly this reason."""
    with pytest.raises(TiergateError) as caught:
        yield
    assert caught.value.reason is reason
