"""The contract of every store: the log that it keeps, its proofs, its reports, and what a fault leaves behind."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.entry import decode
from gateway.consentlog.merkle import leaf_hash, root_of, verify_consistency, verify_inclusion
from gateway.consentlog.note import open_note
from gateway.errors import Reason, TiergateError
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import (
    BUNDLE,
    FUZHOU,
    SIGNER,
    XIAMEN,
    Open,
    check_tree,
    clock,
    draft,
    open_store,
    record,
    store,
)
from tests.fakes.clock import FakeClock

__all__ = ["clock", "open_store", "store"]  # fixtures


async def test_everything_survives_a_restart(open_store: Open, clock: FakeClock) -> None:
    store = await open_store()
    (decision,) = await record(store, draft(clock, 1))
    await record(store, *(draft(clock, number) for number in range(2, 600)))
    checkpoint = store.checkpoint()
    await store.close()
    again = await open_store()
    assert again.checkpoint() == checkpoint
    assert await record(again, draft(clock, 1)) == [decision]
    await record(again, draft(clock, 601))
    check_tree(again)


async def test_every_entry_is_proved_in_every_later_tree(store: SqliteStore, clock: FakeClock) -> None:
    sizes = []
    for start in range(0, 540, 90):
        await record(store, *(draft(clock, number) for number in range(start, start + 90)))
        sizes.append(store.size())
    entries = list(store.entries(0, store.size()))
    roots = {size: root_of(leaf_hash(entry) for entry in entries[:size]) for size in sizes}
    for size in sizes:
        for index in (0, 1, 255, 256, size // 2, size - 1):
            if index < size:
                proof = store.inclusion(index, size)
                verify_inclusion(index, size, leaf_hash(entries[index]), proof, roots[size])
    for first, second in pairwise(sizes):
        verify_consistency(first, second, roots[first], roots[second], store.consistency(first, second))


async def test_ranges_outside_the_log_are_refused(store: SqliteStore) -> None:
    size = store.size()
    for read in (
        lambda: list(store.entries(0, size + 1)),
        lambda: store.receipt(size),
        lambda: store.inclusion(0, size + 1),
        lambda: store.consistency(0, size),
        lambda: store.consistency(1, size + 1),
    ):
        with pytest.raises(TiergateError) as caught:
            read()
        assert caught.value.reason is Reason.RANGE_INVALID


async def test_receipt_leads_to_its_checkpoint(store: SqliteStore, clock: FakeClock) -> None:
    (decision,) = await record(store, draft(clock, 1))
    parts = store.receipt(decision.log_index)
    head = Checkpoint.parse(open_note(parts.checkpoint.encode(), [SIGNER.verifier]).text)
    verify_inclusion(parts.index, head.size, leaf_hash(parts.entry), list(parts.hashes), head.root)
    assert decode(parts.entry).text("id") == decision.id


async def test_an_auditors_read_is_an_entry(store: SqliteStore, clock: FakeClock) -> None:
    size = store.size()
    assert await store.record_read("office", 0, size, "ab" * 32, clock.now_ms()) == size
    assert store.size() == size + 1  # committed, and covered by the newest checkpoint
    entry = decode(store.receipt(size).entry)
    assert (entry.type, entry.time) == ("audit_read", clock.now_ms())
    assert dict(entry.fields) == {"auditor": "office", "start": 0, "end": size, "scope": "ab" * 32}
    check_tree(store)


async def test_reports_wait_until_they_are_acknowledged(store: SqliteStore, clock: FakeClock) -> None:
    decisions = await record(store, *(draft(clock, number) for number in range(5)))
    first = store.unreported(FUZHOU, 3)
    assert [use.index for use in first] == [decision.log_index for decision in decisions[:3]]
    assert first[0].attestation_id == "attestation-consent-1"
    assert first[0].rung == 1
    assert store.unreported(XIAMEN, 3) == ()
    await store.acknowledge(FUZHOU, first[-1].index)
    rest = store.unreported(FUZHOU, 10)
    assert [use.index for use in rest] == [decision.log_index for decision in decisions[3:]]
    await store.acknowledge(FUZHOU, rest[-1].index)
    await store.acknowledge(FUZHOU, 0)  # never moves back
    assert store.unreported(FUZHOU, 10) == ()


async def test_numbers_seen_never_fall_and_outlive_a_restart(open_store: Open) -> None:
    store = await open_store()
    await store.see({"directory": 6, "bundle": 3})
    await store.see({"directory": 5, "removed:key": 7})
    await store.close()
    again = await open_store()
    assert again.seen() == {"directory": 6, "bundle": 3, "removed:key": 7}


async def test_requests_are_forgotten_after_a_day(store: SqliteStore, clock: FakeClock) -> None:
    await record(store, draft(clock, 1))
    clock.advance(400)
    await record(store, draft(clock, 1))  # evaluated again, which makes it no younger
    clock.advance(24 * 3600 - 401)
    assert await store.forget_requests() == 0
    clock.advance(2)
    assert await store.forget_requests() == 1
    asked = draft(clock, 1)
    assert store.known_request(asked.request, asked.body, asked.consent, BUNDLE, clock.now_ms()) is None


async def test_a_second_holder_is_refused(store: SqliteStore, tmp_path: Path, clock: FakeClock) -> None:
    assert store.size() == 1
    with pytest.raises(TiergateError) as caught:
        SqliteStore(tmp_path / "gateway.db", tmp_path / "log.mark", SIGNER, clock)
    assert caught.value.reason is Reason.STORE_BUSY


async def test_full_disk_promises_nothing_and_recovers(store: SqliteStore, clock: FakeClock) -> None:
    (kept,) = await record(store, draft(clock, 1))
    connection = store._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages}")
    size, checkpoint = store.size(), store.checkpoint()
    failure: TiergateError | None = None
    for number in range(2, 400):
        try:
            await record(store, draft(clock, number))
        except TiergateError as error:
            failure = error
            break
        size, checkpoint = store.size(), store.checkpoint()
    assert failure is not None
    assert failure.reason is Reason.LOG_UNAVAILABLE
    assert failure.retry_after_s
    assert (store.size(), store.checkpoint()) == (size, checkpoint)
    check_tree(store)
    connection.execute("PRAGMA max_page_count=1000000")
    await record(store, draft(clock, 500))
    assert await record(store, draft(clock, 1)) == [kept]
    check_tree(store)


async def test_entries_cannot_be_changed_or_removed(store: SqliteStore, clock: FakeClock) -> None:
    await record(store, draft(clock, 1))
    connection = store._connection
    for statement in ("UPDATE entry SET leaf = '{}' WHERE idx = 1", "DELETE FROM entry WHERE idx = 1"):
        with pytest.raises(Exception, match="final"):
            connection.execute(statement)
