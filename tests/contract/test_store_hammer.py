"""The contract of every store under load: readers verify whatever they are shown while several writers write."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.export import write_export
from gateway.consentlog.merkle import leaf_hash, verify_consistency, verify_inclusion
from gateway.consentlog.trust import TrustPolicy
from gateway.consentlog.verify import verify_export
from gateway.policy.bundle import digest_of
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import SIGNER, Open, clock, draft, open_store, record, store, withdrawal
from tests.fakes.clock import FakeClock
from tests.fakes.naive_tree import NaiveTree

__all__ = ["clock", "open_store", "store"]  # fixtures

TRUST = f"log {SIGNER.verifier}\nquorum none\n".encode()
BUNDLE = b"{}"
WRITERS, READERS = 6, 3
HEADS = 40
"""So many different heads each reader must have verified before the writers rest."""


async def test_the_stored_tree_proves_what_the_definition_does_at_every_size(
    store: SqliteStore, clock: FakeClock
) -> None:
    while store.size() < 300:  # in groups of many sizes, so that tiles fill within, at and across their ends
        await record(store, *(draft(clock, store.size() * 1000 + number) for number in range(store.size() % 23 + 1)))
    naive = NaiveTree([leaf_hash(entry) for entry in store.entries(0, store.size())])
    for size in range(1, 301):
        for index in range(size):
            assert store.inclusion(index, size) == naive.path(index, size)
            assert store.consistency(index + 1, size) == naive.proof(index + 1, size)


class Reader:
    """Takes checkpoints and proofs in a thread of its own, and verifies all of them."""

    def __init__(self, store: SqliteStore, seed: int) -> None:
        self._store = store
        self._rng = random.Random(seed)
        self._trust = TrustPolicy.parse(TRUST)
        self.heads: list[Checkpoint] = []

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._look()
        self._look()

    def _look(self) -> None:
        head = self._trust.verify(self._store.checkpoint().encode()).checkpoint
        for index in {self._rng.randrange(head.size), head.size - 1}:
            (entry,) = self._store.entries(index, index + 1)
            proof = self._store.inclusion(index, head.size)
            verify_inclusion(index, head.size, leaf_hash(entry), proof, head.root)
        for receipt in self._store.receipts([self._rng.randrange(head.size) for _ in range(3)]):
            newer = self._trust.verify(receipt.checkpoint.encode()).checkpoint
            verify_inclusion(receipt.index, newer.size, leaf_hash(receipt.entry), list(receipt.hashes), newer.root)
        if self.heads:
            for old in {self._rng.choice(self.heads), self.heads[-1]}:
                verify_consistent(self._store, old, head)
        if not self.heads or head.size != self.heads[-1].size:
            self.heads.append(head)


def verify_consistent(store: SqliteStore, old: Checkpoint, head: Checkpoint) -> None:
    verify_consistency(old.size, head.size, old.root, head.root, store.consistency(old.size, head.size))


Ended = Sequence[asyncio.Future[None]]


async def write(store: SqliteStore, clock: FakeClock, writer: int, readers: Sequence[Reader], ended: Ended) -> int:
    """Decide, and now and then withdraw, until every reader has seen enough; how many were decided."""
    number = 0
    while min(len(reader.heads) for reader in readers) < HEADS and not any(one.done() for one in ended):
        consent = f"consent-{writer}-{number // 9}"
        drafts = [draft(clock, 1_000_000 * writer + number + place, consent=consent) for place in range(3)]
        await record(store, *(replace(one, bundle=digest_of(BUNDLE)) for one in drafts))
        number += 3
        if number % 9 == 0:
            await store.record_event(withdrawal(clock, consent, f"event-{consent}"))
    return number


async def test_readers_verify_whatever_they_are_shown_while_writers_write(
    open_store: Open, clock: FakeClock, tmp_path: Path
) -> None:
    store = await open_store()
    await store.publish_bundle(digest_of(BUNDLE), 1, BUNDLE, clock.now_ms())
    stop = threading.Event()
    readers = [Reader(store, seed) for seed in range(READERS)]
    reading = [asyncio.ensure_future(asyncio.to_thread(reader.run, stop)) for reader in readers]
    try:
        decided = await asyncio.gather(*(write(store, clock, number, readers, reading) for number in range(WRITERS)))
    finally:
        stop.set()
        await asyncio.gather(*reading)
    head = TrustPolicy.parse(TRUST).verify(store.checkpoint().encode()).checkpoint
    for old in {old.size: old for reader in readers for old in reader.heads}.values():
        verify_consistent(store, old, head)
    sizes = [{old.size: old.root for old in reader.heads} for reader in readers]
    for size in sizes[0].keys() & sizes[1].keys():
        assert sizes[0][size] == sizes[1][size]
    write_export(store, tmp_path / "export", {digest_of(BUNDLE): BUNDLE}, TRUST)
    verified = verify_export(tmp_path / "export", TRUST)
    assert (verified.size, verified.root) == (store.size(), head.root)
    assert verified.entries["decision"] == sum(decided)
    assert verified.entries["consent_withdrawn"] == sum(count // 9 for count in decided)
