"""Refusals in the log, events, an operator's own receipts, the catalogue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.consentlog.entry import decode
from gateway.consentlog.proof import LogProof
from gateway.consentlog.trust import TrustPolicy
from gateway.crypto.event import event_digest
from gateway.crypto.trusted import TrustedKeys
from gateway.domain.ids import OperatorId
from gateway.errors import Reason, TiergateError
from gateway.services.attestation_cache import AttestationCache
from gateway.services.limit_refusals import PER_OPERATOR_S, LogRefusals
from gateway.services.list_scenarios import list_scenarios
from gateway.services.read_log import ReadLog, receipt_text, size_of
from gateway.services.take_event import CORRECTION_BURST, CORRECTION_EVERY_S, TakeEvent
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import draft, record
from tests.fakes.clock import FakeClock
from tests.fakes.world import FUZHOU, LIBRARY, METRO, XIAMEN, World


@dataclass
class Room:
    """A store with a world around it."""

    clock: FakeClock
    world: World
    store: SqliteStore
    keys: TrustedKeys


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    clock = FakeClock()
    world = World(clock.now_ms() // 1000)
    store = SqliteStore(tmp_path / "gateway.db", tmp_path / "log.mark", world.log_key, clock)
    await store.start("fujian")
    yield Room(clock, world, store, world.trusted())
    await store.close()


def taking(room: Room) -> TakeEvent:
    return TakeEvent(
        clock=room.clock, keys=lambda: room.keys, store=room.store, log=room.store, cache=AttestationCache(10)
    )


def refusals_in(store: SqliteStore) -> int:
    return sum(decode(raw).type == "refusal" for raw in store.entries(0, store.size()))


async def test_over_asking_is_logged_once_a_minute(room: Room) -> None:
    refusals = LogRefusals(clock=room.clock, store=room.store)
    for _ in range(5):
        await refusals.log(LIBRARY, "fuzhou-transit", Reason.SCENARIO_NOT_OPEN)
    assert refusals_in(room.store) == 1
    await refusals.log(LIBRARY, "fuzhou-scooter", Reason.SCENARIO_NOT_OPEN)
    await refusals.log(METRO, "fuzhou-scooter", Reason.SCENARIO_NOT_OPEN)
    room.clock.advance(PER_OPERATOR_S)
    await refusals.log(LIBRARY, "fuzhou-transit", Reason.SCENARIO_NOT_OPEN)
    assert refusals_in(room.store) == 4


async def test_of_many_refusals_at_once_one_is_logged(room: Room) -> None:
    refusals = LogRefusals(clock=room.clock, store=room.store)
    asked = (refusals.log(LIBRARY, "fuzhou-transit", Reason.SCENARIO_NOT_OPEN) for _ in range(50))
    await asyncio.gather(*asked)
    assert refusals_in(room.store) == 1


async def test_what_is_over_asking_is_logged_and_nothing_else(room: Room) -> None:
    refusals = LogRefusals(clock=room.clock, store=room.store)
    for reason in Reason:
        await refusals.log(LIBRARY, "xiamen-library", reason)
    logged = [decode(raw) for raw in room.store.entries(0, room.store.size())][1:]
    assert [(entry.type, entry.text("code")) for entry in logged] == [
        ("refusal", "TOKEN_SCENARIO_NOT_COVERED"),
        ("refusal", "SCENARIO_NOT_OPEN"),
    ]


async def test_an_event_is_acknowledged_with_its_index_each_time(room: Room) -> None:
    events = taking(room)
    text = room.world.withdrawal("a" * 22)
    first = await events.take(FUZHOU, text)
    assert await events.take(FUZHOU, text) == first
    assert decode(next(room.store.entries(first.log_index, first.log_index + 1))).type == "consent_withdrawn"
    trust = TrustPolicy.parse(f"log {room.world.log_key.verifier}\nquorum none\n".encode())
    entry = LogProof.parse(receipt_text(first.receipt).encode())
    entry.verify(first.receipt.entry, trust)
    assert decode(first.receipt.entry).text("event") == event_digest(text).hex()


async def test_an_event_of_another_city_is_refused(room: Room) -> None:
    events = taking(room)
    size = room.store.size()
    for sender, text, reason in (
        (XIAMEN, room.world.withdrawal("a" * 22), Reason.EVENT_DEFERRED),  # Fuzhou's key is none of Xiamen's
        (FUZHOU, "not.an.event", Reason.EVENT_INVALID),
        (FUZHOU, room.world.consent(uses=1), Reason.EVENT_INVALID),
    ):
        with pytest.raises(TiergateError) as caught:
            await events.take(sender, text)
        assert caught.value.reason is reason
    assert room.store.size() == size


async def test_a_city_cannot_empty_the_cache_all_the_time(room: Room) -> None:
    events = taking(room)
    for _ in range(CORRECTION_BURST):
        await events.take(FUZHOU, room.world.correction())
    size = room.store.size()
    with pytest.raises(TiergateError) as caught:
        await events.take(FUZHOU, room.world.correction())
    assert (caught.value.reason, caught.value.retry_after_s) == (Reason.EVENT_DEFERRED, CORRECTION_EVERY_S)
    await events.take(FUZHOU, room.world.withdrawal("a" * 22))  # nothing but corrections waits
    await events.take(XIAMEN, room.world.correction(city=XIAMEN))
    assert room.store.size() == size + 2
    room.clock.advance(CORRECTION_EVERY_S)
    await events.take(FUZHOU, room.world.correction())


async def test_an_operator_gets_receipts_of_its_own_decisions_alone(room: Room) -> None:
    (decision,) = await record(room.store, draft(room.clock, 1))
    reader = ReadLog(room.store)
    entry, proof = reader.receipt(decision.log_index, LIBRARY)
    trust = TrustPolicy.parse(f"log {room.world.log_key.verifier}\nquorum none\n".encode())
    LogProof.parse(proof.encode()).verify(entry, trust)
    assert decode(entry).text("id") == decision.id
    for index, operator in (
        (decision.log_index, METRO),
        (0, LIBRARY),
        (decision.log_index - 1, LIBRARY),
        (10_000, LIBRARY),
    ):
        with pytest.raises(TiergateError) as caught:
            reader.receipt(index, operator)
        assert caught.value.reason is Reason.NOT_FOUND


async def test_proofs_are_of_the_size_asked_for(room: Room) -> None:
    await record(room.store, *(draft(room.clock, number) for number in range(20)))
    reader = ReadLog(room.store)
    size, hashes, entry, checkpoint = reader.inclusion(5, 0)
    assert (size, entry) == (size_of(checkpoint), next(room.store.entries(5, 6)))
    assert reader.inclusion(5, size)[1] == hashes
    assert reader.consistency(3, 0)[0] == size


def test_an_operator_sees_what_is_open_to_it(room: Room) -> None:
    seen = [scenario.id for scenario in list_scenarios(room.world.bundle, LIBRARY, room.clock.now_ms())]
    assert seen == ["xiamen-library"]
    assert list_scenarios(room.world.bundle, OperatorId("nobody"), room.clock.now_ms()) == []
    assert list_scenarios(room.world.bundle, LIBRARY, 0) == []


async def test_a_refusal_that_could_not_be_logged_is_logged_next_time(room: Room) -> None:
    refusals = LogRefusals(clock=room.clock, store=room.store)
    connection = room.store._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages}")
    failed, reason = 0, Reason.INTERNAL
    for number in range(200):  # until the last page is full
        try:
            await refusals.log(LIBRARY, f"scenario-{number}", Reason.SCENARIO_NOT_OPEN)
        except TiergateError as error:
            failed, reason = number, error.reason
            break
    assert reason is Reason.LOG_UNAVAILABLE
    connection.execute("PRAGMA max_page_count=1000000")
    before = refusals_in(room.store)
    await refusals.log(LIBRARY, f"scenario-{failed}", Reason.SCENARIO_NOT_OPEN)
    assert refusals_in(room.store) == before + 1
