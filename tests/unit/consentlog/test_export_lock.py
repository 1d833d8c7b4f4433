"""One writer of an export, or any number of verifiers; and a lock vouches for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.consentlog.export import shard_path, write_export
from gateway.consentlog.export_lock import reading, writing
from gateway.consentlog.verify import verify_export
from gateway.errors import Reason, TiergateError
from gateway.files import folder_lock
from tests.unit.consentlog.samples import TRUST, MemoryLog, long_log, small_log
from tests.unit.consentlog.test_export import BUNDLES, export, files, refused


class Meanwhile(MemoryLog):
    """A log whose entries are read while something else is tried."""

    def __init__(self, items: list[bytes], tried: Path) -> None:
        super().__init__(items)
        self.folder = tried
        self.busy: list[Reason] = []

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        for attempt in (lambda: export(self.folder, long_log(302)), lambda: verify_export(self.folder, TRUST)):
            with pytest.raises(TiergateError) as caught:
                attempt()
            self.busy.append(caught.value.reason)
        yield from super().entries(start, end)


def test_while_an_export_is_written_nobody_else_writes_or_verifies_it(tmp_path: Path) -> None:
    export(tmp_path, long_log(300))
    log = Meanwhile(long_log(301), tmp_path)
    write_export(log, tmp_path, BUNDLES, TRUST)
    assert set(log.busy) == {Reason.STORE_BUSY}
    assert verify_export(tmp_path, TRUST).size == 301


def test_while_an_export_is_verified_nobody_writes_it(tmp_path: Path) -> None:
    export(tmp_path, small_log())
    before = files(tmp_path)
    tried: list[Reason] = []

    def grow(_index: int, _entry: object) -> None:
        with pytest.raises(TiergateError) as caught:
            export(tmp_path, long_log(10))
        tried.append(caught.value.reason)

    verify_export(tmp_path, TRUST, grow)
    assert set(tried) == {Reason.STORE_BUSY}
    assert files(tmp_path) == before


def test_verifiers_do_not_wait_for_each_other(tmp_path: Path) -> None:
    export(tmp_path, small_log())
    with reading(tmp_path):
        verify_export(tmp_path, TRUST)


def test_a_caller_may_hold_the_folder_from_before(tmp_path: Path) -> None:
    with writing(tmp_path / "new"):
        write_export(MemoryLog(small_log()), tmp_path / "new", BUNDLES, TRUST, held=True)
        refused(tmp_path / "new", Reason.STORE_BUSY)
    verify_export(tmp_path / "new", TRUST)


def test_a_later_shard_that_is_being_written_is_no_verdict_on_the_export(tmp_path: Path) -> None:
    export(tmp_path, small_log())
    with writing(tmp_path / shard_path(1)):
        refused(tmp_path, Reason.STORE_BUSY)


def test_under_no_lock_a_changed_export_verifies(tmp_path: Path) -> None:
    path = export(tmp_path, small_log()) / "tile/0/000.p/6"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with reading(tmp_path):
        refused(tmp_path, Reason.PROOF_OF_LOG_INVALID)
    with folder_lock(tmp_path):
        refused(tmp_path, Reason.STORE_BUSY)


def test_what_goes_wrong_under_a_lock_is_told_as_it_is(tmp_path: Path) -> None:
    for lock in (writing, reading):
        with pytest.raises(BlockingIOError), lock(tmp_path):
            raise BlockingIOError
    with writing(tmp_path):
        pass
