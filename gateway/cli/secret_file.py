"""New files that hold a secret of a resident: readable by their owner alone, never overwritten, or not there at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.cli.output import UsageError


class SecretFiles:
    """Files that were opened before there was anything to put into them: a token must not get lost for want of one."""

    def __init__(self) -> None:
        self._open: dict[Path, int] = {}

    def open(self, path: Path) -> None:
        """Make a new file. Raises :class:`UsageError` if there is one."""
        try:
            self._open[path] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise UsageError(f"{path} exists; such a file is never overwritten", "name another file") from error

    def write(self, path: Path, data: bytes) -> None:
        """Fill one of them."""
        with os.fdopen(self._open[path], "wb", closefd=False) as file:  # half a file would be dropped, too
            file.write(data)
        os.close(self._open.pop(path))

    def drop(self) -> None:
        """Remove those that were not filled."""
        for path, descriptor in self._open.items():
            os.close(descriptor)
            path.unlink()
        self._open.clear()


@contextmanager
def secret_files(*paths: Path | None) -> Iterator[SecretFiles]:
    """Open new files at those paths that are given; what the block does not fill is removed, whatever happens."""
    files = SecretFiles()
    try:
        for path in paths:
            if path is not None:
                files.open(path)
        yield files
    finally:
        files.drop()
