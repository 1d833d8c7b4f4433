"""The signer's high-water mark: how far the log has been signed, kept apart from the database.

A database can be put back, copied, or lost with its newest commits. A signer that went on from it would sign a second
history under the same name, which is the one thing that a log must never do. So after each commit, and before anything
of it leaves the process, size and root of the new head are made durable here, in a file outside the data directory. At
start the log must hold everything that the mark has seen.

- The mark MUST NOT precede the commit, and no signature MUST leave before both are durable
  (``tests/contract/test_store_mark.py``).
- A log behind its mark, or of another history, MUST NOT be signed (the same file).
- Of two copies of a log that run at once one alone MUST sign: whoever opened the file holds it until it is closed, and
  before each new head finds in it what it wrote last (``tests/contract/test_store_copies.py``).

The file holds two lines of fixed length, written in turn and each with its own digest: a torn write spoils the older.
Sizes are places (``gateway.consentlog.shard``), so that a head of the next shard is above all those of the sealed one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.consentlog.shard import located
from gateway.errors import Reason, TiergateError
from gateway.files import sync_folder

LINE = 256
_LENGTH = 2 * LINE
_HEADER = "tiergate high-water mark 1"
_REMEDY = "stop every copy of this data directory but one"


class Mark(NamedTuple):
    """A head that has been signed: the place after its last entry, and its root (32 bytes)."""

    size: int
    root: bytes


class HighWaterMark:
    """The mark of one log. ``path`` is made at the log's first head, and MUST lie outside of what is backed up.

    Not for network file systems without ``flock``.
    """

    def __init__(self, path: Path, origin: str, sealed: Sequence[str] = ()) -> None:
        """Open the file if there is one. ``sealed``: origins of the shards before ``origin``, oldest first.

        Raises STORE_BUSY while somebody else holds it, LOG_BEHIND if nothing in it can be read, or anything in it is of
        another log or of a later shard.
        """
        self._path = path
        self._origins = [hashlib.sha256(item.encode()).hexdigest() for item in (*sealed, origin)]
        self._file: int | None = None
        self._turn = 0
        self._own: Collection[bytes] = ()  # what the file may hold: after a failed write the line of before or the new
        self.mark: Mark | None = None
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            self._hold(self._file)
            self._read(self._file)
        except FileNotFoundError:
            self.close()
        except OSError as error:
            self.close()
            raise _behind(path, f"cannot be opened ({error.strerror})") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def check(self, size: int, root_at: Callable[[int], bytes]) -> None:
        """Return if a log that ends at ``size`` holds everything that was signed. ``root_at`` gives the root there.

        Beside a log of its first entry alone the file may be there and empty: the process ended, or could not write,
        between that commit and the mark, and no head has left. Raises LOG_BEHIND.
        """
        if self.mark is None:
            if size > (0 if self._file is None else 1):
                raise _behind(self._path, "is missing beside a log that has entries")
            return
        if size < self.mark.size:
            raise _behind(self._path, f"says {self.mark.size} entries were signed, the log has {size}")
        if root_at(self.mark.size) != self.mark.root:
            raise _behind(self._path, "is of another history than the log")

    def follow(self, origin: str) -> None:
        """From here on heads are of the next shard, which ``origin`` names. What is durable stays until the first."""
        self._origins.append(hashlib.sha256(origin.encode()).hexdigest())

    def prepare(self, size: int) -> None:
        """Make the file if the log is empty and there is none: before its first commit. Raises STORE_FAILED."""
        try:
            if not size and self._file is None:
                self._create()
        except OSError as error:
            raise TiergateError(Reason.STORE_FAILED, f"high-water mark: {error.strerror}") from error

    def advance(self, size: int, root: bytes) -> None:
        """Make a newer head durable. Raises STORE_FAILED, the older mark then stands; LOG_BEHIND when others wrote."""
        text = f"{_HEADER} {self._origins[-1]} {size} {root.hex()} "
        line = (text + hashlib.sha256(text.encode()).hexdigest()).ljust(LINE - 1).encode() + b"\n"
        at = self._turn * LINE
        try:
            if self._file is None:
                self._create()
            if self._file is None:
                raise TiergateError(Reason.INTERNAL, "there is no high-water mark")
            before = self._unchanged(self._file)
            after = before[:at] + line + before[at + LINE :]
            self._own = {before, after}
            written = os.pwrite(self._file, line, at)
            if written != LINE:
                self._own = {after[: at + written] + before[at + written :]}
                raise TiergateError(Reason.STORE_FAILED, "the high-water mark was written in part")
            os.fdatasync(self._file)
        except OSError as error:
            raise TiergateError(Reason.STORE_FAILED, f"high-water mark: {error.strerror}") from error
        self._own = {after}
        self._turn = 1 - self._turn
        self.mark = Mark(size, root)

    def _unchanged(self, file: int) -> bytes:
        """What the file holds, if that is what this process left there, under this name. Raises LOG_BEHIND, OSError."""
        data = os.pread(file, _LENGTH + 1, 0)
        if data not in self._own or _name_of(file) != self._name:
            raise _behind(self._path, f"was changed, moved or replaced by another process; {_REMEDY}")
        return data

    def _hold(self, file: int) -> None:
        """Until it is closed: a copy of the data directory that is started beside this one is refused."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            detail = f"high-water mark {self._path.name} is held by another process; {_REMEDY}"
            raise TiergateError(Reason.STORE_BUSY, detail) from error
        self._name = _name_of(file)

    def _create(self) -> None:
        """With its full length at once, so that later writes change no metadata; durable with its name."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._hold(file)
            if os.pread(file, _LENGTH, 0).strip():
                raise _behind(self._path, f"was made by another process; {_REMEDY}")
            os.pwrite(file, b" " * _LENGTH, 0)
            os.fsync(file)
            sync_folder(self._path.parent)
        except BaseException:
            os.close(file)  # the next attempt does all of it again: a name that is not durable is no mark
            raise
        self._file, self._own = file, {b" " * _LENGTH}

    def _read(self, file: int) -> None:
        data = os.pread(file, _LENGTH + 1, 0)
        self._own = {data}
        if not data.strip():
            return  # made, and never written: the process ended before its first head left
        found = [(self._parse(data[turn * LINE : (turn + 1) * LINE]), turn) for turn in (0, 1)]
        marks = [(mark, turn) for mark, turn in found if mark is not None]
        if not marks:
            raise _behind(self._path, "cannot be read")
        self.mark, turn = max(marks)
        self._turn = 1 - turn

    def _parse(self, line: bytes) -> Mark | None:
        if not _is_whole(line):
            return None
        origin, size, root, _ = line.decode("ascii").removeprefix(_HEADER).split()
        shard, _ = located(int(size))
        if self._origins[shard : shard + 1] != [origin]:
            raise _behind(self._path, "is of another log, or of a later shard than the log has")
        return Mark(int(size), bytes.fromhex(root))


def marked_end(path: Path) -> int | None:
    """Where the log ended when a head was last marked, read beside whoever holds the file; None without any.

    What it says is not held against anything: for a message to people. Raises LOG_BEHIND for a file without a mark.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _behind(path, f"cannot be opened ({error.strerror})") from error
    found = [int(line.split()[-3]) for line in (data[:LINE], data[LINE:]) if _is_whole(line)]
    if data.strip() and not found:
        raise _behind(path, "cannot be read")
    return max(found, default=0)


def _is_whole(line: bytes) -> bool:
    text, _, digest = line.decode("ascii", "replace").rstrip().rpartition(" ")
    return hashlib.sha256(f"{text} ".encode()).hexdigest() == digest and text.startswith(_HEADER)


def _name_of(file: int) -> str:
    """The name of an open file now; another one once it is moved, replaced or removed.

    The kernel's own link (Linux), which is read in a microsecond.
    """
    return os.readlink(f"/proc/self/fd/{file}")  # noqa: PTH115 - a Path takes longer than the call


def _behind(path: Path, detail: str) -> TiergateError:
    return TiergateError(Reason.LOG_BEHIND, f"high-water mark {path.name} {detail}")
