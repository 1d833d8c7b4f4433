"""Copies of a database in use: whole, or not there."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from gateway.cli.stopping import StoppedError, stopped_by_signals
from gateway.errors import Reason, TiergateError
from gateway.sqlite import copies
from gateway.sqlite.connect import let_signals_in
from gateway.sqlite.copies import copied, remove_unfinished


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A database with a few rows."""
    path = tmp_path / "source" / "some.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t(x)")
        connection.executemany("INSERT INTO t VALUES (?)", [(number,) for number in range(1000)])
        connection.commit()
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rows(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM t").fetchone()
    return int(count)


def test_a_copy_is_its_owners_alone_and_goes_unless_it_is_moved(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with copied(source, folder, "some.db") as copy:
        assert (rows(copy), copy.stat().st_mode & 0o777) == (1000, 0o600)
    assert names(folder) == []
    with copied(source, folder, "some.db") as copy:
        copy.rename(folder / "kept.db")
    assert names(folder) == ["kept.db"]


def test_copies_into_one_folder_leave_each_other_alone(source: Path, tmp_path: Path) -> None:
    with copied(source, tmp_path, "some.db") as first, copied(source, tmp_path, "some.db") as second:
        remove_unfinished(tmp_path, "some.db")
        assert (rows(first), rows(second)) == (1000, 1000)
    assert names(tmp_path) == ["source"]


def test_only_unfinished_copies_of_this_name_are_removed(tmp_path: Path) -> None:
    mark = "0123456789abcdef"
    kept = [".other.db." + mark, f".some.db.{mark}.bak", ".some.db.lock", "some.db", "some.db-wal"]
    for name in (*kept, f".some.db.{mark}", f".some.db.{mark}-journal"):
        (tmp_path / name).write_bytes(b"")
    remove_unfinished(tmp_path, "some.db")
    assert names(tmp_path) == kept


def test_what_cannot_be_removed_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / ".some.db.0123456789abcdef").mkdir()
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(TiergateError) as caught:
            remove_unfinished(folder, "some.db")
        assert caught.value.reason is Reason.STORE_FAILED


def test_a_signal_ends_a_copy_in_the_middle(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes while SQLite is at work, whose driver swallows what a handler raises."""
    folder = tmp_path / "folder"
    folder.mkdir()
    seen: list[list[str]] = []

    def stopped_at_the_first_pause(connection: sqlite3.Connection) -> None:
        def pause() -> int:
            seen.append(names(folder))
            os.kill(os.getpid(), signal.SIGTERM)
            return 0

        connection.set_progress_handler(pause, 2_000)

    monkeypatch.setattr(copies, "let_signals_in", stopped_at_the_first_pause)
    with pytest.raises(StoppedError) as caught, stopped_by_signals(), copied(source, folder, "some.db"):
        pytest.fail("the copy was made")
    assert caught.value.exit_code == 143
    assert any(seen)  # part of it was there
    assert names(folder) == []


def test_long_statements_pause_for_signals() -> None:
    begun = threading.Event()

    def stop() -> None:
        begun.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    with closing(sqlite3.connect(":memory:")) as connection:
        let_signals_in(connection)
        connection.create_function("begun", 0, begun.set)
        endless = "WITH RECURSIVE n(i) AS (SELECT begun() UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n"
        threading.Thread(target=stop).start()
        with pytest.raises(StoppedError), stopped_by_signals():
            connection.execute(endless)
