from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.errors import Reason, TiergateError
from gateway.sqlite.connect import connect_writer
from gateway.sqlite.writer import GroupWriter
from tests.unit.sqlite.counter import Store, outcomes


async def test_an_operation_can_fail_alone(store: Store, writer: GroupWriter[str, int]) -> None:
    assert await outcomes(writer, "a", "refuse", "b") == [1, Reason.REQUEST_CONFLICT, 2]
    assert store.rows() == ["a", "b"]
    assert store.rollbacks == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise", Reason.INTERNAL),
        ("typed", Reason.LOG_UNAVAILABLE),
        ("short", Reason.INTERNAL),
        ("a", Reason.STORE_FAILED),
    ],
)
async def test_a_group_fails_as_a_whole_and_the_next_one_works(
    store: Store, writer: GroupWriter[str, int], text: str, reason: Reason
) -> None:
    assert await outcomes(writer, "a", "b", text) == [reason] * 3
    assert (store.rows(), store.released, store.rollbacks) == ([], [], 1)
    assert await outcomes(writer, "a") == [1]


async def test_each_caller_gets_an_exception_of_its_own(writer: GroupWriter[str, int]) -> None:
    first, second = await asyncio.gather(writer.submit("typed"), writer.submit("x"), return_exceptions=True)
    assert first is not second
    assert isinstance(first, TiergateError)
    assert first.retry_after_s == 3


async def test_internal_text_does_not_travel(writer: GroupWriter[str, int]) -> None:
    with pytest.raises(TiergateError) as caught:
        await writer.submit("raise")
    assert "must not travel" not in caught.value.detail
    assert isinstance(caught.value.__cause__, RuntimeError)


async def test_a_full_disk_fails_the_group_and_is_recovered_from(store: Store, writer: GroupWriter[str, int]) -> None:
    assert await writer.submit("before") == 1
    pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
    store.connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(TiergateError) as caught:
        await writer.submit("large" * 10_000)
    assert (caught.value.reason, caught.value.detail) == (Reason.STORE_FAILED, "SQLITE_FULL")
    assert caught.value.retry_after_s == 5
    assert (store.rows(), store.rollbacks) == (["before"], 1)
    store.connection.execute(f"PRAGMA max_page_count={pages + 1000}")
    assert await writer.submit("large" * 10_000) == 2


async def test_a_locked_database_fails_the_group_and_is_recovered_from(
    store: Store, writer: GroupWriter[str, int]
) -> None:
    other = connect_writer(store.path)
    other.execute("BEGIN IMMEDIATE")
    assert await outcomes(writer, "a", "b") == [Reason.STORE_BUSY] * 2
    other.execute("ROLLBACK")
    assert await outcomes(writer, "a", "b") == [1, 2]
    other.close()


async def test_a_commit_that_fails_is_rolled_back(tmp_path: Path) -> None:
    connection = connect_writer(tmp_path / "a.db")
    connection.executescript(
        "CREATE TABLE p (id INTEGER PRIMARY KEY);"
        "CREATE TABLE c (p INTEGER REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED);"
    )

    def apply(opened: sqlite3.Connection, operations: Sequence[int]) -> Sequence[int]:
        opened.executemany("INSERT INTO c VALUES (?)", [(number,) for number in operations])
        return operations

    writer = GroupWriter[int, int](connection, apply)
    writer.start()
    with pytest.raises(TiergateError) as caught:  # the constraint is checked by COMMIT itself
        await writer.submit(1)
    assert caught.value.detail == "SQLITE_CONSTRAINT_FOREIGNKEY"
    connection.execute("INSERT INTO p VALUES (1)")
    assert await writer.submit(1) == 1
    assert connection.execute("SELECT p FROM c").fetchall() == [(1,)]
    await writer.close()


async def test_memory_that_could_not_be_re_read_is_re_read_before_the_next_group(
    store: Store, writer: GroupWriter[str, int]
) -> None:
    store.rollback_failures = 2
    assert await outcomes(writer, "typed") == [Reason.LOG_UNAVAILABLE]
    assert await outcomes(writer, "a") == [Reason.STORE_FAILED]
    assert store.groups == [["typed"]]
    assert await outcomes(writer, "a") == [1]
    assert store.rollbacks == 1


async def test_nothing_is_released_when_the_step_after_the_commit_fails(
    store: Store, writer: GroupWriter[str, int]
) -> None:
    store.mark_fails = True
    assert await outcomes(writer, "a", "b") == [Reason.LOG_UNAVAILABLE] * 2
    assert (store.rows(), store.rollbacks) == (["a", "b"], 0)
    store.mark_fails = False
    assert await outcomes(writer, "c") == [3]
