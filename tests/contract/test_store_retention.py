"""Erasure by age under clocks that are wrong: nothing goes before its time, and nothing is kept for ever."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gateway.config import Retention
from gateway.domain.directory import Directory
from gateway.housekeeping import Housekeeping
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import clock, draft, open_store, record, store
from tests.contract.test_store_erasure import KEPT, ORDER, Later, database, eraser, filled
from tests.fakes.clock import FakeClock
from tests.fakes.world import World

__all__ = ["clock", "database", "open_store", "store"]  # fixtures
DAY_S = 86_400


@pytest.fixture
def directory(clock: FakeClock) -> Directory:
    """One that ends in a year."""
    now_s = clock.now_ms() // 1000
    return replace(World(now_s).directory, expires=now_s + 365 * DAY_S)


async def test_what_an_order_erased_leaves_the_files_also_after_the_directorys_end(
    store: SqliteStore, clock: FakeClock, database: Path, directory: Directory
) -> None:
    registered = await filled(store, clock)
    await eraser(store, database, clock).order(registered, "fuzhou-court", ORDER)
    hour = clock.now_ms() // 3_600_000 % 24
    ended = replace(directory, expires=clock.now_ms() // 1000)
    retention = Retention(days=KEPT, rewrite_hour=hour)
    await Housekeeping(store, database, clock, retention, CollectorRegistry(), lambda: ended).once()
    assert not await eraser(store, database, clock).empty(rewrite=False)


def housekeeping(store: SqliteStore, database: Path, days: int, directory: Directory, clock: FakeClock) -> Housekeeping:
    later = Later(clock, days)
    return Housekeeping(store, database, later, Retention(days=KEPT), CollectorRegistry(), lambda: directory)


async def test_a_clock_that_runs_ahead_of_the_directory_erases_nothing(
    store: SqliteStore, clock: FakeClock, database: Path, directory: Directory
) -> None:
    await record(store, *(draft(clock, number) for number in range(5)))
    size = store.size()
    await housekeeping(store, database, KEPT + 2, directory, clock).once()
    assert store.size() == size
    renewed = replace(directory, expires=directory.expires + KEPT * DAY_S)
    await housekeeping(store, database, KEPT + 2, renewed, clock).once()
    assert store.size() > size


async def test_an_entry_that_was_dated_in_the_time_to_come_keeps_nothing_behind_it(
    store: SqliteStore, clock: FakeClock, database: Path
) -> None:
    ahead_ms = clock.now_ms() + 10 * 365 * DAY_S * 1000
    await record(store, draft(clock, 1))
    await record(store, replace(draft(clock, 2), decided_at_ms=ahead_ms, valid_until_ms=ahead_ms + 1000))
    await record(store, draft(clock, 3))
    size = store.size()
    assert (await eraser(store, database, Later(clock, KEPT - 1)).due()).entries == 0
    assert (await eraser(store, database, Later(clock, KEPT + 2)).due()).entries == size


async def test_housekeeping_forgets_all_requests_that_have_served(
    store: SqliteStore, clock: FakeClock, database: Path, directory: Directory
) -> None:
    await record(store, *(draft(clock, number) for number in range(1001)))
    clock.advance(DAY_S + 1)
    await housekeeping(store, database, 0, directory, clock).once()
    assert await store.forget_requests() == 0
