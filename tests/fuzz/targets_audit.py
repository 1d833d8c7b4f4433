"""What an auditor's tools read beside the log itself."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache

from gateway.consentlog.journal import Attested, Header, Journal, JournalWriter, Unreported, Use
from gateway.domain.directory import Directory
from gateway.policy.directory import read_directory
from tests.fuzz import world
from tests.fuzz.harness import Harness, file_of
from tests.fuzz.log_world import BUNDLE, entries
from tests.fuzz.targets_signed import directory_bytes

HEADER = Header(world.CITY, world.DEPLOYMENT, world.NOW, 0, None, 5)
ATTESTED = Attested(world.OPERATOR, world.SCENARIO, BUNDLE, 1)


@cache
def _directory() -> Directory:
    return read_directory(directory_bytes())


class _Resigned(JournalWriter):
    """Signs whatever lines there are: behind a signature that does not verify nothing would be read."""

    def __init__(self, lines: bytes) -> None:
        self.file = io.BytesIO()
        super().__init__(self.file, HEADER)
        self._hash.update(lines)
        self.file.write(lines)
        self.sign(world.key("event"), world.kid("event"))


def _journal(data: bytes) -> bool:
    """A journal as it comes, or, after a first byte that says so, its records signed anew."""
    path = file_of("journal", _Resigned(data[1:]).file.getvalue() if data[:1] == b"\1" else data)
    held = Journal.verify(path, _directory())
    lines = b"".join([held.header.line(), *(record.line() for record in held.records())])
    assert path.read_bytes().startswith(lines)
    return True


def _journal_seeds() -> Iterator[bytes]:
    records = (
        Use(3, entries()[3], "entitled", "0a" * 32, ATTESTED, proved=True),
        Use(4, entries()[3], "entitled", "0b" * 32, None, proved=False),
        Unreported("0c" * 32, ATTESTED, world.NOW - 60),
    )
    lines = b"".join(record.line() for record in records)
    yield b"\1" + lines
    yield _Resigned(lines).file.getvalue()


HARNESSES = (Harness("journal", (Journal.verify,), _journal, _journal_seeds),)
