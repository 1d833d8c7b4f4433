"""A shard is sealed while its store runs."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gateway.consentlog.entry import decode
from gateway.consentlog.key_file import read_signer
from gateway.consentlog.receipt import prove
from gateway.consentlog.shard import PLACES, first_of, located
from gateway.consentlog.trust import TrustPolicy
from gateway.consentlog.verify import verify_export
from gateway.domain.ids import BundleDigest
from gateway.errors import Reason, TiergateError
from gateway.services.read_log import receipt_text
from gateway.storage import sealing, sqlite_store
from gateway.storage.sealing import Policy, next_key_file, replace_key
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import withdrawal
from tests.unit.consentlog.samples import BUNDLE, DIGEST
from tests.unit.storage.sealed import NEXT, ORIGIN, StoredLog
from tests.unit.storage.test_sealing import decide

POLICIES = [Policy(BundleDigest(DIGEST), 1, BUNDLE)]


@pytest.fixture
async def log(tmp_path: Path) -> StoredLog:
    made = StoredLog(tmp_path / "log")
    made.prepare()
    return made


async def go_on(log: StoredLog, store: SqliteStore) -> None:
    await store.seal(read_signer(next_key_file(log.key)), POLICIES, 7)


async def test_decisions_go_on_across_a_seal_and_every_receipt_verifies(log: StoredLog, tmp_path: Path) -> None:
    policy, proved = TrustPolicy.parse(log.trust()), []
    numbers = itertools.count()
    async with log.running() as store:
        many, sealed = asyncio.Event(), asyncio.Event()

        async def desk(consent: str) -> None:
            after = 0
            while after < 20:
                index, rung = await decide(store, log.clock, next(numbers), consent)
                assert rung == 1
                parts = store.receipt(index)
                assert prove(parts.entry, receipt_text(parts).encode(), policy).log_index == index
                proved.append(index)
                if len(proved) == 200:
                    many.set()
                after += sealed.is_set()

        desks = [asyncio.create_task(desk(f"consent-{number}")) for number in range(8)]
        await many.wait()
        await go_on(log, store)
        sealed.set()
        await asyncio.gather(*desks)
        assert {located(index)[0] for index in proved} == {0, 1}
        assert len(set(proved)) == len(proved)
        for index in proved:  # those of the sealed shard are proved in its last head now
            parts = store.receipt(index)
            assert prove(parts.entry, receipt_text(parts).encode(), policy).log_index == index
        found = verify_export(log.export(store, tmp_path / "export"), log.trust())
        assert [shard.origin for shard in found.shards] == [ORIGIN, NEXT]
        assert (found.all_entries["decision"], found.unchecked) == (len(proved), {})
    replace_key(log.key)
    async with log.running() as store:  # the next start goes on where this one ended
        assert (await decide(store, log.clock, next(numbers), "consent-1"))[0] == first_of(1) + found.shards[1].size


async def test_what_is_withdrawn_stays_so_and_what_was_registered_stays_known(log: StoredLog) -> None:
    async with log.running() as store:
        registered, _ = await decide(store, log.clock, 1)
        await decide(store, log.clock, 2, "consent-2")
        await store.record_event(withdrawal(log.clock, "consent-2", "event-2"))
        await go_on(log, store)
        assert decode(next(store.entries(first_of(1), first_of(1) + 1))).type == "genesis"
        index, rung = await decide(store, log.clock, 3)
        assert rung == 1
        assert decode(next(store.entries(index, index + 1))).number("consent") == registered - 1
        assert (await decide(store, log.clock, 4, "consent-2"))[1] == 0


async def test_a_seal_that_is_asked_for_again_changes_nothing(log: StoredLog) -> None:
    async with log.running() as store:
        await go_on(log, store)
        end = store.end()
        await go_on(log, store)
        assert store.end() == end


@pytest.mark.parametrize("origin", [ORIGIN, "log.example/fujian/2027q1", "log.example/fujian/2027q1/shard2"])
async def test_a_key_that_does_not_follow_is_refused_and_the_log_goes_on(log: StoredLog, origin: str) -> None:
    log.prepare(origin)
    async with log.running() as store:
        size = store.size()
        with pytest.raises(TiergateError) as caught:
            await go_on(log, store)
        assert caught.value.reason is Reason.KEY_INVALID
        assert store.size() == size
        assert (await decide(store, log.clock, 1))[0] == size + 1


async def test_a_seal_that_cannot_be_committed_leaves_the_shard_as_it_was(
    log: StoredLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(connection: sqlite3.Connection, *more: Any) -> Any:
        connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_DELETE else 0)
        try:
            return sealing.commit_seal(connection, *more)
        finally:
            connection.set_authorizer(None)

    async with log.running() as store:
        await decide(store, log.clock, 1)
        size, checkpoint = store.size(), store.checkpoint()
        monkeypatch.setattr(sqlite_store, "commit_seal", full)
        with pytest.raises(TiergateError) as caught:
            await go_on(log, store)
        assert caught.value.reason is Reason.LOG_UNAVAILABLE
        assert (store.size(), store.checkpoint()) == (size, checkpoint)
        assert (await decide(store, log.clock, 2))[0] < PLACES
        monkeypatch.undo()
        await go_on(log, store)
        assert (await decide(store, log.clock, 3))[0] > PLACES


async def test_a_seal_without_its_mark_is_shown_to_nobody_until_the_mark_is_durable(
    log: StoredLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is there and the mark fails: repeated, it is finished; in between the old head is all there is."""
    async with log.running() as store:
        await decide(store, log.clock, 1)
        shown = store.end(), store.checkpoint()
        broken = TiergateError(Reason.STORE_FAILED, "no space left")

        def fails(*_arguments: object) -> None:
            raise broken

        monkeypatch.setattr(store._mark, "advance", fails)
        with pytest.raises(TiergateError) as caught:
            await go_on(log, store)
        assert caught.value.reason is Reason.LOG_UNAVAILABLE
        assert (store.end(), store.checkpoint()) == shown
        with pytest.raises(TiergateError) as caught:
            await decide(store, log.clock, 2)
        assert caught.value.reason is Reason.LOG_UNAVAILABLE
        assert (store.end(), store.checkpoint()) == shown
        monkeypatch.undo()
        await go_on(log, store)
        assert store.end() == first_of(1) + 2
        assert (await decide(store, log.clock, 2))[0] > PLACES


async def test_a_seal_is_refused_by_a_store_that_is_closed(log: StoredLog) -> None:
    async with log.running() as store:
        pass
    with pytest.raises(TiergateError) as caught:
        await go_on(log, store)
    assert caught.value.reason is Reason.SHUTTING_DOWN
