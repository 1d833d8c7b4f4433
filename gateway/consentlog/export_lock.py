"""Who writes an export, and who reads it: one writer, or any number of verifiers.

The lock is the folder's own, no file in it: it is no part of what is verified. It keeps honest programs apart and
vouches for nothing: whatever is in the folder has to verify all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gateway.errors import Reason, TiergateError
from gateway.files import folder_lock, make_folders

_RETRY_S = 5


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Be the only one who writes the export in a folder, which is made if need be.

    Raises STORE_BUSY while somebody else writes or verifies it; STORE_FAILED.
    """
    with _locked(directory, "written or verified by another process", Reason.STORE_FAILED, shared=False):
        yield


@contextmanager
def reading(directory: Path) -> Iterator[None]:
    """Keep writers away from the export in a folder: what is half written looks like what was tampered with.

    Raises STORE_BUSY while somebody writes it; LOG_CORRUPT for what is no folder.
    """
    busy = "written by another process; verify it again when that is done"
    with _locked(directory, busy, Reason.LOG_CORRUPT, shared=True):
        yield


@contextmanager
def _locked(directory: Path, busy: str, fault: Reason, *, shared: bool) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            if not shared:
                make_folders(directory)
            stack.enter_context(folder_lock(directory, shared=shared))
        except BlockingIOError as error:
            raise TiergateError(Reason.STORE_BUSY, f"the export is being {busy}", retry_after_s=_RETRY_S) from error
        except OSError as error:
            raise TiergateError(fault, f"export: {error.strerror}") from error
        yield
