from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.consentlog.entry import decode
from gateway.consentlog.key_file import read_signer
from gateway.consentlog.proof import LogProof
from gateway.consentlog.receipt import prove
from gateway.consentlog.shard import PLACES, first_of
from gateway.consentlog.trust import TrustPolicy
from gateway.consentlog.verify import verify_export
from gateway.domain.ids import BundleDigest, CityId
from gateway.errors import Reason, TiergateError
from gateway.housekeeping import shard_age_s
from gateway.services.read_log import receipt_text
from gateway.storage import sealing
from gateway.storage.sealing import next_key_file
from gateway.storage.sqlite_store import SqliteStore
from gateway.storage.tree import Head
from tests.contract.store_samples import FUZHOU, draft, record, withdrawal
from tests.fakes.clock import FakeClock
from tests.unit.consentlog.samples import DIGEST
from tests.unit.storage.sealed import NEXT, ORIGIN, POINTS, StoredLog


async def decide(store: SqliteStore, clock: FakeClock, number: int, consent: str = "consent-1") -> tuple[int, int]:
    """One check; its log index and rung."""
    made = replace(draft(clock, number, consent=consent, asked_at_size=store.end()), bundle=BundleDigest(DIGEST))
    (decision,) = await record(store, made)
    return decision.log_index, decision.rung


@pytest.fixture
async def log(tmp_path: Path) -> StoredLog:
    """A log with two consents, a decision on each, the second one withdrawn; the next key lies ready."""
    made = StoredLog(tmp_path / "log")
    async with made.running() as store:
        await decide(store, made.clock, 1)
        await decide(store, made.clock, 2, "consent-2")
        await store.record_event(withdrawal(made.clock, "consent-2", "event-2"))
    made.prepare()
    return made


async def test_a_sealed_log_goes_on_and_verifies_as_one(log: StoredLog, tmp_path: Path) -> None:
    sealed = log.seal()
    async with log.running() as store:
        index, rung = await decide(store, log.clock, 3)
        assert (index, rung) == (first_of(1) + 2, 1)  # after the genesis and the policy in force
        assert decode(next(store.entries(index, index + 1))).number("consent") == 2  # registered in the first shard
        assert (await decide(store, log.clock, 4, "consent-2"))[1] == 0  # withdrawn there
        assert Head(store.size(0), store.checkpoint(0)) == sealed.last
        kinds = [decode(raw).type for raw in store.entries(0, store.size(0))]
        assert kinds[-1] == "shard_sealed"
        found = verify_export(log.export(store, tmp_path / "export"), log.trust())
    assert [shard.origin for shard in found.shards] == [ORIGIN, NEXT]
    assert (found.size, found.all_entries["decision"], found.unchecked) == (4, 4, {})
    assert list(found.shards[0].entries) == sorted(set(kinds))


async def test_a_request_is_known_after_the_seal(log: StoredLog) -> None:
    log.seal()
    async with log.running() as store:
        again = replace(draft(log.clock, 1), bundle=BundleDigest(DIGEST))
        (decision,) = await record(store, again)
        assert decision.log_index == 3  # the stored one: nothing was decided anew
        assert store.size() == 2


async def test_receipts_of_both_shards_verify(log: StoredLog) -> None:
    async with log.running() as store:
        before = store.receipt(3)
    log.seal()
    async with log.running() as store:
        index, _ = await decide(store, log.clock, 3)
        after, late = store.receipt(index), store.receipt(3)
        with pytest.raises(TiergateError) as caught:
            store.receipts([3, index])
        assert caught.value.reason is Reason.RANGE_INVALID
    policy = TrustPolicy.parse(log.trust())
    for parts in (before, late, after):
        assert prove(parts.entry, receipt_text(parts).encode(), policy).log_index == parts.index
    assert LogProof.parse(receipt_text(after).encode()).index == index - PLACES


async def test_uses_of_the_sealed_shard_are_reported_in_a_run_of_their_own(log: StoredLog) -> None:
    log.seal()
    async with log.running() as store:
        index, _ = await decide(store, log.clock, 3)
        assert [use.index for use in store.unreported(FUZHOU, 10)] == [3, 5]
        await store.acknowledge(FUZHOU, 5)
        assert [use.index for use in store.unreported(FUZHOU, 10)] == [index]
        assert store.unreported(CityId("xiamen"), 10) == ()


async def test_events_name_entries_of_the_sealed_shard(log: StoredLog, tmp_path: Path) -> None:
    log.seal()
    async with log.running() as store:
        index = await store.record_event(withdrawal(log.clock, "consent-1", "event-1"))
        assert decode(next(store.entries(index, index + 1))).number("consent") == 2
        assert (await decide(store, log.clock, 3))[1] == 0
        assert await store.record_event(withdrawal(log.clock, "consent-2", "event-2")) == 6  # repeated: as it was
        verify_export(log.export(store, tmp_path / "export"), log.trust())


