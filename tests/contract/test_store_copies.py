"""Of two copies of a data directory one alone signs: the mark is held, and found as it was left before each head."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import Reason, TiergateError
from gateway.storage.mark import HighWaterMark, Mark
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import SIGNER, Open, clock, draft, open_store, record, store
from tests.contract.test_store_mark import ORIGIN, copy_database, marked
from tests.fakes.clock import FakeClock

__all__ = ["clock", "open_store", "store"]  # fixtures


async def test_a_copy_of_the_data_directory_does_not_start_beside_it(
    store: SqliteStore, clock: FakeClock, tmp_path: Path
) -> None:
    await record(store, draft(clock, 1))
    copy_database(tmp_path, tmp_path / "copy")
    for _ in range(2):  # a refusal holds nothing
        with pytest.raises(TiergateError) as caught:
            SqliteStore(tmp_path / "copy" / "gateway.db", tmp_path / "log.mark", SIGNER, clock)
        assert caught.value.reason is Reason.STORE_BUSY
        assert "log.mark is held by another process; stop every copy" in caught.value.detail
    (decision,) = await record(store, draft(clock, 2))
    assert decision.log_index == store.size() - 1


async def test_the_file_is_given_back_at_the_end_and_after_a_refusal(
    open_store: Open, clock: FakeClock, tmp_path: Path
) -> None:
    first = await open_store()
    copy_database(tmp_path, tmp_path / "older")
    await record(first, draft(clock, 1))
    await first.close()
    for _ in range(2):
        with pytest.raises(TiergateError) as caught:
            SqliteStore(tmp_path / "older" / "gateway.db", tmp_path / "log.mark", SIGNER, clock)
        assert caught.value.reason is Reason.LOG_BEHIND
    assert (await open_store()).size() == 3


def _written(path: Path) -> None:
    copy = path.with_name("other")
    shutil.copyfile(path, copy)
    other = HighWaterMark(copy, ORIGIN)
    other.advance(3, b"o" * 32)
    other.close()
    path.write_bytes(copy.read_bytes())


def _replaced(path: Path) -> None:
    shutil.copyfile(path, path.with_name("same"))
    path.with_name("same").replace(path)


def _taken_away(path: Path) -> None:
    path.unlink()


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _lengthened(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


@pytest.mark.parametrize("tamper", [_written, _replaced, _taken_away, _emptied, _lengthened])
async def test_a_mark_that_somebody_else_has_touched_ends_the_signing(
    store: SqliteStore, clock: FakeClock, tmp_path: Path, tamper: Callable[[Path], None]
) -> None:
    await record(store, draft(clock, 1))
    size, checkpoint = store.size(), store.checkpoint()
    tamper(tmp_path / "log.mark")
    before = (tmp_path / "log.mark").read_bytes() if tamper is not _taken_away else b""
    for number in (2, 3):
        with pytest.raises(TiergateError) as caught:
            await store.record_many([draft(clock, number)])
        assert caught.value.reason is Reason.LOG_UNAVAILABLE
        assert "stop every copy of this data directory but one" in caught.value.detail
        assert (store.size(), store.checkpoint()) == (size, checkpoint)  # no head is shown
    assert (tmp_path / "log.mark").exists() is (tamper is not _taken_away)
    if before:
        assert (tmp_path / "log.mark").read_bytes() == before  # what the other one wrote stays


def test_two_that_begin_at_once_do_not_make_one_file(tmp_path: Path) -> None:
    first, second, third = (HighWaterMark(tmp_path / "log.mark", ORIGIN) for _ in range(3))
    first.prepare(0)
    with pytest.raises(TiergateError) as caught:
        second.prepare(0)
    assert caught.value.reason is Reason.STORE_BUSY
    first.advance(1, b"a" * 32)
    first.close()
    with pytest.raises(TiergateError) as caught:
        third.prepare(0)
    assert caught.value.reason is Reason.LOG_BEHIND
    assert marked(tmp_path) == Mark(1, b"a" * 32)


def test_a_write_in_part_is_known_as_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = HighWaterMark(tmp_path / "log.mark", ORIGIN)
    mark.advance(1, b"a" * 32)
    write = os.pwrite
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", lambda file, data, at: write(file, data[:9], at))
        with pytest.raises(TiergateError) as caught:
            mark.advance(2, b"b" * 32)
        assert caught.value.reason is Reason.STORE_FAILED
    mark.advance(2, b"b" * 32)
    mark.close()
    assert marked(tmp_path) == Mark(2, b"b" * 32)


def test_a_head_costs_one_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    mark = HighWaterMark(tmp_path / "log.mark", ORIGIN)
    mark.prepare(0)
    monkeypatch.setattr(os, "fsync", flushed.append)
    monkeypatch.setattr(os, "fdatasync", flushed.append)
    mark.advance(1, b"a" * 32)
    mark.advance(2, b"b" * 32)
    assert len(flushed) == 2
    mark.close()
