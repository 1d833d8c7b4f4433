"""A commit that was durable but was reported as failed: what is repeated afterwards is told what had happened."""

from __future__ import annotations

import pytest

from gateway.errors import Reason, TiergateError
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import (
    check_tree,
    clock,
    correction,
    draft,
    log_of,
    open_store,
    record,
    store,
    withdrawal,
)
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_commit import next_commit_lies

__all__ = ["clock", "open_store", "store"]  # fixtures


async def test_a_repeated_correction_voids_what_was_attested_before_it(store: SqliteStore, clock: FakeClock) -> None:
    before = store.size()
    next_commit_lies(store._writer)
    with pytest.raises(TiergateError) as caught:
        await store.record_event(correction(clock))
    assert caught.value.reason is Reason.LOG_UNAVAILABLE
    index = await store.record_event(correction(clock))
    assert [entry.type for entry in log_of(store)] == ["genesis", "correction"]
    (refused,) = await store.record_many([draft(clock, 1, asked_at_size=before)])
    assert isinstance(refused, TiergateError)
    assert refused.reason is Reason.ATTESTATION_INVALID
    await record(store, draft(clock, 1, asked_at_size=index + 1))
    check_tree(store)


async def test_a_repeated_correction_does_not_take_the_place_of_a_newer_one(
    store: SqliteStore, clock: FakeClock
) -> None:
    await store.record_event(correction(clock, "older"))
    between = store.size()
    await store.record_event(correction(clock, "newer"))
    await store.record_event(correction(clock, "older"))
    (refused,) = await store.record_many([draft(clock, 1, asked_at_size=between)])
    assert isinstance(refused, TiergateError)
    assert refused.reason is Reason.ATTESTATION_INVALID


async def test_a_repeated_withdrawal_has_its_one_entry_and_is_in_force(store: SqliteStore, clock: FakeClock) -> None:
    await record(store, draft(clock, 1))
    next_commit_lies(store._writer)
    with pytest.raises(TiergateError):
        await store.record_event(withdrawal(clock, "consent-1"))
    (after,) = await record(store, draft(clock, 2))
    assert after.rung == 0
    assert await store.record_event(withdrawal(clock, "consent-1")) == after.log_index - 1
    assert [entry.type for entry in log_of(store)].count("consent_withdrawn") == 1
    check_tree(store)


async def test_a_repeated_request_gets_the_decision_that_nobody_was_told(store: SqliteStore, clock: FakeClock) -> None:
    next_commit_lies(store._writer)
    with pytest.raises(TiergateError):
        await record(store, draft(clock, 1))
    (decision,) = await record(store, draft(clock, 1))
    assert [entry.type for entry in log_of(store)] == ["genesis", "consent_registered", "decision"]
    assert decision.log_index == 2
    check_tree(store)