async def test_the_old_key_is_gone_and_signs_nothing(log: StoredLog) -> None:
    old = read_signer(log.key)
    log.seal()
    assert not next_key_file(log.key).exists()
    assert read_signer(log.key).name == NEXT
    with pytest.raises(TiergateError) as caught:
        SqliteStore(log.database, log.mark, old, log.clock)
    assert caught.value.reason is Reason.KEY_INVALID


async def test_a_copy_from_before_the_seal_is_not_signed(log: StoredLog, tmp_path: Path) -> None:
    key = log.key.read_bytes()
    shutil.copytree(log.database.parent, tmp_path / "copy")
    log.seal()
    shutil.rmtree(log.database.parent)
    shutil.copytree(tmp_path / "copy", log.database.parent)
    log.key.write_bytes(key)  # even if somebody kept it
    with pytest.raises(TiergateError) as caught:
        log.open()
    assert caught.value.reason is Reason.LOG_BEHIND
    log.prepare()
    with pytest.raises(TiergateError) as caught:
        log.seal()
    assert caught.value.reason is Reason.LOG_BEHIND


async def test_a_gateway_that_runs_is_not_sealed(log: StoredLog) -> None:
    async with log.running() as store:
        size = store.size()
        with pytest.raises(TiergateError) as caught:
            log.seal()
        assert caught.value.reason is Reason.STORE_BUSY
        assert store.size() == size


async def test_a_copy_is_not_sealed_while_the_gateway_runs(log: StoredLog, tmp_path: Path) -> None:
    async with log.running() as store:
        copy, key = tmp_path / "copy" / log.database.name, log.key.read_bytes()
        copy.parent.mkdir()
        for file in log.database.parent.glob(f"{log.database.name}*"):
            shutil.copy(file, copy.parent)
        size = store.size()
        with pytest.raises(TiergateError) as caught:
            sealing.seal(copy, log.mark, log.key, [], 7, log.clock.now_ms())
        assert caught.value.reason is Reason.STORE_BUSY
        assert log.key.read_bytes() == key
        await decide(store, log.clock, 3)
        assert store.size() > size


@pytest.mark.parametrize("origin", [ORIGIN, "log.example/fujian/2027q1", "log.example/fujian/2027q1/shard2"])
async def test_keys_follow_each_other(log: StoredLog, origin: str) -> None:
    log.prepare(origin)
    with pytest.raises(TiergateError) as caught:
        log.seal()
    assert caught.value.reason is Reason.KEY_INVALID


async def test_a_log_is_sealed_again_and_again(log: StoredLog, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        log.seal()
        async with log.running() as store:
            assert (await decide(store, log.clock, 10 + number))[0] == first_of(number) + 2
            for more in range(300 if number == 2 else 0):
                await decide(store, log.clock, 1000 + more)
        if number < 3:
            log.prepare(f"log.example/fujian/later/shard{number + 1}")
    async with log.running() as store:
        found = verify_export(log.export(store, tmp_path / "export"), log.trust())
        assert [shard.size for shard in found.shards] == [8, 4, 304, 3]
        parts = store.receipt(first_of(2) + 200)
    assert prove(parts.entry, receipt_text(parts).encode(), TrustPolicy.parse(log.trust())).log_index == parts.index


@pytest.mark.parametrize("way", ["stopped", "running"])
@pytest.mark.parametrize("point", POINTS)
async def test_a_seal_that_is_killed_is_undone_or_finished(
    log: StoredLog, tmp_path: Path, point: str, way: str
) -> None:
    died = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.unit.storage.sealed", str(log.folder), point, way, stdout=subprocess.PIPE
    )
    said, _ = await died.communicate()
    assert (died.returncode, said.decode()) == (-9, point)
    async with log.running() as store:  # what a start of the gateway makes of it
        started = store.end()
        await decide(store, log.clock, 5)
    if point == "before the commit":
        assert started < PLACES
        log.seal()
    else:
        assert started == first_of(1) + 2
    assert not next_key_file(log.key).exists()
    async with log.running() as store:
        await decide(store, log.clock, 6)
        found = verify_export(log.export(store, tmp_path / "export"), log.trust())
    assert [shard.next is not None for shard in found.shards] == [True, False]


async def test_a_shards_age_counts_from_its_genesis(log: StoredLog) -> None:
    async with log.running() as store:
        log.clock.advance(1000.0)
        assert shard_age_s(store, log.clock) == 1000.0
    log.seal()
    async with log.running() as store:
        log.clock.advance(5.0)
        assert shard_age_s(store, log.clock) == 5.0
