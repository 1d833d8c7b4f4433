"""The contract of every store about proofs that are good once."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

from gateway.domain.decision import Decision
from gateway.errors import Reason, TiergateError
from gateway.ports import DecisionDraft
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import Open, check_tree, clock, correction, draft, open_store, record, store
from tests.fakes.clock import FakeClock

__all__ = ["clock", "open_store", "store"]  # fixtures

MARK = b"\x07" * 32


def proved(clock: FakeClock, number: int, mark: bytes = MARK) -> DecisionDraft:
    return replace(draft(clock, number), bound="device", proof=mark)


def reasons(results: list[Decision | TiergateError]) -> Counter[object]:
    return Counter(item.reason if isinstance(item, TiergateError) else "decided" for item in results)


async def test_a_proof_is_good_once(store: SqliteStore, clock: FakeClock) -> None:
    assert not store.proof_used(MARK)
    await record(store, proved(clock, 1))
    assert store.proof_used(MARK)
    size = store.size()
    assert reasons(await store.record_many([proved(clock, 2)])) == {Reason.PROOF_REPLAYED: 1}
    assert store.size() == size
    await record(store, proved(clock, 2, b"\x08" * 32))
    check_tree(store)


async def test_of_many_with_one_proof_exactly_one_is_decided(store: SqliteStore, clock: FakeClock) -> None:
    """In one group, and in several."""
    together = await store.record_many([proved(clock, number) for number in range(1, 6)])
    assert reasons(together) == {"decided": 1, Reason.PROOF_REPLAYED: 4}
    other = b"\x09" * 32
    apart = await asyncio.gather(*(store.record_many([proved(clock, number, other)]) for number in range(10, 40)))
    assert reasons([result for (result,) in apart]) == {"decided": 1, Reason.PROOF_REPLAYED: 29}
    check_tree(store)


async def test_a_known_request_is_no_replay(store: SqliteStore, clock: FakeClock) -> None:
    (first,) = await record(store, proved(clock, 1))
    assert await record(store, proved(clock, 1)) == [first]
    clock.advance(301)
    (again,) = await record(store, proved(clock, 1))
    assert again.log_index > first.log_index


async def test_a_draft_that_is_refused_uses_no_proof_up(store: SqliteStore, clock: FakeClock) -> None:
    await store.record_event(correction(clock))
    void = proved(clock, 1)
    assert reasons(await store.record_many([void])) == {Reason.ATTESTATION_INVALID: 1}
    await record(store, replace(void, asked_at_size=store.size()))


async def test_a_proof_is_remembered_across_a_restart_and_forgotten_in_time(open_store: Open, clock: FakeClock) -> None:
    before = await open_store()
    await record(before, proved(clock, 1))
    await before.close()
    after = await open_store()
    clock.advance(80)
    await after.forget_requests()
    assert reasons(await after.record_many([proved(clock, 2)])) == {Reason.PROOF_REPLAYED: 1}
    clock.advance(1)
    await after.forget_requests()
    assert not after.proof_used(MARK)


async def test_what_has_served_is_forgotten_in_bounded_steps(store: SqliteStore, clock: FakeClock) -> None:
    await record(store, *(proved(clock, number, number.to_bytes(2) * 16) for number in range(501)))
    clock.advance(24 * 3600 + 1)
    assert [await store.forget_requests() for _ in range(3)] == [1000, 2, 0]
