"""What the tests of the whole share: processes are started from the checkout, as the product's commands are."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.cli.localnet.plan import Options
from tests.e2e.harness import TestNetwork, running


@pytest.fixture(autouse=True, scope="package")
def in_checkout(checkout: Path) -> Iterator[Path]:
    """Work from the checkout's root."""
    before = Path.cwd()
    os.chdir(checkout)
    yield checkout
    os.chdir(before)


@pytest.fixture(scope="package")
async def started(tmp_path_factory: pytest.TempPathFactory, in_checkout: Path) -> AsyncIterator[TestNetwork]:
    """One network for all cases that break something and mend it."""
    async with running(tmp_path_factory.mktemp("failures") / "network", Options()) as network:
        yield network


@pytest.fixture
async def network(started: TestNetwork) -> TestNetwork:
    """The network, whole."""
    await started.mend()
    return started
