"""What must hold after a crash: checked from what clients hold, and from the files that the process left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.cli.stored_log import check_database
from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.entry import decode
from gateway.consentlog.merkle import verify_consistency
from gateway.consentlog.note import SignerKey, open_note
from gateway.consentlog.proof import LogProof
from gateway.consentlog.trust import TrustPolicy
from gateway.domain.decision import Decision
from gateway.errors import TiergateError
from gateway.storage.mark import HighWaterMark, Mark
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import draft, withdrawal
from tests.crash.child import CLOCK, DATA, KEY, MARK, begin, open_store

ORIGIN = "crash.invalid/log"


class BrokenPromiseError(Exception):
    """Something that was promised does not hold."""


def require(holds: object, what: str) -> None:
    """Raise BrokenPromiseError unless it holds."""
    if not holds:
        raise BrokenPromiseError(what)


@dataclass
class Notes:
    """What the clients of one run wrote down."""

    sent: dict[int, dict[str, Any]] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=list)
    failures: int = 0
    told_after_failure: int = 0

    @classmethod
    def read(cls, files: Iterable[Path]) -> Notes:
        """Read them; a line that a client was stopped in was not noted."""
        notes = cls()
        for file in files:
            failed = False
            for line in file.read_text("ascii").splitlines(keepends=True):
                if not line.endswith("\n"):
                    continue
                note = json.loads(line)
                match note.pop("note"):
                    case "sent":
                        notes.sent[note["id"]] = note
                    case "failed":
                        notes.failures += 1
                        failed = True
                    case _:
                        notes.told.append(note)
                        notes.told_after_failure += failed
        return notes


class CrashLog:
    """One log in a folder through many crashes, and everything that clients have ever held of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in (DATA, MARK):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
        signer = SignerKey.generate(ORIGIN)
        (folder / KEY).write_text(signer.to_secret_text(), "ascii")
        self.trust = f"log {signer.verifier}\nquorum none\n".encode()
        self._verifier = signer.verifier
        self._held: dict[int, bytes] = {}
        self._seen: dict[int, bytes] = {}
        self._requests: dict[int, int] = {}

    def check_receipts(self, notes: Notes) -> None:
        """Each receipt verifies with the trust file alone, and no two of them contradict each other."""
        trust = TrustPolicy.parse(self.trust)
        for told in notes.told:
            raw = told["entry"].encode()
            proof = LogProof.parse(told["receipt"].encode())
            head = proof.verify(raw, trust).checkpoint
            require(proof.index == told["index"], "a receipt is of another index than the answer")
            require(self._seen.setdefault(head.size, head.root) == head.root, f"fork: two roots at size {head.size}")
            require(told["index"] not in self._held, f"index {told['index']} was given twice")
            self._held[told["index"]] = raw
            entry = decode(raw)
            if told["asked"]["op"] == "withdraw":
                require(entry.type == "consent_withdrawn", "the entry of a withdrawal is another")
            else:
                require(entry.type == "decision", "the entry of a decision is another")
                require((entry.text("id"), entry.number("rung")) == (told["decision"], told["rung"]), "other decision")
            self._requests[told["asked"]["id"]] = told["index"]

    async def check_reopened(self, notes: Notes) -> int:
        """Start on the same files; the log's size after everything that was ambiguous has been resolved."""
        store = open_store(self.folder)
        try:
            await begin(store)
            self._check_log(store)
            await self._check_requests(store, notes)
            self._check_log(store)
            size = store.size()
        finally:
            await store.close()
        checked = check_database(self.folder / DATA, self.trust)
        require(checked.size == size, "the database was left with another size")
        return size

    def _check_log(self, store: SqliteStore) -> None:
        head = Checkpoint.parse(open_note(store.checkpoint().encode(), [self._verifier]).text)
        require(head.size == store.size(), "the head is of another size")
        copy = shutil.copyfile(self.folder / MARK, self.folder / "read.mark")  # the store holds the file
        mark = HighWaterMark(copy, ORIGIN)
        mark.close()
        require(mark.mark == Mark(head.size, head.root), "the mark does not agree with the head")
        for size, root in self._seen.items():
            require(size <= head.size, f"a client holds a head of {size}, the log has {head.size}")
            verify_consistency(size, head.size, root, head.root, store.consistency(size, head.size))
        self._seen = {head.size: head.root}  # consistent with all that were seen before
        ids: set[str] = set()
        for index, raw in enumerate(store.entries(0, head.size)):
            require(self._held.get(index, raw) == raw, f"entry {index} is not what its client holds")
            entry = decode(raw)
            if entry.type == "decision":
                require(entry.text("id") not in ids, "a decision stands in the log twice")
                ids.add(entry.text("id"))
        require(all(index < head.size for index in self._held), "an acknowledged entry is missing")

    async def _check_requests(self, store: SqliteStore, notes: Notes) -> None:
        """Every request asked again: what was acknowledged is told again, what was not is decided exactly once."""
        withdrawn = {asked["consent"] for asked in notes.sent.values() if asked["op"] == "withdraw"}
        known = {told["asked"]["id"] for told in notes.told}
        for number, asked in notes.sent.items():
            if asked["op"] == "withdraw":
                index = await store.record_event(withdrawal(CLOCK, asked["consent"], asked["event"]))
                again = await store.record_event(withdrawal(CLOCK, asked["consent"], asked["event"]))
                require(index == again, "a withdrawal has two entries")
                require(number not in known or index == self._requests[number], "a withdrawal has another entry now")
        for number, asked in notes.sent.items():
            if asked["op"] != "decide":
                continue
            decision = await _decide(store, asked)
            require(decision == await _decide(store, asked), "a request is decided twice")
            if asked["consent"] in withdrawn:
                require(decision.rung == 0, "a withdrawn consent is entitled")
            elif number in known:
                require(decision.log_index == self._requests[number], "a request has another decision now")


async def _decide(store: SqliteStore, asked: dict[str, Any]) -> Decision:
    (decision,) = await store.record_many([draft(CLOCK, asked["number"], consent=asked["consent"])])
    if isinstance(decision, TiergateError):
        raise BrokenPromiseError(f"a repeated request is refused: {decision.reason.name}")
    return decision
