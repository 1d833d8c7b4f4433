"""A witness's requests, made from a log in memory, and a state in memory that does nothing wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.merkle import EMPTY_ROOT, consistency_proof, leaf_hash, root_of
from gateway.consentlog.note import SignerKey, sign_note
from gateway.consentlog.witness import AddCheckpoint, Fork, Newest

ORIGIN = "log.example/minnan/witnessed"
TIME = 1_793_491_200


@dataclass
class LogOfLeaves:
    """A log as a witness sees it: ``leaves`` are hashes, and only heads and proofs leave it."""

    signer: SignerKey = field(default_factory=lambda: SignerKey.generate(ORIGIN))
    salt: str = ""

    def leaf(self, index: int) -> bytes:
        return leaf_hash(f"{self.salt}{index}".encode())

    def subtree(self, level: int, index: int) -> bytes:
        return root_of(self.leaf(number) for number in range(index << level, (index + 1) << level))

    def root(self, size: int) -> bytes:
        return root_of(map(self.leaf, range(size))) if size else EMPTY_ROOT

    def note(self, size: int, root: bytes | None = None) -> bytes:
        body = Checkpoint(self.signer.name, size, self.root(size) if root is None else root).body()
        return sign_note(body, [self.signer])

    def proof(self, old: int, size: int) -> tuple[bytes, ...]:
        return tuple(consistency_proof(old, size, self.subtree)) if old else ()

    def request(self, old: int, size: int) -> bytes:
        """A sound request."""
        return AddCheckpoint(old, self.proof(old, size), self.note(size)).to_bytes()


@dataclass
class MemoryState:
    """Implements ``WitnessState``."""

    notes: dict[str, bytes] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    forks: list[Fork] = field(default_factory=list)

    def newest(self, origin: str) -> Newest | None:
        return Newest(self.notes[origin], self.times.get(origin, 0)) if origin in self.notes else None

    def advance(self, origin: str, before: bytes | None, note: bytes, size: int, at_s: int) -> None:
        assert self.notes.get(origin) == before
        self.notes[origin], self.times[origin] = note, at_s

    def keep(self, fork: Fork) -> None:
        self.forks.append(fork)
