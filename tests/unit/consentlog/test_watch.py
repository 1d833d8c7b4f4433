from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.consentlog.entry import decode, encode
from gateway.consentlog.note import SignerKey
from gateway.consentlog.scope import sees
from gateway.consentlog.trust import TrustPolicy
from gateway.consentlog.watch import Alarm, Kind, Wanted, Watcher
from gateway.consentlog.watch_state import WatchState, WatchStore
from gateway.errors import ProblemsError, TiergateError
from tests.unit.consentlog.samples import (
    SIGNER,
    MemoryLog,
    decision,
    entry,
    erasure,
    genesis,
    long_log,
    published,
    refusal,
    registered,
    small_log,
)
from tests.unit.consentlog.test_scoped import FUZHOU
from tests.unit.consentlog.watched import Monitor, Shown, forked, kept

IDS = {"0f" * 16, "1f" * 16}
"""Of the decisions in the small log."""


@pytest.fixture
def monitor(tmp_path: Path) -> Monitor:
    return Monitor(tmp_path)


async def test_a_log_that_grows_is_no_alarm_also_after_a_restart(monitor: Monitor) -> None:
    log = long_log(600)
    shown = Shown([])
    for size in (3, 4, 255, 256, 257, 600):
        shown = Shown(log[:size])
        assert await monitor.kinds(shown) == []
        assert monitor.watcher.size == size
        assert monitor.state.checkpoint == MemoryLog(log[:size]).checkpoint()
    assert shown.asked == [(257, 600)]
    assert await monitor.kinds(shown) == []
    monitor.again()
    again = Shown(log)
    assert await monitor.kinds(again) == []
    assert again.asked == [(0, 600)]


@pytest.mark.parametrize(
    ("shown", "kind"),
    [
        (Shown(forked(20)), Kind.FORK),
        (Shown([*forked(20), encode(refusal())]), Kind.FORK),
        (Shown(long_log(19)), Kind.SMALLER_HEAD),
        (Shown([]), Kind.SMALLER_HEAD),
    ],
    ids=["another end", "another end, and longer", "shorter", "empty"],
)
async def test_what_a_log_must_never_do(monitor: Monitor, shown: Shown, kind: Kind) -> None:
    log = Shown(long_log(20))
    assert await monitor.kinds(log) == []
    before = monitor.state
    (alarm,) = await monitor.watcher.poll(shown)
    assert alarm.kind is kind
    seen, told = kept(alarm)
    assert (seen, told) == (await log.checkpoint(), await shown.checkpoint())
    assert monitor.state == before
    assert await monitor.kinds(shown) == []  # told once
    monitor.again()
    assert await monitor.kinds(shown) == [kind]  # and by every process
    assert await monitor.kinds(Shown(long_log(21))) == []


async def test_a_checkpoint_that_nobody_signed_and_one_of_another_log(tmp_path: Path, monitor: Monitor) -> None:
    stranger = SignerKey.generate(SIGNER.name)
    (alarm,) = await monitor.watcher.poll(Shown(long_log(5), signer=stranger))
    assert alarm.kind is Kind.NOT_VERIFIED
    assert not (tmp_path / "state").exists()
    assert await monitor.kinds(Shown(long_log(5))) == []


async def test_entries_that_are_not_those_of_the_checkpoint(monitor: Monitor) -> None:
    log = long_log(9)
    assert await monitor.kinds(Shown(log[:5])) == []
    shown = Shown([*log[:8], encode(refusal())], signed=log)
    good = Shown(log)
    shown.consistency = good.consistency  # type: ignore[method-assign]
    assert await monitor.kinds(shown) == [Kind.ENTRIES_DIFFER]
    assert monitor.state.read == 5
    assert await monitor.kinds(good) == []
    assert good.asked == [(0, 9)]
    assert monitor.state.read == 9


async def test_an_entry_that_breaks_a_rule(monitor: Monitor) -> None:
    assert await monitor.kinds(Shown(small_log())) == []
    wrong = Shown([*small_log(), encode(decision(2))])
    (alarm,) = await monitor.watcher.poll(wrong)
    assert (alarm.kind, alarm.detail) == (Kind.RULE_BROKEN, "entry 6: entitled after withdrawal")
    assert await monitor.kinds(wrong) == []
    monitor.again()
    assert await monitor.kinds(wrong) == [Kind.RULE_BROKEN]


