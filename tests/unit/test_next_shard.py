from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from structlog.testing import capture_logs

from gateway.config import GatewayConfig
from gateway.consentlog.key_file import read_signer
from gateway.consentlog.note import SignerKey
from gateway.consentlog.shard import first_of
from gateway.domain.directory import EarlierLog, Endpoint, GatewayPeer
from gateway.domain.ids import BundleDigest, PeerIdentity
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.next_shard import NextShard, listed_signer
from gateway.policy.installed import Installed
from gateway.storage.sealing import next_key_file
from gateway.storage.sqlite_store import SqliteStore
from gateway.witnessed import Witnessed
from tests.unit.consentlog.samples import BUNDLE, DIGEST
from tests.unit.storage.sealed import NEXT, StoredLog


class Resting:
    """Witnesses that are told to rest and to follow, and may have something against it."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.problem: TiergateError | None = None

    def prepare(self, coming: SignerKey) -> None:
        if self.problem is not None:
            raise self.problem
        self.said.append(f"prepare {coming.name}")

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[None]:
        self.said.append("rest")
        try:
            yield
        finally:
            self.said.append("awake")

    def follow(self, signer: SignerKey, _trust: None) -> None:
        self.said.append(f"follow {signer.name}")


class Room:
    """A log whose next key lies ready, and a directory that lists it."""

    def __init__(self, folder: Path) -> None:
        self.log, self.witnessed = StoredLog(folder), Resting()
        self.log.prepare()
        self.held = read_signer(self.log.key).verifier
        self.coming = read_signer(next_key_file(self.log.key)).verifier
        self.slept: list[float] = []

    def next_shard(self, store: SqliteStore | None = None) -> NextShard:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            await asyncio.sleep(0)

        config = cast("GatewayConfig", SimpleNamespace(log_key=self.log.key))
        witnessed = cast("Witnessed", self.witnessed)
        return NextShard(config, cast("SqliteStore", store), witnessed, self.log.clock, sleep)

    def listed(self, vkey: str, *earlier: str, left_s: int = 60) -> GatewayPeer:
        now_s = self.log.clock.now_ms() // 1000
        return GatewayPeer(
            deployment="fujian",
            identity=PeerIdentity("tiergate.example", "gateway", ""),
            endpoint=Endpoint("localhost:1", "localhost"),
            log_origin=vkey.partition("+")[0],
            log_vkey=vkey,
            earlier_logs=tuple(EarlierLog(key, 0, now_s + left_s) for key in earlier),
        )

    @property
    def order(self) -> GatewayPeer:
        return self.listed(str(self.coming), str(self.held))

    @property
    def installed(self) -> Installed:
        bundle = SimpleNamespace(digest=BundleDigest(DIGEST), version=1)
        timeline = SimpleNamespace(bundles=[bundle])
        directory = SimpleNamespace(version=7)
        found = SimpleNamespace(timeline=timeline, bundle_bytes={BundleDigest(DIGEST): BUNDLE}, directory=directory)
        return cast("Installed", found)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "log")


def test_a_directory_that_lists_the_next_key_is_the_order(room: Room) -> None:
    coming = room.next_shard().coming(room.order, room.held)
    assert coming is not None
    assert coming.name == NEXT


def test_a_directory_that_lists_the_key_in_use_is_none(room: Room) -> None:
    assert room.next_shard().coming(room.listed(str(room.held)), room.held) is None


def test_without_the_next_key_at_hand_nothing_is_sealed(room: Room) -> None:
    order = room.order
    next_key_file(room.log.key).unlink()
    assert room.next_shard().coming(order, room.held) is None


def test_a_directory_that_lists_a_third_key_is_none(room: Room) -> None:
    other = SignerKey.generate(NEXT).verifier
    assert room.next_shard().coming(room.listed(str(other), str(room.held)), room.held) is None


@pytest.mark.parametrize("case", ["not listed", "not the last", "over"])
def test_a_key_that_is_trusted_no_more_seals_nothing(room: Room, case: str) -> None:
    held, coming = str(room.held), str(room.coming)
    order = {
        "not listed": room.listed(coming),
        "not the last": room.listed(coming, held, str(SignerKey.generate("log.example/other").verifier)),
        "over": room.listed(coming, held, left_s=0),
    }[case]
    with capture_logs() as logged:
        assert room.next_shard().coming(order, room.held) is None
    assert [line["event"] for line in logged] == ["seal_refused"]


def test_a_next_key_that_others_can_read_is_refused(room: Room) -> None:
    order = room.order
    next_key_file(room.log.key).chmod(0o644)
    with pytest.raises(TiergateError) as caught:
        room.next_shard().coming(order, room.held)
    assert caught.value.reason is Reason.KEY_INVALID


async def test_the_log_goes_on_and_the_key_takes_its_place(room: Room) -> None:
    async with room.log.running() as store:
        next_shard = room.next_shard(store)
        coming = next_shard.coming(room.order, room.held)
        assert coming is not None
        await next_shard.seal(coming, room.installed)
        assert store.end() == first_of(1) + 2  # its genesis, and the policy in force
        next_shard.finish(coming.verifier, room.order)
    assert room.witnessed.said == [f"prepare {NEXT}", "rest", f"follow {NEXT}", "awake"]
    assert read_signer(room.log.key).verifier == room.coming
    assert not next_key_file(room.log.key).exists()


async def test_without_a_trust_file_for_the_next_key_nothing_is_done(room: Room) -> None:
    room.witnessed.problem = ProblemsError(Reason.CONFIG_INVALID, [Problem("trust", "log", "lacks the key")])
    async with room.log.running() as store:
        end = store.end()
        coming = read_signer(next_key_file(room.log.key))
        with pytest.raises(ProblemsError):
            await room.next_shard(store).seal(coming, room.installed)
        assert store.end() == end
    assert room.witnessed.said == []


async def test_a_key_that_does_not_follow_wakes_the_witnesses_again(room: Room) -> None:
    room.log.prepare("log.example/fujian/shard2")
    async with room.log.running() as store:
        with pytest.raises(TiergateError) as caught:
            await room.next_shard(store).seal(read_signer(next_key_file(room.log.key)), room.installed)
    assert caught.value.reason is Reason.KEY_INVALID
    assert room.witnessed.said[1:] == ["rest", "awake"]


async def test_trouble_with_the_file_is_waited_out(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    async with room.log.running() as store:
        advance, broken = store._mark.advance, 2

        def fails(size: int, root: bytes) -> None:
            nonlocal broken
            if broken and size > first_of(1):
                broken -= 1
                raise TiergateError(Reason.STORE_FAILED, "no space left")
            advance(size, root)

        monkeypatch.setattr(store._mark, "advance", fails)
        with capture_logs() as logged:
            await room.next_shard(store).seal(read_signer(next_key_file(room.log.key)), room.installed)
        assert store.end() == first_of(1) + 2
    assert [line["event"] for line in logged] == ["seal_delayed", "shard_sealed"]
    assert len(room.slept) == 1
    assert room.witnessed.said[-2:] == [f"follow {NEXT}", "awake"]


def test_a_key_that_is_not_in_place_is_told_and_put_there_by_the_next_reload(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _target: Path) -> None:
        raise OSError(28, "no space left")

    order = room.order
    monkeypatch.setattr(Path, "replace", full)
    with capture_logs() as logged:
        room.next_shard().finish(room.coming, order)
    assert [line["event"] for line in logged] == ["log_key_not_in_place"]
    monkeypatch.undo()
    room.next_shard().finish(room.coming, order)
    assert read_signer(room.log.key).verifier == room.coming


def test_the_next_key_stays_where_it_is_while_the_one_in_use_signs(room: Room) -> None:
    with capture_logs() as logged:
        room.next_shard().finish(room.held, room.order)
    assert [line["event"] for line in logged] == ["log_key_unlisted"]
    assert next_key_file(room.log.key).exists()


def test_a_start_takes_the_key_that_is_to_seal(room: Room) -> None:
    database = room.log.database
    assert listed_signer(database, room.log.key, room.order, room.log.clock).verifier == room.held
    with pytest.raises(ProblemsError):
        listed_signer(database, room.log.key, room.listed(str(room.coming)), room.log.clock)
    order = room.order
    next_key_file(room.log.key).unlink()
    with pytest.raises(ProblemsError):
        listed_signer(database, room.log.key, order, room.log.clock)
