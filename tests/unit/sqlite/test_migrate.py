from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import Reason, TiergateError
from gateway.sqlite.connect import connect_writer
from gateway.sqlite.migrate import Migration, migrate

TRIGGER = """
CREATE TABLE log (x INTEGER);
CREATE TRIGGER keep BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'append only'); END;
"""
STEPS = [Migration(1, "first", TRIGGER), Migration(2, "second", "INSERT INTO log VALUES (1)")]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = connect_writer(tmp_path / "a.db")
    yield opened
    opened.close()


def rows(connection: sqlite3.Connection) -> list[tuple[int]]:
    return connection.execute("SELECT x FROM log").fetchall()


def version(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def test_each_step_runs_once(connection: sqlite3.Connection) -> None:
    assert migrate(connection, STEPS[:1]) == 1
    assert migrate(connection, STEPS) == 2
    assert migrate(connection, STEPS) == 2
    assert rows(connection) == [(1,)]
    assert version(connection) == 2
    with pytest.raises(sqlite3.IntegrityError, match="append only"):
        connection.execute("DELETE FROM log")


def test_a_step_that_fails_leaves_nothing_behind(connection: sqlite3.Connection) -> None:
    broken = Migration(2, "broken", "INSERT INTO log VALUES (1); INSERT INTO nowhere VALUES (1)")
    with pytest.raises(TiergateError) as caught:
        migrate(connection, [STEPS[0], broken])
    assert caught.value.reason is Reason.STORE_FAILED
    assert "migration 2 (broken)" in caught.value.detail
    assert (rows(connection), version(connection), connection.in_transaction) == ([], 1, False)
    assert migrate(connection, STEPS) == 2


def test_a_newer_database_is_refused_untouched(connection: sqlite3.Connection) -> None:
    migrate(connection, STEPS)
    with pytest.raises(TiergateError) as caught:
        migrate(connection, STEPS[:1])
    assert caught.value.reason is Reason.STORE_FAILED
    assert "newer program" in caught.value.detail
    assert (rows(connection), version(connection)) == ([(1,)], 2)


@pytest.mark.parametrize("numbers", [[2], [1, 3], [2, 1], [1, 1]])
def test_numbers_must_count_from_one(connection: sqlite3.Connection, numbers: list[int]) -> None:
    with pytest.raises(TiergateError) as caught:
        migrate(connection, [Migration(number, "step", "SELECT 1") for number in numbers])
    assert caught.value.reason is Reason.INTERNAL


def test_a_closed_connection_is_a_typed_error(connection: sqlite3.Connection) -> None:
    connection.close()
    with pytest.raises(TiergateError) as caught:
        migrate(connection, STEPS)
    assert caught.value.reason is Reason.STORE_FAILED
