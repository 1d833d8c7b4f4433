from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import Reason, TiergateError
from gateway.sqlite.connect import DatabaseLock, connect_reader, connect_writer, map_sqlite_error

HOLDER = """
import sys
from pathlib import Path
from gateway.sqlite.connect import DatabaseLock
DatabaseLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def reason_of(caught: pytest.ExceptionInfo[TiergateError]) -> Reason:
    return caught.value.reason


def test_the_writer_is_durable_and_strict(tmp_path: Path) -> None:
    connection = connect_writer(tmp_path / "a.db")
    settings = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "trusted_schema", "busy_timeout")
    found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in settings]
    assert found == ["wal", 2, 1, 1, 0, 2000]
    assert connection.isolation_level is None
    connection.close()


def test_the_file_is_the_owners_alone(tmp_path: Path) -> None:
    connection = connect_writer(tmp_path / "a.db")
    connection.execute("CREATE TABLE t (x)")
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    connection.close()


def test_a_reader_reads_what_is_committed_and_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a ?#%.db"
    writer = connect_writer(path)
    writer.execute("CREATE TABLE t (x)")
    reader = connect_reader(path)
    writer.execute("INSERT INTO t VALUES (7)")
    assert reader.execute("SELECT x FROM t").fetchall() == [(7,)]
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("DELETE FROM t")
    reader.close()
    writer.close()


def test_a_reader_needs_an_existing_file(tmp_path: Path) -> None:
    with pytest.raises(TiergateError) as caught:
        connect_reader(tmp_path / "none.db")
    assert reason_of(caught) is Reason.STORE_FAILED
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for attempt in (connect_writer, DatabaseLock):
        with pytest.raises(TiergateError) as caught:
            attempt(tmp_path / "none" / "a.db")
        assert reason_of(caught) is Reason.STORE_FAILED


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"not a database, by any means" * 100)
    for attempt in (connect_writer, connect_reader):
        with pytest.raises(TiergateError) as caught:
            attempt(path).execute("SELECT 1 FROM sqlite_schema")
        assert reason_of(caught) is Reason.STORE_FAILED
        assert caught.value.detail == "SQLITE_NOTADB"


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with DatabaseLock(path):
        with pytest.raises(TiergateError) as caught:
            DatabaseLock(path)
        assert reason_of(caught) is Reason.STORE_BUSY
    with DatabaseLock(path) as lock:
        lock.release()
        DatabaseLock(path).release()


def test_a_second_process_on_one_file_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(TiergateError) as caught:
            DatabaseLock(path)
        assert reason_of(caught) is Reason.STORE_BUSY
        holder.kill()
        holder.wait()
        DatabaseLock(path).release()


def test_driver_errors_keep_their_values_to_themselves(tmp_path: Path) -> None:
    connection = connect_writer(tmp_path / "a.db")
    connection.execute("CREATE TABLE t (secret TEXT CHECK (secret <> 'kept'))")
    with pytest.raises(sqlite3.IntegrityError) as caught:
        connection.execute("INSERT INTO t VALUES ('kept')")
    mapped = map_sqlite_error(caught.value)
    assert (mapped.reason, mapped.detail) == (Reason.STORE_FAILED, "SQLITE_CONSTRAINT_CHECK")
    connection.close()


def test_a_locked_database_is_busy_and_can_be_tried_again(tmp_path: Path) -> None:
    first, second = connect_writer(tmp_path / "a.db"), connect_writer(tmp_path / "a.db")
    second.execute("PRAGMA busy_timeout=0")
    first.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError) as caught:
        second.execute("BEGIN IMMEDIATE")
    mapped = map_sqlite_error(caught.value)
    assert (mapped.reason, mapped.detail, mapped.retry_after_s) == (Reason.STORE_BUSY, "SQLITE_BUSY", 1)
    first.close()
    second.close()


def test_a_driver_error_without_a_code() -> None:
    mapped = map_sqlite_error(sqlite3.ProgrammingError("Cannot operate on a closed database."))
    assert (mapped.reason, mapped.detail, mapped.retry_after_s) == (Reason.STORE_FAILED, "ProgrammingError", None)
