"""Small synthetic logs for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.entry import Value, encode
from gateway.consentlog.merkle import leaf_hash, root_of
from gateway.consentlog.note import SignerKey, add_signatures, sign_note

ORIGIN = "log.example/minnan/2026q4"
SIGNER = SignerKey.generate(ORIGIN)
TRUST = f"log {SIGNER.verifier}\nquorum none\n".encode()
BUNDLE = b'{"sample":"synthetic bundle"}'
DIGEST = sha256(BUNDLE).hexdigest()
TOKEN = "ab" * 32
TIME = 1_760_000_000_000


def entry(kind: str, **fields: Value) -> dict[str, Value]:
    return {"v": 1, "type": kind, "time": TIME, **fields}


def genesis() -> dict[str, Value]:
    return entry("genesis", origin=ORIGIN, deployment="minnan")


def published() -> dict[str, Value]:
    return entry("policy_published", bundle=DIGEST, version=1)


def registered(**changes: Value) -> dict[str, Value]:
    fields: dict[str, Value] = {"city": "fuzhou", "operator": "xiamen-library", "token": TOKEN}
    return entry("consent_registered", **{**fields, "bound": "operator", "expires": 1_790_000_000, **changes})


def decision(consent: int, rung: int = 2, **changes: Value) -> dict[str, Value]:
    fields: dict[str, Value] = {
        "id": "0f" * 16,
        "city": "fuzhou",
        "operator": "xiamen-library",
        "scenario": "xiamen-library-loan",
        "bundle": DIGEST,
        "consent": consent,
        "token": TOKEN,
        "private": "cd" * 32,
        "outcome": "entitled" if rung else "ordinary",
        "rung": rung,
        "valid_until": TIME + 300_000,
    }
    return entry("decision", **{**fields, **changes})


def withdrawn(**changes: Value) -> dict[str, Value]:
    return entry("consent_withdrawn", city="fuzhou", event="ef" * 32, **changes)


def erasure_requested(**changes: Value) -> dict[str, Value]:
    return entry("erasure_requested", city="fuzhou", event="ef" * 32, **changes)


def erasure(**changes: Value) -> dict[str, Value]:
    fields: dict[str, Value] = {"by": "order", "city": "fuzhou", "consents": 1, "decisions": 3, "order": "aa" * 32}
    return entry("erasure", **{**fields, "ordered_by": "fuzhou-court", **changes})


def refusal() -> dict[str, Value]:
    return entry("refusal", id="1d" * 16, operator="xiamen-library", scenario="fuzhou-bus", code="SCENARIO_NOT_OPEN")


def small_log() -> list[bytes]:
    """One of everything that matters: published, registered, entitled, withdrawn, ordinary."""
    return [
        encode(item)
        for item in (
            genesis(), published(), registered(), decision(2), withdrawn(consent=2), decision(2, rung=0, id="1f" * 16),
        )
    ]  # fmt: skip


def long_log(size: int) -> list[bytes]:
    """A valid log of any size from 3 up."""
    head = [encode(item) for item in (genesis(), published(), registered())]
    return [*head, *(encode(decision(2, id=f"{index:032x}")) for index in range(size - 3))]


@dataclass
class MemoryLog:
    """An entry source over a list, with a checkpoint signed by the sample key."""

    items: Sequence[bytes]
    signer: SignerKey = SIGNER
    origin: str = ORIGIN

    def checkpoint(self) -> str:
        root = root_of(map(leaf_hash, self.items))
        return sign_note(Checkpoint(self.origin, len(self.items), root).body(), [self.signer]).decode()

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        yield from self.items[start:end]


@dataclass
class _Cosigned(MemoryLog):
    witnesses: Sequence[SignerKey] = ()

    def checkpoint(self) -> str:
        return add_signatures(super().checkpoint().encode(), self.witnesses, TIME // 1000).decode()


def cosigned_log(witnesses: Sequence[SignerKey]) -> MemoryLog:
    """The small log, with cosignatures on its checkpoint."""
    return _Cosigned(small_log(), witnesses=witnesses)
