from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli.watch_sources import ExportSource
from gateway.consentlog.entry import Value
from gateway.consentlog.export import shard_path, write_export
from gateway.consentlog.gossip import Gossip, read_gossip
from gateway.consentlog.merkle import consistency_proof, leaf_hash, root_of
from gateway.consentlog.scope import Leaf
from gateway.consentlog.shard import PLACES, located
from gateway.consentlog.trust import TrustPolicy
from gateway.consentlog.watch import Kind, Wanted, Watcher
from gateway.consentlog.watch_state import WatchStore
from tests.unit.consentlog.samples import BUNDLE, DIGEST, MemoryLog, decision, published, withdrawn
from tests.unit.consentlog.test_shards import BOTH, NEW, SOUND, beginning, log_of

POLICY = TrustPolicy.parse(BOTH)


class ShownShards:
    """A log of several shards, as somebody shows it."""

    live = True

    def __init__(self, *shards: MemoryLog) -> None:
        self.shards = shards

    def oldest(self) -> int:
        return 0

    async def checkpoint(self, shard: int | None = None) -> bytes:
        return self.shards[-1 if shard is None else shard].checkpoint().encode()

    async def consistency(self, first: int, second: int, shard: int) -> Sequence[bytes]:
        items = self.shards[shard].items
        return consistency_proof(
            first, second, lambda level, index: root_of(map(leaf_hash, items[index << level : (index + 1) << level]))
        )

    async def leaves(self, start: int, end: int) -> AsyncIterator[Leaf]:
        shard, first = located(start)
        for raw in self.shards[shard].entries(first, end - shard * PLACES):
            yield Leaf(leaf_hash(raw), raw)


FIRST = log_of(SOUND)


def second(*items: dict[str, Value], last: MemoryLog = FIRST) -> MemoryLog:
    return log_of([beginning(last), published(), *items], NEW)


def monitor(folder: Path) -> Watcher:
    folder.mkdir(exist_ok=True)
    return Watcher(POLICY, WatchStore(folder / "state", folder / "evidence"), Wanted(), lambda: 1_000.0)


async def kinds(watcher: Watcher, shown: ShownShards) -> list[Kind]:
    return [alarm.kind for alarm in await watcher.poll(shown)]


@pytest.mark.parametrize("again", [False, True])
async def test_a_monitor_goes_on_into_the_next_shard(tmp_path: Path, *, again: bool) -> None:
    watcher = monitor(tmp_path)
    for shown in (
        ShownShards(log_of(SOUND[:-2])),
        ShownShards(FIRST, second()),
        ShownShards(FIRST, second(decision(2))),
    ):
        assert await kinds(watcher, shown) == []
        watcher = monitor(tmp_path) if again else watcher
    assert watcher.size == 3


async def test_a_monitor_carries_withdrawals_into_the_next_shard(tmp_path: Path) -> None:
    first = log_of([*SOUND[:-1], withdrawn(consent=2), SOUND[-1]])
    watcher = monitor(tmp_path)
    assert await kinds(watcher, ShownShards(first)) == []
    assert await kinds(watcher, ShownShards(first, second(decision(2), last=first))) == [Kind.RULE_BROKEN]


async def test_a_shard_that_does_not_go_on_from_the_sealed_one_is_told(tmp_path: Path) -> None:
    other = log_of([*SOUND[:3], decision(2, id="1f" * 16), SOUND[-1]])
    assert await kinds(monitor(tmp_path / "link"), ShownShards(FIRST, second(last=other))) == [Kind.RULE_BROKEN]
    watcher = monitor(tmp_path / "fork")
    assert await kinds(watcher, ShownShards(FIRST)) == []
    assert await kinds(watcher, ShownShards(other, second(last=other))) == [Kind.FORK]
    unsealed = log_of(SOUND[:-1])
    assert await kinds(monitor(tmp_path / "open"), ShownShards(unsealed, second(last=unsealed))) == [Kind.RULE_BROKEN]


async def test_a_log_that_goes_back_to_the_sealed_shard_is_told(tmp_path: Path) -> None:
    watcher = monitor(tmp_path)
    assert await kinds(watcher, ShownShards(FIRST, second())) == []
    assert await kinds(watcher, ShownShards(FIRST)) == [Kind.SMALLER_HEAD]


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (SOUND[:3], []),
        ([*SOUND[:2], decision(2)], [Kind.SPLIT_VIEW]),
        ([*SOUND, decision(2)], [Kind.SPLIT_VIEW]),  # longer than the shard was when it was sealed
    ],
)
async def test_what_others_hold_of_a_sealed_shard_is_compared(
    tmp_path: Path, held: list[dict[str, Value]], expected: list[Kind]
) -> None:
    gossip = tmp_path / "gossip"
    gossip.mkdir()
    (gossip / "theirs").write_text(log_of(held).checkpoint(), "utf-8")
    alarms = await monitor(tmp_path).poll(ShownShards(FIRST, second()), lambda: read_gossip(gossip, POLICY))
    assert [alarm.kind for alarm in alarms] == expected


async def test_an_export_is_watched_across_shards(tmp_path: Path) -> None:
    folder, watcher = tmp_path / "export", monitor(tmp_path)
    write_export(log_of(SOUND[:-1]), folder, {DIGEST: BUNDLE}, BOTH)
    assert await watcher.poll(ExportSource(folder)) == []
    write_export(FIRST, folder, {DIGEST: BUNDLE}, BOTH)
    write_export(second(decision(2)), folder / shard_path(1), {DIGEST: BUNDLE}, BOTH)
    assert await watcher.poll(ExportSource(folder)) == []
    assert await monitor(tmp_path).poll(ExportSource(folder / shard_path(1))) == []
    assert watcher.size == 3


async def test_a_shard_that_is_hidden_is_withheld(tmp_path: Path) -> None:
    """Others have checkpoints of the second shard; here the first one's last is shown for ever."""
    watcher, gossip = monitor(tmp_path), tmp_path / "gossip"
    gossip.mkdir()
    (gossip / "theirs").write_text(second(decision(2)).checkpoint(), "utf-8")

    def heard() -> list[Gossip]:
        return [replace(item, since=-1e9) for item in read_gossip(gossip, POLICY)]

    told = [alarm.kind for alarm in await watcher.poll(ShownShards(FIRST), heard)]
    assert told == [Kind.WITHHELD]


async def test_what_is_heard_of_a_coming_shard_is_compared_when_it_is_shown(tmp_path: Path) -> None:
    watcher, gossip = monitor(tmp_path), tmp_path / "gossip"
    gossip.mkdir()
    (gossip / "theirs").write_text(second(decision(2, rung=1)).checkpoint(), "utf-8")

    def heard() -> list[Gossip]:
        return [replace(item, since=1_000.0) for item in read_gossip(gossip, POLICY)]

    assert await watcher.poll(ShownShards(FIRST), heard) == []
    told = [alarm.kind for alarm in await watcher.poll(ShownShards(FIRST, second(decision(2))), heard)]
    assert told == [Kind.SPLIT_VIEW]