async def test_what_was_read_before_the_log_went_away_stays_read(monitor: Monitor) -> None:
    shown = Shown(long_log(9))
    shown.breaks_at = 6
    with pytest.raises(TiergateError):
        await monitor.kinds(shown)
    assert monitor.state.checkpoint == MemoryLog(long_log(9)).checkpoint()
    assert monitor.state.read == 0
    shown.breaks_at = None
    assert await monitor.kinds(shown) == []
    assert shown.asked == [(0, 9), (6, 9)]
    longer = Shown(long_log(12))
    longer.breaks_at = 9
    with pytest.raises(TiergateError):
        await monitor.kinds(longer)
    assert await monitor.kinds(Shown(long_log(10))) == [Kind.SMALLER_HEAD]  # the larger one was signed and seen


async def test_decisions_of_mine_that_i_do_not_know(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, operator="xiamen-library", grace_s=60)
    monitor.known = {f"{index:032x}" for index in range(7)}
    assert await monitor.kinds(Shown(long_log(10))) == []
    ids = [f"{index:02d}" * 16 for index in range(10, 14)]
    more = [decision(2, id=ids[0]), decision(2, id=ids[1]), refusal(), decision(2, id=ids[2]), decision(2, id=ids[3])]
    shown = Shown([*long_log(10), *map(encode, more)])
    monitor.known.add(ids[0])
    assert await monitor.kinds(shown) == []
    assert {index: item.id for index, item in monitor.state.unknown.items()} == {11: ids[1], 13: ids[2], 14: ids[3]}
    monitor.known.add(ids[2])
    monitor.known.add("14")
    monitor.now += 59
    monitor.again()
    assert await monitor.kinds(shown) == []
    assert set(monitor.state.unknown) == {11}
    monitor.now += 1
    (alarm,) = await monitor.watcher.poll(shown)
    assert (alarm.kind, alarm.index) == (Kind.UNEXPECTED_ENTRY, 11)
    assert monitor.state.unknown == {}
    monitor.again()
    assert await monitor.kinds(shown) == []


async def test_a_known_id_is_known_once(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, operator="xiamen-library", grace_s=60)
    monitor.known = {*IDS, "8"}
    assert await monitor.kinds(Shown(small_log())) == []
    again = Shown([*small_log(), encode(decision(2, rung=0))])
    (alarm,) = await monitor.watcher.poll(again)
    assert (alarm.kind, alarm.index) == (Kind.UNEXPECTED_ENTRY, 6)
    assert alarm.detail == f"a decision of mine with the id that entry 3 has: {'0f' * 16}"
    assert await monitor.kinds(again) == []
    monitor.again()  # the first of each id is learnt anew from the log
    assert await monitor.kinds(again) == []
    more = Shown([*again.items, encode(refusal()), encode(decision(2, rung=0, id="1f" * 16))])
    assert [alarm.index for alarm in await monitor.watcher.poll(more)] == [8]


async def test_an_id_that_becomes_known_is_so_for_its_first_entry(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, operator="xiamen-library", grace_s=60)
    monitor.known = set(IDS)
    twice = [encode(decision(2, rung=0, id="2f" * 16))] * 2
    assert [alarm.index for alarm in await monitor.watcher.poll(Shown([*small_log(), *twice]))] == [7]
    monitor.known.add("2f" * 16)
    monitor.now += 60
    assert await monitor.kinds(Shown([*small_log(), *twice])) == []


async def test_repeats_among_entries_that_are_not_the_logs_are_forgotten(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, operator="xiamen-library")
    monitor.known = set(IDS)
    log = [*small_log(), encode(refusal())]
    assert await monitor.kinds(Shown([*small_log(), encode(decision(2, rung=0))], signed=log)) == [Kind.ENTRIES_DIFFER]
    assert await monitor.kinds(Shown(log)) == []


async def test_mine_by_city_and_nobodys(tmp_path: Path) -> None:
    for city, kinds in (("fuzhou", [Kind.UNEXPECTED_ENTRY] * 2), ("xiamen", [])):
        folder = tmp_path / city
        folder.mkdir()
        monitor = Monitor(folder, operator="nobody", city=city, grace_s=0)
        assert await monitor.kinds(Shown(small_log())) == kinds


