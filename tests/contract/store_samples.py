"""Drafts and events for the contract suite of stores, and the stores it runs over."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.entry import Entry, decode
from gateway.consentlog.merkle import leaf_hash, root_of
from gateway.consentlog.note import SignerKey, open_note
from gateway.domain.consent import Contested, EventKind
from gateway.domain.decision import Decision
from gateway.domain.ids import BundleDigest, CityId, OperatorId, RequestId, ScenarioId, request_key
from gateway.errors import TiergateError
from gateway.ports import AttestationRecord, ConsentEvent, DecisionDraft, consent_key
from gateway.storage.sqlite_store import SqliteStore
from tests.fakes.clock import FakeClock

FUZHOU, XIAMEN = CityId("fuzhou"), CityId("xiamen")
BUNDLE = BundleDigest("ab" * 32)
SIGNER = SignerKey.generate("tiergate.invalid/log")

Open = Callable[[], Awaitable[SqliteStore]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def open_store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Open]:
    """Opens the store under test, again and again on the same data; closes what a test left open."""
    stores: list[SqliteStore] = []

    async def opened() -> SqliteStore:
        store = SqliteStore(tmp_path / "gateway.db", tmp_path / "log.mark", SIGNER, clock)
        stores.append(store)
        await store.start("fujian")
        return store

    yield opened
    for store in stores:
        await store.close()


@pytest.fixture
async def store(open_store: Open) -> SqliteStore:
    return await open_store()


def draft(
    clock: FakeClock, number: int, *, consent: str = "consent-1", rung: int = 1, asked_at_size: int = 1
) -> DecisionDraft:
    token_hash = hashlib.sha256(consent.encode()).digest()
    now = clock.now_ms()
    return DecisionDraft(
        request=request_key(OperatorId("xiamen-library"), RequestId(f"request-{number:08d}")),
        body=hashlib.sha256(token_hash + b"xiamen-library").digest(),
        operator=OperatorId("xiamen-library"),
        city=FUZHOU,
        scenario=ScenarioId("xiamen-library"),
        bundle=BUNDLE,
        rung=rung,
        decided_at_ms=now,
        valid_until_ms=now + 300_000,
        consent=consent_key(FUZHOU, consent),
        token_hash=token_hash,
        bound="operator",
        consent_expires_s=now // 1000 + 86_400,
        attestation=AttestationRecord(f"attestation-{consent}", "synthetic.attestation.bytes"),
        asked_at_size=asked_at_size,
    )


def withdrawal(
    clock: FakeClock, consent: str, event_id: str = "event-1", kind: EventKind = "withdrawal"
) -> ConsentEvent:
    digest = hashlib.sha256(event_id.encode()).digest()
    return ConsentEvent(FUZHOU, event_id, kind, consent_key(FUZHOU, consent), digest, clock.now_ms())


def contest(clock: FakeClock, contested: Contested, event_id: str = "contest-1", city: CityId = FUZHOU) -> ConsentEvent:
    digest = hashlib.sha256(event_id.encode()).digest()
    return ConsentEvent(city, event_id, "contest", None, digest, clock.now_ms(), contested)


def correction(clock: FakeClock, event_id: str = "correction-1") -> ConsentEvent:
    digest = hashlib.sha256(event_id.encode()).digest()
    return ConsentEvent(FUZHOU, event_id, "correction", None, digest, clock.now_ms())


async def record(store: SqliteStore, *drafts: DecisionDraft) -> list[Decision]:
    results = await store.record_many(drafts)
    for result in results:
        if isinstance(result, TiergateError):
            raise result
    return [result for result in results if isinstance(result, Decision)]


def log_of(store: SqliteStore) -> list[Entry]:
    return [decode(raw) for raw in store.entries(0, store.size())]


def check_tree(store: SqliteStore) -> None:
    """The newest checkpoint is signed and is the root of exactly the stored entries."""
    entries = list(store.entries(0, store.size()))
    note = open_note(store.checkpoint().encode(), [SIGNER.verifier])
    head = Checkpoint.parse(note.text)
    assert head.size == len(entries)
    assert head.root == root_of(leaf_hash(entry) for entry in entries)
