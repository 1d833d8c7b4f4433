"""Whole files: the old content until the new one is durable, and then its name too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.files import bytes_of, make_folders, shown, write_whole


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


def test_no_more_of_a_file_is_read_than_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    assert [bytes_of(tmp_path / "file", limit) for limit in (0, 4, 9)] == [b"", b"1234", b"12345"]
    assert bytes_of(tmp_path / "link", 9) == b"12345"


def test_what_is_no_regular_file_is_not_read_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "device", tmp_path):
        with pytest.raises(OSError, match="is not a regular file"):
            bytes_of(path, 9)
    with pytest.raises(FileNotFoundError):
        bytes_of(tmp_path / "nowhere", 9)


def test_each_folder_that_is_made_is_durable_in_the_one_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    (tmp_path / "a").mkdir(mode=0o755)
    make_folders(tmp_path / "a/b/c", mode=0o700)
    assert synced == [tmp_path / "a", tmp_path / "a/b"]
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b", "a/b/c")] == [0o755, 0o700, 0o700]
    make_folders(tmp_path / "a/b/c")
    assert len(synced) == 2


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in ("file", "file/below"):
        with pytest.raises(OSError, match="file"):
            make_folders(tmp_path / folder)


def test_a_name_is_told_without_what_steers_a_terminal() -> None:
    assert shown("tile/0/000.p/6 é 厦门") == "tile/0/000.p/6 é 厦门"
    assert shown("\x1b[2J\r\nverified\x9b\u202e\udcff") == r"\x1b[2J\r\nverified\x9b\u202e\udcff"
