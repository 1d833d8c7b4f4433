from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

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
    # With a pause this long the second group can only have been closed because it was complete.
    writer = GroupWriter[str, int](store.connection, store.apply, pause_s=600)
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
    writer = GroupWriter[str, int](store.connection, store.apply, target=2, pause_s=600)
    writer.start()
    await outcomes(writer, *map(str, range(5)))
    await outcomes(writer, "a", "b")
    assert store.groups == [["0", "1", "2", "3", "4"], ["a", "b"]]
    await writer.close()


async def test_a_pause_closes_a_group_whose_company_has_gone(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    writer = GroupWriter[str, int](store.connection, store.apply, pause_s=0.001)
    writer.start()
    await outcomes(writer, *map(str, range(9)))
    await writer.submit("alone")
    assert store.groups[1:] == [["alone"]]
    await writer.close()


async def test_close_does_not_wait_for_company(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    writer = GroupWriter[str, int](store.connection, store.apply, pause_s=600)
    writer.start()
    await outcomes(writer, *map(str, range(9)))
    last = asyncio.ensure_future(writer.submit("last"))
    await asyncio.sleep(0)
    await writer.close()
    assert await last == 10


async def test_a_lone_operation_never_waits_for_company(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    writer = GroupWriter[str, int](store.connection, store.apply, target=3, pause_s=600)
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
    async def leave() -> tuple[GroupWriter[str, int], asyncio.Future[int]]:
        writer = GroupWriter[str, int](store.connection, store.apply)
        writer.start()
        store.gate.clear()
        waiting = asyncio.ensure_future(writer.submit("a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writer._handed.put(None)
        return writer, waiting

    writer, waiting = asyncio.run(leave())
    assert waiting.cancelled()
    store.gate.set()
    writer._thread.join()
    assert store.rows() == ["a"]
