"""The signer's high-water mark: no head leaves before it is durable, none behind it is signed."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from gateway.errors import Reason, TiergateError
from gateway.storage.mark import LINE, HighWaterMark, Mark
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import SIGNER, Open, check_tree, clock, draft, open_store, record, store
from tests.fakes.clock import FakeClock

__all__ = ["clock", "open_store", "store"]  # fixtures

ORIGIN = SIGNER.name


def behind(path: Path, clock: FakeClock) -> str:
    with pytest.raises(TiergateError) as caught:
        SqliteStore(path / "gateway.db", path / "log.mark", SIGNER, clock)
    assert caught.value.reason is Reason.LOG_BEHIND
    return caught.value.detail


def copy_database(source: Path, target: Path) -> None:
    """With its write-ahead log, in place of what is there."""
    target.mkdir(exist_ok=True)
    for file in target.glob("gateway.db*"):
        file.unlink()
    for file in source.glob("gateway.db*"):
        shutil.copy(file, target)


def marked(path: Path) -> Mark:
    """By a copy: a store that runs holds the file."""
    shutil.copyfile(path / "log.mark", path / "read.mark")
    found = HighWaterMark(path / "read.mark", ORIGIN)
    found.close()
    assert found.mark is not None
    return found.mark


async def test_the_mark_follows_every_head(store: SqliteStore, clock: FakeClock, tmp_path: Path) -> None:
    for number in range(5):
        await record(store, draft(clock, number))
        assert marked(tmp_path).size == store.size()


async def test_an_older_copy_of_the_database_is_not_signed(open_store: Open, clock: FakeClock, tmp_path: Path) -> None:
    first = await open_store()
    await record(first, draft(clock, 1))
    await first.close()
    copy_database(tmp_path, tmp_path / "older")
    second = await open_store()
    await record(second, draft(clock, 2))
    await second.close()
    copy_database(tmp_path / "older", tmp_path)
    assert "were signed" in behind(tmp_path, clock)


async def test_another_history_is_not_signed(open_store: Open, clock: FakeClock, tmp_path: Path) -> None:
    first = await open_store()
    await record(first, draft(clock, 1))
    await first.close()
    (tmp_path / "gateway.db").unlink()
    shutil.move(tmp_path / "log.mark", tmp_path / "kept")
    other = await open_store()
    for number in range(3):
        await record(other, draft(clock, 10 + number))
    await other.close()
    shutil.move(tmp_path / "kept", tmp_path / "log.mark")
    assert "another history" in behind(tmp_path, clock)


async def test_a_log_without_its_mark_is_not_signed(open_store: Open, clock: FakeClock, tmp_path: Path) -> None:
    await (await open_store()).close()
    (tmp_path / "log.mark").unlink()
    assert "missing" in behind(tmp_path, clock)


async def test_a_mark_that_fell_behind_its_commit_is_caught_up_with(
    open_store: Open, clock: FakeClock, tmp_path: Path
) -> None:
    first = await open_store()
    shutil.copyfile(tmp_path / "log.mark", tmp_path / "earlier")
    await record(first, draft(clock, 1))
    size = first.size()
    await first.close()
    shutil.copyfile(tmp_path / "earlier", tmp_path / "log.mark")  # as if killed between commit and mark
    again = await open_store()
    assert (again.size(), marked(tmp_path).size) == (size, size)
    check_tree(again)


async def test_nothing_is_promised_while_the_mark_cannot_be_written(
    store: SqliteStore, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, checkpoint = store.size(), store.checkpoint()

    def full(_file: int, _data: bytes, _offset: int) -> int:
        raise OSError(28, "No space left on device")

    asked = draft(clock, 1)
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        for _ in range(2):
            with pytest.raises(TiergateError) as caught:
                await store.record_many([asked])
            assert caught.value.reason is Reason.LOG_UNAVAILABLE
            assert (store.size(), store.checkpoint()) == (size, checkpoint)  # no head is shown
            known = store.known_request(asked.request, asked.body, asked.consent, asked.bundle, clock.now_ms())
            assert known is None or known.decision is None
    (decision,) = await record(store, asked)  # recovers by itself, and the decision is the one committed then
    assert decision.log_index == size + 1
    assert marked(tmp_path).size == store.size() == size + 2
    check_tree(store)


def test_a_torn_write_spoils_the_older_line_alone(tmp_path: Path) -> None:
    mark = HighWaterMark(tmp_path / "log.mark", ORIGIN)
    mark.advance(1, b"a" * 32)
    mark.advance(2, b"b" * 32)
    mark.close()
    for cut in (0, 1, LINE // 2, LINE - 2):
        data = bytearray((tmp_path / "log.mark").read_bytes())
        data[cut : LINE - 1] = b"x" * (LINE - 1 - cut)  # the next write would go over the first line
        (tmp_path / "torn").write_bytes(data)
        torn = HighWaterMark(tmp_path / "torn", ORIGIN)
        assert torn.mark == Mark(2, b"b" * 32)
        torn.advance(3, b"c" * 32)
        torn.close()
        again = HighWaterMark(tmp_path / "torn", ORIGIN)
        assert again.mark == Mark(3, b"c" * 32)
        again.close()


@pytest.mark.parametrize("content", [b"garbage", b"x" * 2 * LINE])
def test_a_mark_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log.mark").write_bytes(content)
    with pytest.raises(TiergateError) as caught:
        HighWaterMark(tmp_path / "log.mark", ORIGIN)
    assert caught.value.reason is Reason.LOG_BEHIND


def test_every_flipped_byte_of_a_mark_is_found_or_means_nothing(tmp_path: Path) -> None:
    mark = HighWaterMark(tmp_path / "log.mark", ORIGIN)
    mark.advance(7, b"a" * 32)
    mark.close()
    data = (tmp_path / "log.mark").read_bytes()
    for place in range(LINE):
        (tmp_path / "flipped").write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        try:
            found = HighWaterMark(tmp_path / "flipped", ORIGIN)
        except TiergateError as error:
            if error.reason is not Reason.LOG_BEHIND:
                raise
        else:
            found.close()
            assert found.mark == Mark(7, b"a" * 32)


def test_anothers_mark_is_refused(tmp_path: Path) -> None:
    mark = HighWaterMark(tmp_path / "log.mark", "other.example/log")
    mark.advance(1, b"a" * 32)
    mark.close()
    with pytest.raises(TiergateError):
        HighWaterMark(tmp_path / "log.mark", ORIGIN)


async def test_the_database_is_given_back_when_the_mark_refuses(
    open_store: Open, clock: FakeClock, tmp_path: Path
) -> None:
    await (await open_store()).close()
    shutil.move(tmp_path / "log.mark", tmp_path / "kept")
    behind(tmp_path, clock)
    shutil.move(tmp_path / "kept", tmp_path / "log.mark")
    again = await open_store()
    assert again.size() == 1
    with sqlite3.connect(tmp_path / "gateway.db") as connection:
        assert connection.execute("SELECT size FROM head").fetchone() == (1,)
    connection.close()


async def test_a_log_whose_first_head_never_left_goes_on(
    open_store: Open, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_file: int, _data: bytes, _offset: int) -> int:
        raise OSError(5, "Input/output error")

    first = SqliteStore(tmp_path / "gateway.db", tmp_path / "log.mark", SIGNER, clock)
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", broken)
        with pytest.raises(TiergateError) as caught:
            await first.start("fujian")  # its first entry is committed, its mark is not
    assert caught.value.reason is Reason.LOG_UNAVAILABLE
    await first.close()
    again = await open_store()
    assert (again.size(), marked(tmp_path).size) == (1, 1)
    check_tree(again)


async def test_an_empty_mark_is_not_taken_for_that_of_a_longer_log(
    open_store: Open, clock: FakeClock, tmp_path: Path
) -> None:
    first = await open_store()
    await record(first, draft(clock, 1))
    await first.close()
    (tmp_path / "log.mark").write_bytes(b" " * 2 * LINE)
    assert "missing" in behind(tmp_path, clock)


def test_a_mark_whose_folder_was_not_synced_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = HighWaterMark(tmp_path / "log.mark", ORIGIN)

    def broken(_file: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken)
        for _ in range(2):
            with pytest.raises(TiergateError) as caught:
                mark.prepare(0)
            assert caught.value.reason is Reason.STORE_FAILED
    mark.advance(1, b"a" * 32)
    mark.close()
    assert marked(tmp_path) == Mark(1, b"a" * 32)
