"""What others were given of the log, against what a monitor is shown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.consentlog.entry import encode
from gateway.consentlog.gossip import Gossip, read_gossip
from gateway.consentlog.merkle import inclusion_proof
from gateway.consentlog.note import SignerKey
from gateway.consentlog.proof import LogProof
from gateway.consentlog.watch import Kind
from gateway.errors import ProblemsError
from tests.unit.consentlog.samples import SIGNER, MemoryLog, long_log, refusal
from tests.unit.consentlog.watched import POLICY, Monitor, Shown, forked, kept


@pytest.fixture
def monitor(tmp_path: Path) -> Monitor:
    return Monitor(tmp_path)


def _hand_over(monitor: Monitor, name: str, items: Sequence[bytes], index: int | None = None) -> None:
    """What somebody else was given: a checkpoint, or the receipt of an entry."""
    folder = monitor.folder / "gossip"
    folder.mkdir(exist_ok=True)
    data = MemoryLog(items).checkpoint().encode()
    if index is not None:
        proof = inclusion_proof(index, len(items), Shown(items).subtree)
        data = LogProof(index, tuple(proof), data).to_bytes()
        (folder / f"{name}.entry").write_bytes(items[index])
        name += ".proof"
    (folder / name).write_bytes(data)
    os.utime(folder / name, (monitor.now, monitor.now))


async def test_what_others_were_given_of_the_same_log(monitor: Monitor) -> None:
    log = long_log(30)
    for size in (3, 7, 16, 29, 30):
        _hand_over(monitor, f"head-{size}", log[:size])
        _hand_over(monitor, f"receipt-{size}", log[:size], 2)
    (monitor.folder / "gossip" / ".hidden").write_bytes(b"x")
    assert await monitor.heard(Shown(log)) == []


@pytest.mark.parametrize("size", [18, 20, 25])
@pytest.mark.parametrize("index", [None, 3, 16])
async def test_another_history_shown_to_somebody_else(monitor: Monitor, size: int, index: int | None) -> None:
    log = Shown(long_log(25))
    other = forked(size)
    _hand_over(monitor, "theirs", other, index)
    (alarm,) = await monitor.heard(log)
    assert alarm.kind is Kind.SPLIT_VIEW
    theirs, ours = kept(alarm)
    assert (theirs, ours) == (MemoryLog(other).checkpoint().encode(), await log.checkpoint())
    assert await monitor.heard(log) == []


@pytest.mark.parametrize("spoilt", ["entry", "folder in its place", "path", "form"])
async def test_a_signed_fork_is_told_whatever_is_wrong_beside_it(monitor: Monitor, spoilt: str) -> None:
    log = Shown(long_log(25))
    other = forked(20)
    _hand_over(monitor, "theirs", other, 3)
    folder = monitor.folder / "gossip"
    proof = folder / "theirs.proof"
    match spoilt:
        case "entry":
            (folder / "theirs.entry").write_bytes(b"garbage")
        case "folder in its place":
            (folder / "theirs.entry").unlink()
            (folder / "theirs.entry").mkdir()
        case "path":
            parsed = LogProof.parse(proof.read_bytes())
            proof.write_bytes(replace(parsed, hashes=(bytes(32), *parsed.hashes[1:])).to_bytes())
        case _:
            proof.write_bytes(b"not a receipt\n" + proof.read_bytes())
    unusable, split = await monitor.heard(log)
    assert (unusable.kind, split.kind) == (Kind.GOSSIP_UNUSABLE, Kind.SPLIT_VIEW)
    assert kept(split) == [MemoryLog(other).checkpoint().encode(), await log.checkpoint()]
    assert await monitor.heard(log) == []


async def test_a_bad_entry_is_told_once_while_its_checkpoint_is_ahead(monitor: Monitor) -> None:
    _hand_over(monitor, "more", long_log(30), 3)
    (monitor.folder / "gossip" / "more.entry").write_bytes(b"garbage")
    for kinds in ([Kind.GOSSIP_UNUSABLE], []):
        assert [alarm.kind for alarm in await monitor.heard(Shown(long_log(20)))] == kinds
    monitor.now += 60
    assert [alarm.kind for alarm in await monitor.heard(Shown(long_log(20)))] == [Kind.WITHHELD]
    assert await monitor.heard(Shown(long_log(31))) == []


async def test_others_have_been_shown_more(monitor: Monitor) -> None:
    _hand_over(monitor, "more", long_log(30))
    shown = Shown(long_log(20))
    assert await monitor.heard(shown) == []
    monitor.now += 60
    shown.live = False  # a copy may be behind
    assert await monitor.heard(shown) == []
    shown.live = True
    assert [alarm.kind for alarm in await monitor.heard(shown)] == [Kind.WITHHELD]
    assert await monitor.heard(shown) == []
    assert await monitor.heard(Shown(long_log(31))) == []


async def test_what_proves_nothing(monitor: Monitor) -> None:
    _hand_over(monitor, "spoilt", long_log(9), 4)
    folder = monitor.folder / "gossip"
    (folder / "spoilt.entry").write_bytes(encode(refusal()))
    (folder / "noise").write_bytes(b"noise")
    (folder / "noise.proof").write_bytes(b"noise")
    (folder / "long").write_bytes(b"x" * 2_000_000)
    stranger = MemoryLog(long_log(3), SignerKey.generate(SIGNER.name))
    (folder / "stranger").write_bytes(stranger.checkpoint().encode())
    alarms = await monitor.heard(Shown(long_log(9)))
    assert [alarm.kind for alarm in alarms] == [Kind.GOSSIP_UNUSABLE] * 5
    assert [alarm.detail.partition(":")[0] for alarm in alarms] == [
        "long", "noise", "noise.proof", "spoilt.proof", "stranger",
    ]  # fmt: skip
    assert await monitor.heard(Shown(long_log(9))) == []


async def test_a_checkpoint_of_a_log_that_is_trusted_and_is_another(monitor: Monitor) -> None:
    head = POLICY.verify(MemoryLog(long_log(3)).checkpoint().encode()).checkpoint
    assert head.origin == SIGNER.name
    other = Gossip("other", b"x", type(head)("log.example/other", 3, head.root), "", 0)
    alarms = await monitor.watcher.poll(Shown(long_log(9)), lambda: [other])
    assert [alarm.kind for alarm in alarms] == [Kind.GOSSIP_UNUSABLE]


async def test_gossip_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError):
        list(read_gossip(tmp_path / "none", POLICY))


async def test_a_fifo_among_what_others_were_given_is_told_of(monitor: Monitor) -> None:
    _hand_over(monitor, "theirs", long_log(9), 4)
    folder = monitor.folder / "gossip"
    (folder / "theirs.entry").unlink()
    os.mkfifo(folder / "theirs.entry")
    os.mkfifo(folder / "another.proof")
    (alarm,) = await monitor.heard(Shown(long_log(9)))
    assert alarm.kind is Kind.GOSSIP_UNUSABLE
    assert alarm.detail.startswith("theirs.proof:")
    assert alarm.detail.endswith("is not a regular file")
