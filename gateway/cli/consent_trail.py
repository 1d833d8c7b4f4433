"""What hangs on the consent of one decision, picked from a log's entries as they come."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gateway.cli.client import read_file
from gateway.cli.output import UsageError
from gateway.consentlog.entry import MAX_ENTRY_BYTES, Entry, decode
from gateway.errors import Reason, TiergateError


@dataclass
class ConsentTrail:
    """Everything that hangs on the consent of one decision, told from entries that come in order.

    ``raw`` is the decision as its receipt holds it; ``registration`` is where that says the consent was registered,
    and nothing before it concerns the consent. A change before any registration names no consent and is no part of it.
    """

    raw: bytes
    registration: int
    found: int | None = None
    _decisions: set[int] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path) -> ConsentTrail:
        """From the entry of a receipt. Raises LOG_CORRUPT for what is no entry, UsageError for one of another type."""
        raw = read_file(path, MAX_ENTRY_BYTES, "name FILE.entry, as `check --receipt-out` wrote it")
        entry = decode(raw)
        if entry.type != "decision":
            raise UsageError(f"{path} is the entry of a {entry.type}", "name the entry of a decision")
        return cls(raw, entry.number("consent"))

    def take(self, index: int, raw: bytes, entry: Entry) -> bool:
        """Whether the next entry belongs to the consent."""
        if raw == self.raw:
            self.found = index
        if entry.type == "contest":
            return entry.fields["decision"] in self._decisions
        if index != self.registration and entry.fields.get("consent") != self.registration:
            return False
        if entry.type == "decision":
            self._decisions.add(index)
        return True

    def require_found(self) -> None:
        """Raises PROOF_OF_LOG_INVALID when the receipt's own entry was not among the entries."""
        if self.found is None:
            raise TiergateError(
                Reason.PROOF_OF_LOG_INVALID,
                "the receipt's entry is not among the log's, as the gateway tells it; see `audit verify-receipt`",
            )
