"""The collector against witnesses that keep the protocol's rules, and some that do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gateway.consentlog.note import COSIGNATURE_V1, SignerKey
from gateway.consentlog.proof import LogProof
from gateway.consentlog.trust import TrustPolicy
from gateway.consentlog.witness import SIZE, Answer, Witness
from gateway.domain.audit_scope import WHOLE_LOG
from gateway.errors import Reason, TiergateError
from gateway.ports import Cosigned
from gateway.services.audit_reads import AuditReads
from gateway.services.collect_cosignatures import CollectCosignatures, Pace
from gateway.services.published_log import PublishedLog, WitnessedReceipts
from gateway.services.read_log import ReadLog, receipt_text, size_of
from gateway.storage.cosigned import CosignedCheckpoints
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import SIGNER, Open, clock, draft, open_store, record, store
from tests.fakes.clock import FakeClock
from tests.fakes.witnessed import TIME, LogOfLeaves, MemoryState

__all__ = ["clock", "open_store", "store"]  # fixtures

PACE = Pace(interval_s=1, refresh_s=30, alarm_after_s=120)


@dataclass
class Near:
    """A witness in this process; ``away`` keeps it from answering, ``answers`` are given in place of its own."""

    name: str
    away: bool = False
    answers: list[Answer] = field(default_factory=list)
    asked: int = 0
    state: MemoryState = field(default_factory=MemoryState)
    key: SignerKey = field(init=False)

    def __post_init__(self) -> None:
        self.key = SignerKey.generate(f"{self.name}.example", COSIGNATURE_V1)
        self.witness = Witness(self.key, {SIGNER.name: [SIGNER.verifier]}, self.state, lambda: TIME)

    async def add_checkpoint(self, request: bytes) -> Answer:
        self.asked += 1
        if self.away:
            raise TiergateError(Reason.PEER_UNREACHABLE)
        return self.answers.pop(0) if self.answers else self.witness.add_checkpoint(request)


@dataclass
class Kept:
    """Implements ``CosignedStore`` in memory."""

    found: Cosigned | None = None

    def newest(self) -> Cosigned | None:
        return self.found

    async def keep(self, cosigned: Cosigned) -> None:
        self.found = cosigned


@dataclass
class Room:
    clock: FakeClock
    store: SqliteStore
    near: list[Near]
    kept: Kept = field(default_factory=Kept)

    def __post_init__(self) -> None:
        self.trust = policy(self.near)
        self.collector = collector(self.clock, self.store, self.trust, self.near, self.kept)

    def sizes(self) -> tuple[int, int]:
        return self.store.size(), 0 if self.kept.found is None else self.kept.found.size


def policy(near: list[Near], quorum: str = "2") -> TrustPolicy:
    lines = [f"log {SIGNER.verifier}", *(f"witness {item.name} {item.key.verifier}" for item in near)]
    names = " ".join(item.name for item in near)
    return TrustPolicy.parse("\n".join([*lines, f"group g {quorum} {names}", "quorum g", ""]).encode())


def collector(
    clock: FakeClock, store: SqliteStore, trust: TrustPolicy, near: list[Near], kept: Kept | CosignedCheckpoints
) -> CollectCosignatures:
    witnesses = {item.name: item for item in near}
    return CollectCosignatures(
        clock=clock, log=store, signer=SIGNER, trust=trust, witnesses=witnesses, store=kept, pace=PACE
    )


@pytest.fixture
def room(clock: FakeClock, store: SqliteStore) -> Room:
    return Room(clock, store, [Near("a"), Near("b"), Near("c")])


async def test_the_newest_checkpoint_is_kept_as_soon_as_the_quorum_has_cosigned_it(room: Room) -> None:
    for number in range(4):
        await record(room.store, draft(room.clock, number))
        assert await room.collector.collect_once()
        assert room.kept.found is not None
        assert room.kept.found.size == room.store.size()
        verified = room.trust.verify(room.kept.found.checkpoint.encode())
        assert len(verified.witnessed) >= 2
        assert room.kept.found.checkpoint.startswith(room.store.checkpoint())


async def test_one_witness_away_changes_nothing_and_two_leave_what_was_published(room: Room) -> None:
    await room.collector.collect_once()
    room.near[0].away = True
    await record(room.store, draft(room.clock, 1))
    assert await room.collector.collect_once()
    assert room.sizes() == (3, 3)
    room.near[1].away = True
    await record(room.store, draft(room.clock, 2))
    assert not await room.collector.collect_once()
    assert room.sizes() == (4, 3)
    room.near[0].away = room.near[1].away = False
    room.clock.advance(60)
    assert await room.collector.collect_once()
    assert room.sizes() == (4, 4)


async def test_a_witness_that_fails_is_left_alone_for_a_while(room: Room) -> None:
    away = room.near[0]
    away.away = True
    for number in range(5):
        await record(room.store, draft(room.clock, number))
        await room.collector.collect_once()
    assert away.asked == 1
    room.clock.advance(60)
    await record(room.store, draft(room.clock, 9))
    await room.collector.collect_once()
    assert away.asked == 2


async def test_an_unchanged_checkpoint_is_cosigned_anew_after_a_while_alone(room: Room) -> None:
    await room.collector.collect_once()
    asked = [item.asked for item in room.near]
    assert await room.collector.collect_once()
    assert [item.asked for item in room.near] == asked
    room.clock.advance(PACE.refresh_s)
    assert await room.collector.collect_once()
    assert sum(item.asked for item in room.near) > sum(asked)


async def test_the_alarm_begins_and_ends_with_the_quorum(room: Room) -> None:
    await room.collector.collect_once()
    room.collector._judge()
    assert not room.collector.failing
    room.near[0].away = room.near[1].away = True
    room.clock.advance(PACE.alarm_after_s + 1)
    assert not await room.collector.collect_once()
    room.collector._judge()
    assert room.collector.failing
    room.near[0].away = False
    room.clock.advance(60)
    assert await room.collector.collect_once()
    room.collector._judge()
    assert not room.collector.failing


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b""),
        Answer(200, b"nonsense"),
        Answer(200, "— a.example AAAAAAAAAAAA\n".encode()),
        Answer(404, b"unknown\n"),
        Answer(409, b"\n", SIZE),
        Answer(409, b"minus one\n", SIZE),
        Answer(503, b""),
    ],
)
async def test_an_answer_that_is_none_is_not_counted(room: Room, answer: Answer) -> None:
    room.near[0].answers = [answer]
    room.near[1].away = True
    assert not await room.collector.collect_once()
    assert room.kept.found is None
    assert not any(view.conflict for view in room.collector.witnesses)


async def test_another_witness_cannot_sign_for_one(room: Room) -> None:
    """A note that one key has signed, given as the answer of a witness that did not sign it."""
    stranger = Near("a")
    room.near[0].witness = stranger.witness
    room.near[1].away = True
    assert not await room.collector.collect_once()


@pytest.mark.parametrize("size", [1, 2, 9])
async def test_a_witness_of_another_history_is_an_alarm_and_keeps_a_start_from_signing(room: Room, size: int) -> None:
    """Other entries of the same size, fewer, more."""
    await record(room.store, draft(room.clock, 1))
    other = LogOfLeaves(SIGNER, "other")
    room.near[0].witness.add_checkpoint(other.request(0, size))
    assert await room.collector.collect_once()  # the other two are a quorum, and may be there before the third
    async with asyncio.timeout(30):
        while any(view.busy for view in room.collector.witnesses):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
    conflicts = {view.name: view.conflict for view in room.collector.witnesses}
    assert conflicts == {"a": True, "b": False, "c": False}
    again = collector(room.clock, room.store, room.trust, room.near, room.kept)
    with pytest.raises(TiergateError) as caught:
        await again.compare()
    assert caught.value.reason is Reason.LOG_BEHIND


async def test_a_new_log_under_an_old_name_is_not_begun(
    room: Room, clock: FakeClock, open_store: Open, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Database and mark are both lost; a witness remembers."""
    await room.collector.collect_once()
    folder = tmp_path_factory.mktemp("new")
    empty = SqliteStore(folder / "gateway.db", folder / "log.mark", SIGNER, clock)
    try:
        assert empty.size() == 0
        with pytest.raises(TiergateError) as caught:
            await collector(clock, empty, room.trust, room.near, Kept()).compare()
        assert caught.value.reason is Reason.LOG_BEHIND
        fresh = [Near("a"), Near("b")]
        await collector(clock, empty, policy(fresh), fresh, Kept()).compare()
        room.near[0].away = room.near[1].away = room.near[2].away = True
        await collector(clock, empty, room.trust, room.near, Kept()).compare()  # nobody to ask: it goes on
    finally:
        empty._writer.start()
        await empty.close()


