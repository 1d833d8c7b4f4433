"""Logs to be verified by others: made, signed, proven and exported by the product's own code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.encoding import encode_base64
from gateway.consentlog.export import write_export
from gateway.consentlog.merkle import consistency_proof, leaf_hash, root_of
from gateway.consentlog.note import SignerKey, sign_note
from tests.fakes.log import FakeLog

SIZES = (1, 2, 255, 256, 257, 600)
"""Entries of the logs: around the width of a tile, and some tiles with a part of one."""
ORIGIN = "log.example/minnan/interop"


@dataclass(frozen=True)
class _Source:
    """A log as the export reads it."""

    log: FakeLog

    def checkpoint(self) -> str:
        return self.log.checkpoint()

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        yield from self.log.entries[start:end]


def log_of(size: int, signer: SignerKey | None = None) -> FakeLog:
    """A log of one entry or more: its genesis, then decisions."""
    log = FakeLog(signer or SignerKey.generate(ORIGIN))
    grow(log, size)
    return log


def grow(log: FakeLog, size: int) -> None:
    """Append decisions until the log has ``size`` entries."""
    for number in range(len(log.entries), size):
        log.decide(number % 4)


def export(log: FakeLog, directory: Path) -> Path:
    """Write, or bring up to date, the log's export; the directory."""
    trust = f"log {vkey(log)}\nquorum none\n".encode()
    write_export(_Source(log), directory, {}, trust)
    return directory


def vkey(log: FakeLog) -> str:
    """The key that an auditor has of the log."""
    return str(log.signer.verifier)


def growth(log: FakeLog, older: int) -> str:
    """The consistency proof from an older size to the log as it is now, one hash a line."""
    leaves = [leaf_hash(entry) for entry in log.entries]
    proof = consistency_proof(
        older, len(leaves), lambda level, index: root_of(leaves[index << level : (index + 1) << level])
    )
    return "".join(f"{encode_base64(item)}\n" for item in proof)


def checkpoint_with_root(log: FakeLog, root: bytes) -> bytes:
    """A checkpoint of the log's size that its key has signed over another root."""
    return sign_note(Checkpoint(log.signer.name, len(log.entries), root).body(), [log.signer])


def tiles_of(directory: Path) -> list[Path]:
    """All tiles and entry bundles of an export: one of each at least."""
    paths = [path for path in directory.rglob("tile/**/*") if path.is_file()]
    assert len(paths) >= 2
    return paths


def flip(path: Path) -> None:
    """Change the last bit of a file."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def change_base64(text: bytes) -> bytes:
    """The same base64 but for its first character, so that other bytes come of it."""
    return (b"B" if text.startswith(b"A") else b"A") + text[1:]


def change_last_signature(path: Path) -> None:
    """Change the last signature of a signed note, or of a receipt, and nothing of its form."""
    data = path.read_bytes()
    path.write_bytes(data[:-8] + change_base64(data[-8:]))
