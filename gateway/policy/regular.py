"""Reading a file that somebody put where a file is expected: it may be none, and must not keep its reader waiting."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_regular(path: Path, most: int) -> bytes:
    """The first ``most`` bytes of a regular file. Raises OSError, also for what is none.

    To open a pipe waits for whoever writes into it, and in a thread that waits a process cannot end.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return file.read(most)