async def test_what_is_kept_survives_a_restart_unless_the_policy_has_changed(room: Room) -> None:
    database = room.store._mark._path.with_name("gateway.db")
    kept = CosignedCheckpoints(database, room.store.aside, room.trust.verify)
    assert kept.newest() is None
    await collector(room.clock, room.store, room.trust, room.near, kept).collect_once()
    found = kept.newest()
    assert found is not None
    await kept.keep(Cosigned(found.size - 1, "older", 0))
    assert kept.newest() == found
    assert CosignedCheckpoints(database, room.store.aside, room.trust.verify).newest() == found
    stricter = policy([*room.near, Near("d")], "all")
    assert CosignedCheckpoints(database, room.store.aside, stricter.verify).newest() is None


def fails(call: Callable[[], object]) -> Reason:
    with pytest.raises(TiergateError) as caught:
        call()
    return caught.value.reason


async def test_nothing_is_published_beyond_what_is_cosigned(room: Room) -> None:
    log = PublishedLog(room.store, lambda _number: room.kept.newest())
    audited, reads = ReadLog(log), AuditReads(room.clock, log, room.store, lambda: {"office": WHOLE_LOG})
    for read in (audited.checkpoint, lambda: list(reads.runs(WHOLE_LOG, 0, 1)), lambda: audited.inclusion(0, 0)):
        assert fails(read) is Reason.LOG_UNWITNESSED
    with pytest.raises(TiergateError) as caught:
        await reads.admit("office", 0, 0)
    assert caught.value.reason is Reason.LOG_UNWITNESSED
    await room.collector.collect_once()
    for item in room.near:
        item.away = True
    await record(room.store, draft(room.clock, 1))
    own, published = room.sizes()
    assert published < own
    assert size_of(audited.checkpoint()) == published
    assert await reads.admit("office", 0, 0) == (WHOLE_LOG, published)
    assert sum(len(run.leaves) for run in reads.runs(WHOLE_LOG, 0, published)) == published
    assert fails(lambda: list(reads.runs(WHOLE_LOG, 0, own))) is Reason.RANGE_INVALID
    with pytest.raises(TiergateError) as caught:
        await reads.admit("office", 0, own)
    assert caught.value.reason is Reason.RANGE_INVALID
    assert fails(lambda: audited.inclusion(published, 0)) is Reason.RANGE_INVALID
    assert audited.inclusion(0, 0)[0] == published
    assert audited.consistency(1, 0)[0] == published
    assert audited.consistency(published, own)[0] == own  # who holds a bare receipt may compare


async def test_a_receipt_is_upgraded_once_a_cosigned_checkpoint_covers_its_entry(room: Room) -> None:
    receipts = WitnessedReceipts(room.store, lambda _number: room.kept.newest())
    await room.collector.collect_once()
    (decision,) = await record(room.store, draft(room.clock, 1))

    def verify() -> int:
        parts = receipts.receipt(decision.log_index)
        return LogProof.parse(receipt_text(parts).encode()).verify(parts.entry, room.trust).checkpoint.size

    assert fails(verify) is Reason.NOTE_INVALID  # too few witnesses: it is proved in our own head
    await room.collector.collect_once()
    size = room.store.size()
    assert verify() == size
    await record(room.store, draft(room.clock, 2))
    assert verify() == size  # to the size of the cosigned one
