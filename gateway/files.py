"""Files that are replaced whole, and durably: a power cut leaves all of the old content or all of the new.

And how files are read, and named, that others may have put there.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def bytes_of(file: Path, limit: int) -> bytes:
    """The first bytes of a regular file, at most ``limit``. Raises OSError, for what is no regular file too.

    Whoever hands a folder over may have put anything into it: opening a FIFO would wait until somebody writes to it,
    and a device may never end.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", str(file))
        with os.fdopen(descriptor, "rb", closefd=False) as opened:
            return opened.read(limit)
    finally:
        os.close(descriptor)


def shown(name: str) -> str:
    """A file's name as it may be told: what is not printable is escaped: it could steer a terminal, or forge a line."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in name)


@contextmanager
def folder_lock(folder: Path, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a folder, which needs no file in it and ends with this process, however it ends.

    It binds nobody who does not ask for it. Raises BlockingIOError when another one holds it (``shared``: alone), in
    whatever process, unless it is to ``wait`` for that one; OSError.
    """
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def write_whole(file: Path, data: bytes, *, partial: Path | None = None) -> None:
    """Write a file under a temporary name, then give it its own. Raises OSError.

    ``partial`` is the temporary name, in the same folder, where a reader of the folder has to know it.
    """
    if partial is None:
        partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_bytes(data)
    move_in(partial, file)


def move_in(partial: Path, file: Path) -> None:
    """Make a file that is complete durable, and give it the name of another in its folder. Raises OSError."""
    _sync(partial, os.O_RDONLY)
    partial.replace(file)
    sync_folder(file.parent)


def make_folders(folder: Path, mode: int = 0o777) -> None:
    """Make a folder, and those above it that are missing, each durable in the one that holds it. Raises OSError."""
    if folder.is_dir():
        return
    make_folders(folder.parent, mode)
    folder.mkdir(mode, exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make durable which names a folder holds. Raises OSError."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
