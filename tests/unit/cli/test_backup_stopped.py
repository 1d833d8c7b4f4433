"""Backups and restores that do not come to their end leave no copy of what they copied."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from gateway.cli.backup import DATABASE
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_backup import Gateway, back_up, gateway, leftovers, names, restore

__all__ = ["gateway"]  # a fixture


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_backup_or_restore_that_is_stopped_leaves_nothing(
    run: Run, gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    size = await gateway.grow(1)
    back_up(run, gateway, tmp_path / "backup.db")
    monkeypatch.setattr("gateway.cli.stored_log.check_database", lambda *_: os.kill(os.getpid(), number))
    before = signal.getsignal(number)
    (tmp_path / "out").mkdir()
    done = run("backup", "--config", gateway.config, "--out", tmp_path / "out" / "backup.db")
    assert (done.code, f"stopped by signal {number:d}" in done.err) == (128 + number, True)
    assert names(tmp_path / "out") == []
    assert restore(run, gateway, tmp_path / "backup.db")[0] == 128 + number
    assert leftovers(gateway.database.parent) == []
    assert signal.getsignal(number) == before
    assert await gateway.grow(1) == size + 1


async def test_what_a_killed_backup_or_restore_left_is_removed(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    await gateway.grow(1)
    left = [folder / f".{DATABASE}.{'0f' * 8}" for folder in (tmp_path, gateway.database.parent)]
    others = [tmp_path / f".{DATABASE}.lock", tmp_path / ".other.db.0123456789abcdef"]
    for path in (*left, *others):
        path.write_bytes(b"a consent's private payload")
    back_up(run, gateway, tmp_path / "backup.db")
    assert [path.exists() for path in (*left, *others)] == [False, True, True, True]
    assert restore(run, gateway, tmp_path / "backup.db")[0] == 0
    assert not left[1].exists()
    left[1].write_bytes(b"a consent's private payload")
    await gateway.grow(1)  # a start of the gateway
    assert not left[1].exists()
