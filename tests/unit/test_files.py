"""Whole files: the old content until the new one is durable, and then its name too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.files import write_whole


def test_what_is_durable_before_and_after_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, seen = tmp_path / "file", []
    file.write_bytes(b"old")

    def flushed(descriptor: int) -> None:
        seen.append((Path(f"/proc/self/fd/{descriptor}").readlink(), file.read_bytes()))

    monkeypatch.setattr(os, "fsync", flushed)
    write_whole(file, b"new", partial=tmp_path / "part")
    assert seen == [(tmp_path / "part", b"old"), (tmp_path, b"new")]
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_what_cannot_be_made_durable_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        write_whole(file, b"new")
    assert file.read_bytes() == b"old"
