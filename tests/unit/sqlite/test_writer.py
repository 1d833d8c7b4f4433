from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.errors import Reason, TiergateError
from gateway.sqlite.writer import GroupWriter
from tests.unit.sqlite.counter import Store, outcomes


async def test_one_turn_of_the_loop_is_one_group_off_the_loops_thread(
    store: Store, writer: GroupWriter[str, int]
) -> None:
    assert await outcomes(writer, "a", "b", "c") == [1, 2, 3]
    assert store.groups == [["a", "b", "c"]]
    assert store.released == [[1, 2, 3]]
    assert store.threads.isdisjoint({threading.get_ident()})
    assert store.rows() == ["a", "b", "c"]
    assert writer.pending == 0


async def test_what_waits_during_a_commit_is_the_next_group(store: Store, writer: GroupWriter[str, int]) -> None:
    store.gate.clear()
    first = asyncio.ensure_future(writer.submit("first"))
    await asyncio.sleep(0)
    later = []
    for text in ("b", "c", "d"):  # three turns of the loop
        later.append(asyncio.ensure_future(writer.submit(text)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    store.gate.set()
    assert await asyncio.gather(first, *later) == [1, 2, 3, 4]
    # The thread may have been at the gate with the first alone, or not yet have fetched it.
    assert [text for group in store.groups for text in group] == ["first", "b", "c", "d"]
    assert len(store.groups) <= 2


async def test_a_group_has_a_largest_size(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    writer = GroupWriter[str, int](store.connection, store.apply, max_group=4)
    writer.start()
    assert await outcomes(writer, *map(str, range(10))) == list(range(1, 11))
    assert [len(group) for group in store.groups] == [4, 4, 2]
    await writer.close()


async def test_after_many_callers_a_group_waits_for_as_many(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    # With a look this late the second group can only have been closed because it was complete.
    writer = GroupWriter[str, int](store.connection, store.apply, look_s=600)
    writer.start()
    many = [str(number) for number in range(3)]
    await outcomes(writer, *many)
    tasks = []
    for text in ("c", "d", "e"):
        tasks.append(asyncio.ensure_future(writer.submit(text)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert store.groups == [many, ["c", "d", "e"]]
    await writer.close()


async def test_a_group_waits_for_no_more_than_the_target(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    writer = GroupWriter[str, int](store.connection, store.apply, target=2, look_s=600)
    writer.start()
    await outcomes(writer, *map(str, range(5)))
    await outcomes(writer, "a", "b")
    assert store.groups == [["0", "1", "2", "3", "4"], ["a", "b"]]
    await writer.close()


async def test_a_loop_with_time_to_spare_closes_a_group_whose_company_has_gone(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    writer = GroupWriter[str, int](store.connection, store.apply, window_s=600)
    writer.start()
    await outcomes(writer, *map(str, range(9)))
    await writer.submit("alone")  # returns, though nothing but an idle loop can have closed its group
    assert store.groups[1:] == [["alone"]]
    await writer.close()


async def test_a_trickle_does_not_keep_a_group_open(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    writer = GroupWriter[str, int](store.connection, store.apply, window_s=600)
    writer.start()
    await outcomes(writer, *map(str, range(64)))
    first = asyncio.ensure_future(writer.submit("first"))
    later = 0
    while not first.done():  # a trickle, slow enough to leave the loop idle
        await asyncio.sleep(0.001)
        later += 1
        asyncio.ensure_future(writer.submit(f"later {later}")).add_done_callback(asyncio.Future.exception)
    assert "first" in store.groups[1]
    assert len(store.groups[1]) < 64
    await writer.close()


async def test_a_busy_loop_keeps_a_group_open_until_the_window_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked = itertools.count()
    monkeypatch.setattr("gateway.groups.time.thread_time", lambda: float(next(worked)))  # busy whenever asked
    store = Store(tmp_path / "a.db")
    looks = []
    writer = GroupWriter[str, int](store.connection, store.apply, window_s=0.01)
    genuine = writer._groups._look_later

    def counted(now: float, closes: float) -> None:
        looks.append(now)
        genuine(now, closes)

    monkeypatch.setattr(writer._groups, "_look_later", counted)
    writer.start()
    await outcomes(writer, *map(str, range(9)))
    assert await writer.submit("alone") == 10
    assert len(looks) > 1
    assert looks[-1] < looks[0] + 0.01
    await writer.close()


async def test_random_interleavings_lose_nothing_and_double_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One group at a time, no timer while one is committed, one end mark: whatever order things come in."""
    for seed in range(25):
        chance = random.Random(seed)
        store = Store(tmp_path / f"{seed}.db")
        writer = GroupWriter[str, int](
            store.connection, store.apply, max_group=chance.choice([1, 3, 1024]), target=chance.choice([1, 4, 64]),
            look_s=chance.choice([0, 0.001]),
        )  # fmt: skip
        handed: list[bool] = []
        put = writer._handed.put

        def checked(
            group: Any, writer: GroupWriter[str, int] = writer, handed: list[bool] = handed, put: Any = put
        ) -> None:
            assert writer._groups._timer is None
            assert len(handed) - handed.count(True) <= 1
            handed.append(group is None)
            put(group)

        writer._handed = SimpleNamespace(put=checked, get=writer._handed.get)  # type: ignore[assignment]
        release = writer._release

        def released(*results: Any, handed: list[bool] = handed, release: Any = release) -> None:
            handed.remove(False)
            release(*results)

        monkeypatch.setattr(writer, "_release", released)
        writer.start()
        tasks = []
        for number in range(chance.randrange(1, 60)):
            tasks.append(asyncio.ensure_future(writer.submit(str(number))))
            if chance.random() < 0.2:
                chance.choice(tasks).cancel()
            for _ in range(chance.choice([0, 0, 1, 3])):
                await asyncio.sleep(0)
        await asyncio.gather(*(writer.close() for _ in range(2)))
        results = await asyncio.gather(*tasks, return_exceptions=True)
        done = [number for number, result in enumerate(results) if isinstance(result, int)]
        assert handed == [True]
        assert len(store.rows()) == len(set(store.rows()))
        assert {str(number) for number in done} <= set(store.rows())


async def test_close_does_not_wait_for_company(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    writer = GroupWriter[str, int](store.connection, store.apply, look_s=600)
    writer.start()
    await outcomes(writer, *map(str, range(9)))
    last = asyncio.ensure_future(writer.submit("last"))
    await asyncio.sleep(0)
    await writer.close()
    assert await last == 10


async def test_a_lone_operation_never_waits_for_company(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    writer = GroupWriter[str, int](store.connection, store.apply, target=3, look_s=600)
    writer.start()
    for text in ("a", "b", "c"):
        await writer.submit(text)
    assert store.groups == [["a"], ["b"], ["c"]]
    await writer.close()


async def test_a_cancelled_caller_does_not_undo_its_operation(store: Store, writer: GroupWriter[str, int]) -> None:
    store.gate.clear()
    waiting = [asyncio.ensure_future(writer.submit(text)) for text in ("a", "b", "typed")]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[2].cancel()
    store.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    with pytest.raises(TiergateError):
        await waiting[1]
    kept = asyncio.ensure_future(writer.submit("kept"))
    await asyncio.sleep(0)
    kept.cancel()
    assert await writer.submit("next") == 2
    assert store.rows() == ["kept", "next"]
    assert writer.pending == 0


async def test_too_many_pending_are_refused(store: Store, writer: GroupWriter[str, int]) -> None:
    store.gate.clear()
    waiting = [asyncio.ensure_future(writer.submit(str(number))) for number in range(100)]
    await asyncio.sleep(0)
    assert writer.pending == 100
    with pytest.raises(TiergateError) as caught:
        await writer.submit("one more")
    assert (caught.value.reason, caught.value.retry_after_s) == (Reason.BUSY, 1)
    store.gate.set()
    assert await asyncio.gather(*waiting) == list(range(1, 101))
    assert await writer.submit("one more") == 101


async def test_close_carries_out_what_was_submitted_and_refuses_the_rest(
    store: Store, writer: GroupWriter[str, int]
) -> None:
    store.gate.clear()
    waiting = [asyncio.ensure_future(writer.submit(text)) for text in ("a", "b")]
    await asyncio.sleep(0)
    closing = [asyncio.ensure_future(writer.close()) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(TiergateError) as caught:
        await writer.submit("late")
    assert caught.value.reason is Reason.SHUTTING_DOWN
    store.gate.set()
    await asyncio.gather(*closing)
    assert await asyncio.gather(*waiting) == [1, 2]
    assert store.rows() == ["a", "b"]
    with pytest.raises(sqlite3.ProgrammingError):
        store.connection.execute("SELECT 1")


async def test_a_writer_that_was_not_started_refuses_and_closes(store: Store) -> None:
    idle = GroupWriter[str, int](store.connection, store.apply)
    with pytest.raises(TiergateError) as caught:
        await idle.submit("a")
    assert caught.value.reason is Reason.SHUTTING_DOWN
    await idle.close()


def test_operations_outlive_a_loop_that_was_torn_down(store: Store) -> None:
    async def leave() -> tuple[GroupWriter[str, int], list[asyncio.Task[int]]]:
        writer = GroupWriter[str, int](store.connection, store.apply, max_group=2)
        writer.start()
        store.gate.clear()
        waiting = [asyncio.ensure_future(writer.submit(text)) for text in "abcde"]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return writer, waiting

    writer, waiting = asyncio.run(leave())
    assert all(task.cancelled() for task in waiting)
    store.gate.set()
    writer._thread.join()
    assert store.rows() == ["a", "b", "c", "d", "e"]