async def test_silence(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, operator="xiamen-library", silent_s=100, mine_silent_s=150)
    monitor.known = {*IDS, "2f" * 16}
    assert await monitor.kinds(Shown(small_log())) == []
    monitor.now += 99
    assert await monitor.kinds(Shown(small_log())) == []
    monitor.now += 1
    assert await monitor.kinds(Shown(small_log())) == [Kind.SILENCE]
    assert await monitor.kinds(Shown(small_log())) == []
    grown = Shown([*small_log(), encode(refusal())])
    assert await monitor.kinds(grown) == []
    monitor.now += 50
    assert await monitor.kinds(grown) == [Kind.MINE_SILENT]
    monitor.again()  # what is read once more has not just happened
    assert await monitor.kinds(grown) == [Kind.MINE_SILENT]
    monitor.now += 50
    assert monitor.watcher.quiet() == [Alarm(Kind.SILENCE, "no new entry since 1100 (Unix seconds)")]
    mine = Shown([*grown.items, encode(decision(2, rung=0, id="2f" * 16))])
    assert await monitor.kinds(mine) == []
    assert monitor.state.mine_at == 1200


async def test_a_state_that_is_none_or_of_another_log(monitor: Monitor, tmp_path: Path) -> None:
    await monitor.kinds(Shown(long_log(5)))
    store = WatchStore(tmp_path / "state", tmp_path / "evidence")
    other = TrustPolicy.parse(f"log {SignerKey.generate('log.example/x').verifier}\nquorum none\n".encode())
    with pytest.raises(ProblemsError):
        Watcher(other, store, Wanted(), lambda: 0.0)
    for wrong in (b"", b"{}", b'{"format":"x"}', (tmp_path / "state").read_bytes().replace(b'"read"', b'"red"')):
        (tmp_path / "state").write_bytes(wrong)
        with pytest.raises(ProblemsError):
            store.load()
    (tmp_path / "state").unlink()
    (tmp_path / "state").mkdir()
    with pytest.raises(ProblemsError):
        store.load()


async def test_the_state_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, operator="xiamen-library")
    await monitor.kinds(Shown(long_log(5)))
    state = monitor.state
    assert len(state.unknown) == 2
    assert WatchState.from_json(state.to_json()) == state
    assert os.listdir(tmp_path) == ["state"]  # noqa: PTH208 - a test


async def test_what_is_out_of_scope_is_hashed_alone(monitor: Monitor) -> None:
    log = [*small_log(), encode(refusal())]
    shown = Shown(log)
    shown.hidden = {6}
    assert await monitor.kinds(shown) == []
    shown.items[6] = encode(entry("correction", city="fuzhou", event="ab" * 32))
    shown.signed = [*log, encode(refusal())]
    shown.items.append(encode(refusal()))
    monitor.again()
    assert await monitor.kinds(shown) == [Kind.FORK]


async def test_an_ordered_erasure_of_another_city_is_out_of_scope_and_breaks_no_rule(monitor: Monitor) -> None:
    made = [genesis(), published(), registered(), registered(city="xiamen", token="cd" * 32)]
    made += [erasure(consent=3, city="xiamen"), erasure(consent=2)]
    shown = Shown([encode(item) for item in made])
    shown.hidden = {number for number, item in enumerate(made) if not sees(FUZHOU, decode(encode(item)))}
    assert shown.hidden == {3, 4}
    assert await monitor.kinds(shown) == []


async def test_the_monitors_own_reads_do_not_end_a_silence(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, silent_s=100)
    shown = Shown(small_log())
    assert await monitor.kinds(shown) == []
    monitor.now += 100
    read = entry("audit_read", auditor="province", start=0, end=6, scope="ab" * 32)
    shown.items.append(encode(read))
    assert await monitor.kinds(shown) == [Kind.SILENCE]
    assert monitor.state.read == 7
    shown.items.append(encode(refusal()))
    assert await monitor.kinds(shown) == []
    monitor.now += 100
    assert await monitor.kinds(shown) == [Kind.SILENCE]
