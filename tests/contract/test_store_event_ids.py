"""Which event ids an erasure takes along: those of before the consent's first check, too."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.domain.consent import EventKind
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import BUNDLE, Open, clock, draft, log_of, open_store, record, store, withdrawal
from tests.contract.test_store_erasure import KEPT, ORDER, Later, check_all, database, eraser
from tests.fakes.clock import FakeClock

__all__ = ["clock", "database", "open_store", "store"]  # fixtures

KINDS: tuple[EventKind, ...] = ("pause", "resumption", "pause", "resumption")


def ids(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return [event for (event,) in connection.execute("SELECT id FROM event ORDER BY idx")]


async def paused_and_resumed(store: SqliteStore, clock: FakeClock, consent: str = "consent-1") -> list[int]:
    await store.publish_bundle(BUNDLE, 1, b"synthetic", clock.now_ms())
    return [
        await store.record_event(withdrawal(clock, consent, f"{consent}-event-{number}", kind))
        for number, kind in enumerate(KINDS)
    ]


async def test_those_of_before_the_first_check_go_too(store: SqliteStore, clock: FakeClock, database: Path) -> None:
    await paused_and_resumed(store, clock)
    await paused_and_resumed(store, clock, "consent-2")
    (decision,) = await record(store, draft(clock, 1, asked_at_size=store.size()))
    await store.record_event(withdrawal(clock, "consent-1", "consent-1-event-late"))
    assert len(ids(database)) == 9
    await eraser(store, database, clock).order(decision.log_index - 1, "court", ORDER)
    assert ids(database) == [f"consent-2-event-{number}" for number in range(4)]
    check_all(store)


@pytest.mark.parametrize("named", range(4))
async def test_a_consent_that_was_never_used_is_erased_by_any_of_its_events(
    store: SqliteStore, clock: FakeClock, database: Path, named: int
) -> None:
    events = await paused_and_resumed(store, clock)
    index = await eraser(store, database, clock).order(events[named], "court", ORDER)
    erasure = log_of(store)[index]
    assert (erasure.text("city"), "consent" in erasure.fields) == ("fuzhou", False)
    assert ids(database) == []
    check_all(store)


async def test_what_comes_after_an_erasure_is_not_tied_to_the_token_again(
    store: SqliteStore, clock: FakeClock, database: Path
) -> None:
    events = await paused_and_resumed(store, clock)
    await eraser(store, database, clock).order(events[0], "court", ORDER)
    await store.record_event(withdrawal(clock, "consent-1", "event-again"))
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT id, consent FROM event").fetchall() == [("event-again", None)]


async def test_a_key_that_goes_by_age_leaves_no_event_with_it(
    open_store: Open, clock: FakeClock, database: Path
) -> None:
    store = await open_store()
    (decision,) = await record(store, draft(clock, 1))
    clock.advance(KEPT * 86_400.0)
    await store.record_event(withdrawal(clock, "consent-1", "event-late"))
    assert (await eraser(store, database, Later(clock, 70)).due()).consents == 1
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT id, consent FROM event").fetchall() == [("event-late", None)]
    assert decision.log_index < store.size()
