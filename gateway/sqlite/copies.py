"""Copies a database that is in use, as of one moment; and clears up after copies that were killed in the middle.

An unfinished copy has a name of its own kind in the folder that it is meant for. It holds all that the database held,
and no erasure in the database reaches it.
"""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from gateway.errors import Reason, TiergateError
from gateway.files import folder_lock
from gateway.sqlite.connect import connect_reader, let_signals_in, map_sqlite_error

_JOURNAL = "-journal"
_MARK = re.compile(rf"[0-9a-f]{{16}}(?:{_JOURNAL})?\Z")


@contextmanager
def copied(source: Path, folder: Path, name: str) -> Iterator[Path]:
    """A copy of a database as of one moment, in ``folder`` under a name of its own; removed unless it was moved away.

    All rows are copied within one read transaction: writers go on, and none of what they write is half in the copy. It
    is written anew, not page by page: nothing of what was erased is left in it, even if the file itself still waits.
    Raises STORE_FAILED or STORE_BUSY; OSError.
    """
    remove_unfinished(folder, name)
    copy = folder / f".{name}.{secrets.token_hex(8)}"
    # shared: any number may copy into one folder; it waits for nobody but one who clears up
    with folder_lock(folder, shared=True, wait=True):
        try:
            os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            with closing(connect_reader(source)) as reader:
                let_signals_in(reader)
                try:
                    # else the copy could not be written either; the source stays open to be read alone
                    reader.execute("PRAGMA query_only=OFF")
                    reader.execute("VACUUM INTO ?", (str(copy),))  # one file, without a write-ahead log beside it
                except sqlite3.Error as error:
                    raise map_sqlite_error(error) from error
            yield copy
        finally:
            for path in (copy, copy.with_name(copy.name + _JOURNAL)):
                path.unlink(missing_ok=True)


def remove_unfinished(folder: Path, name: str) -> None:
    """Remove what copies that were killed have left in a folder, unless somebody copies into it now.

    ``name``: of the database, as for ``copied``. Raises STORE_FAILED.
    """
    begin = f".{name}."
    try:
        with suppress(BlockingIOError), folder_lock(folder):
            for path in folder.iterdir():
                if path.name.startswith(begin) and _MARK.match(path.name.removeprefix(begin)):
                    path.unlink()
    except OSError as error:
        raise TiergateError(Reason.STORE_FAILED, f"unfinished copies of {name}: {error.strerror}") from error
