from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.sqlite.writer import GroupWriter
from tests.unit.sqlite.counter import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "a.db")


@pytest.fixture
async def writer(store: Store) -> AsyncIterator[GroupWriter[str, int]]:
    made = GroupWriter[str, int](
        store.connection, store.apply, after_commit=store.after_commit, on_rollback=store.on_rollback, max_pending=100
    )
    made.start()
    yield made
    store.gate.set()
    await made.close()
