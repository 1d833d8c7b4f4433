"""What `demo` and `up` say when the machine fails them: the cause, the remedy, and one document with --json."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.cli.localnet import run


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run, "STATE", tmp_path / "state")
    return tmp_path / "state"


def fails_with(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def provision(*_: object) -> None:
        raise OSError(number, os.strerror(number), "/nowhere/key.pem")

    monkeypatch.setattr(run, "provision", provision)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room on the disk of"),
        (errno.EACCES, "must be writable by you"),
        (errno.EROFS, "must be writable by you"),
        (errno.EMFILE, "mend it, and run again"),
    ],
)
def test_a_failure_names_file_and_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, remedy: str
) -> None:
    fails_with(monkeypatch, number)
    assert run.demo(as_json=True) == 1
    out, err = capsys.readouterr()
    error = json.loads(out)["error"]
    assert error["message"] == f"failed: {os.strerror(number)}: /nowhere/key.pem"
    assert remedy in err


def test_a_full_disk_is_named_whatever_failed_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails_with(monkeypatch, errno.ECONNREFUSED)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=run.LEAST_FREE_BYTES - 1))
    assert run.demo(as_json=False) == 1
    out, err = capsys.readouterr()
    assert not out
    assert "make room on the disk of" in err


def test_a_second_network_does_not_touch_the_first(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (state / "up").mkdir(parents=True)
    (state / "up" / "kept").write_text("of the first")
    with run.only_one(state / "up.lock"):
        assert run.up(as_json=False) == 1
        assert "already up" in capsys.readouterr().err
        assert run.up(as_json=True) == 1
        assert json.loads(capsys.readouterr().out)["error"]["reason"] == "ALREADY_UP"
    assert (state / "up" / "kept").read_text() == "of the first"
