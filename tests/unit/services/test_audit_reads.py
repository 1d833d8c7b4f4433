"""What an auditor may read, and the record of it, on a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.consentlog.entry import Entry, decode
from gateway.consentlog.merkle import leaf_hash
from gateway.consentlog.note import SignerKey
from gateway.domain.audit_scope import WHOLE_LOG, AuditScope
from gateway.errors import Reason, TiergateError
from gateway.services.audit_reads import READS_AT_ONCE, STREAMS, AuditReads
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import draft, record
from tests.fakes.clock import FakeClock

FUZHOU, XIAMEN = AuditScope.of(["fuzhou"]), AuditScope.of(["xiamen"])


class Unwritable:
    """A log that takes no entry."""

    async def record_read(self, auditor: str, start: int, end: int, scope: str, at_ms: int) -> int:
        """See ``ReadRecorder``."""
        raise TiergateError(Reason.LOG_UNAVAILABLE, f"{auditor} {start} {end} {scope} {at_ms}")


@dataclass
class Room:
    """A store, and auditors of it. The sample decisions are Fuzhou's."""

    clock: FakeClock
    store: SqliteStore
    reads: AuditReads
    scopes: dict[str, AuditScope] = field(default_factory=dict)

    def records(self) -> list[Entry]:
        """All reads on record."""
        entries = map(decode, self.store.entries(0, self.store.size()))
        return [entry for entry in entries if entry.type == "audit_read"]

    async def shown(self, auditor: str, start: int = 0, end: int = 0) -> list[bytes | None]:
        """Read as the API does."""
        scope, end = await self.reads.admit(auditor, start, end)
        return [leaf.entry for run in self.reads.runs(scope, start, end) for leaf in run.leaves]


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    clock = FakeClock()
    store = SqliteStore(tmp_path / "gateway.db", tmp_path / "log.mark", SignerKey.generate("log.example/x"), clock)
    await store.start("fujian")
    await record(store, *(draft(clock, number) for number in range(3)))
    scopes = {"province": WHOLE_LOG, "fuzhou": FUZHOU, "xiamen": XIAMEN}
    yield Room(clock, store, AuditReads(clock, store, store, lambda: scopes), scopes)
    await store.close()


async def refused(room: Room, reason: Reason, auditor: str, start: int = 0, end: int = 0) -> None:
    size = room.store.size()
    with pytest.raises(TiergateError) as caught:
        await room.shown(auditor, start, end)
    assert caught.value.reason is reason
    assert room.store.size() == size


async def test_an_auditor_without_a_scope_sees_nothing(room: Room) -> None:
    await refused(room, Reason.AUDIT_SCOPE, "stranger")
    del room.scopes["fuzhou"]
    await refused(room, Reason.AUDIT_SCOPE, "fuzhou")
    with pytest.raises(TiergateError) as caught:
        room.reads.scope("fuzhou")
    assert caught.value.reason is Reason.AUDIT_SCOPE


async def test_every_auditor_sees_its_scope_and_no_more(room: Room) -> None:
    size = room.store.size()
    everything = list(room.store.entries(0, size))
    assert await room.shown("province", 0, size) == everything
    assert await room.shown("fuzhou", 0, size) == everything
    seen = await room.shown("xiamen", 0, size)
    assert [decode(raw).type for raw in seen if raw is not None] == ["genesis"]
    (run,) = room.reads.runs(XIAMEN, 0, size)
    assert [leaf.hash for leaf in run.leaves] == list(map(leaf_hash, everything))


async def test_a_read_is_on_record_before_it_is_answered(room: Room) -> None:
    size = room.store.size()
    scope, end = await room.reads.admit("xiamen", 1, 0)
    assert (scope, end) == (XIAMEN, size)
    (entry,) = room.records()
    assert dict(entry.fields) == {"auditor": "xiamen", "start": 1, "end": size, "scope": XIAMEN.digest()}


async def test_without_a_record_nothing_is_shown(room: Room) -> None:
    room.reads = AuditReads(room.clock, room.store, Unwritable(), lambda: room.scopes)
    for _ in range(READS_AT_ONCE + 1):  # and what was not shown costs nothing of the rate
        await refused(room, Reason.LOG_UNAVAILABLE, "province")


async def test_ranges_outside_the_log_are_no_reads(room: Room) -> None:
    size = room.store.size()
    for start, end in ((0, size + 1), (size + 1, 0), (3, 2), (2**63, 2**63 + 1)):
        await refused(room, Reason.RANGE_INVALID, "province", start, end)
    assert await room.shown("province", size, size) == []
    assert room.records() == []


async def test_polling_comes_to_rest_whoever_polls(room: Room) -> None:
    """Two who follow the log: each finds the other's reads, and neither makes entries of having found them."""
    known = dict.fromkeys(("province", "xiamen"), 0)
    sizes = []
    for _ in range(6):
        for name, size in known.items():
            newest = room.store.size()
            await room.shown(name, size, newest)
            known[name] = newest
        sizes.append(room.store.size())
    assert len(room.records()) == len(known)
    assert len(set(sizes)) == 1
    assert set(known.values()) == {room.store.size()}
    await record(room.store, draft(room.clock, 9))
    await room.shown("province", known["province"], 0)
    assert len(room.records()) == len(known) + 1


async def test_nobody_fills_the_log_by_reading_it(room: Room) -> None:
    for _ in range(READS_AT_ONCE):
        await room.reads.admit("province", 0, 1)
    await refused(room, Reason.RATE_LIMITED, "province", 0, 1)
    assert await room.shown("fuzhou", 0, 1)  # of another auditor's rate nobody takes
    first = room.store.size() - 1
    assert await room.shown("province", first, first + 1)  # what makes no entry takes nothing of it
    room.clock.advance(3600)
    assert await room.shown("province", 0, 1)


async def test_the_streams_of_one_auditor_are_few(room: Room) -> None:
    held = [room.reads.streaming("province") for _ in range(STREAMS)]
    for stream in held:
        stream.__enter__()
    with pytest.raises(TiergateError) as caught, room.reads.streaming("province"):
        pass
    assert caught.value.reason is Reason.BUSY
    with room.reads.streaming("fuzhou"):
        held[0].__exit__(None, None, None)
    with room.reads.streaming("province"):
        pass


async def test_the_log_is_shown_in_runs(room: Room) -> None:
    await record(room.store, *(draft(room.clock, number) for number in range(10, 700)))
    size = room.store.size()
    runs = list(room.reads.runs(WHOLE_LOG, 0, size))
    assert len(runs) > 1
    assert [run.start for run in runs] == [sum(len(r.leaves) for r in runs[:place]) for place in range(len(runs))]
    assert [leaf.entry for run in runs for leaf in run.leaves] == list(room.store.entries(0, size))
