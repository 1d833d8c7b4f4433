"""What an auditor's tools read beside the log itself."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache

from gateway.cli.audit_watch import read_mine
from gateway.consentlog.gossip import read_gossip, verify_gossip
from gateway.consentlog.journal import Attested, Header, Journal, JournalWriter, Unreported, Use
from gateway.consentlog.watch_state import Unknown, WatchState
from gateway.domain.directory import Directory
from gateway.policy.directory import read_directory
from tests.fuzz import world
from tests.fuzz.harness import Harness, file_of, framed
from tests.fuzz.log_world import BUNDLE, entries, log_proof, signed_checkpoint
from tests.fuzz.targets_signed import directory_bytes

HEADER = Header(world.CITY, world.DEPLOYMENT, world.NOW, 0, None, 5)
ATTESTED = Attested(world.OPERATOR, world.SCENARIO, BUNDLE, 1, world.NOW - 60)


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
        Unreported("0c" * 32, ATTESTED),
    )
    lines = b"".join(record.line() for record in records)
    yield b"\1" + lines
    yield _Resigned(lines).file.getvalue()


def _gossip(data: bytes) -> bool:
    """A receipt or a checkpoint that somebody hands over, also as it lies in a folder."""
    receipt, raw = framed(data, 2)
    name = "theirs.proof" if receipt else "theirs"
    path = file_of(f"gossip-{receipt}/{name}", raw)
    (path.parent / "theirs.entry").write_bytes(entries()[3])
    (found,) = read_gossip(path.parent, world.TRUST)
    note, head = verify_gossip(raw, world.TRUST, receipt=bool(receipt))
    assert (found.note, found.head) == (note, head)
    return True


def _state(data: bytes) -> bool:
    found = WatchState.from_json(data)
    assert WatchState.from_json(found.to_json()) == found
    return True


def _state_seeds() -> Iterator[bytes]:
    yield WatchState(
        signed_checkpoint().decode(), 9, world.NOW, world.NOW, {3: Unknown("0f" * 16, world.NOW)}
    ).to_json()
    yield WatchState("", 0, world.NOW, world.NOW).to_json()


def _mine(data: bytes) -> bool:
    found = read_mine(file_of("mine", data))
    assert read_mine(file_of("mine-again", "\n".join(found).encode())) == found
    return True


HARNESSES = (
    Harness("journal", (Journal.verify,), _journal, _journal_seeds),
    Harness(
        "gossip",
        (read_gossip, verify_gossip),
        _gossip,
        lambda: (b"\1" + log_proof(), b"\0" + signed_checkpoint()),
    ),
    Harness("watch-state", (WatchState.from_json,), _state, _state_seeds),
    Harness("mine", (read_mine,), _mine, lambda: (b"# ours\n" + b"0f" * 16 + b"\n\n17\n",)),
)
