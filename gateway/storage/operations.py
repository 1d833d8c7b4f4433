"""What the writer thread is asked to do, and the rows that a group of operations adds up to."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.domain.consent import EventKind
from gateway.domain.decision import Decision
from gateway.domain.directory import Directory
from gateway.domain.ids import BundleDigest, CityId
from gateway.errors import TiergateError
from gateway.ports import ConsentEvent, DecisionDraft


@dataclass(frozen=True, slots=True)
class RecordDecisions:
    """Result: one decision or error per draft, in order."""

    drafts: tuple[DecisionDraft, ...]


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """Result: the log index."""

    event: ConsentEvent


@dataclass(frozen=True, slots=True)
class RecordFact:
    """An entry of ``kind`` that changes no state. Result: the log index."""

    kind: str
    at_ms: int
    fields: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class PublishBundle:
    """Result: the log index of the publication in force."""

    digest: BundleDigest
    version: int
    data: bytes
    at_ms: int


@dataclass(frozen=True, slots=True)
class RecordDirectory:
    """Log what has changed in the directory since it was logged last. Result: how many entries that took."""

    directory: Directory
    at_ms: int


@dataclass(frozen=True, slots=True)
class Genesis:
    """The first entry of a log; without effect on a log that has one."""

    origin: str
    deployment: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A city holds its reports up to ``index``."""

    city: CityId
    index: int


@dataclass(frozen=True, slots=True)
class ForgetRequests:
    """Drop what has served by ``now_ms``: requests of more than ``kept_ms`` ago, marks of proofs that ended.

    ``limit`` of each, so that no group waits for long. Result: how many rows were dropped.
    """

    now_ms: int
    kept_ms: int
    limit: int = 500


@dataclass(frozen=True, slots=True)
class Aside:
    """Statements beside the log, in the group's transaction. Result: what ``run`` returns."""

    run: Callable[[sqlite3.Connection], int]


@dataclass(frozen=True, slots=True)
class Shred:
    """Delete what is erasable of these entries: private payloads, attestations, ids of events. Result: how many."""

    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EndConsent:
    """The last step of an erasure by order, which is logged with it. Result: the index of its entry.

    The consent's entries below ``scanned`` have been shredded, ``decisions`` of them decisions; ``order`` is a digest
    in hex. Raises NOT_FOUND for a consent that has no row (any more).
    """

    key: str
    scanned: int
    decisions: int
    ordered_by: str
    order: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """Erase by age the next entries of before ``before_ms``, a bounded number. Result: how many were looked at."""

    now_ms: int
    before_ms: int


@dataclass(frozen=True, slots=True)
class DropConsents:
    """Delete the keys of these consents, if they ended before ``before_ms``. Result: how many."""

    keys: tuple[str, ...]
    now_ms: int
    before_ms: int


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The file has been written anew. Result: 0."""


Erasing = Shred | EndConsent | Sweep | DropConsents | Rewritten
Recording = (
    RecordDecisions
    | RecordEvent
    | RecordFact
    | PublishBundle
    | RecordDirectory
    | Genesis
    | Acknowledge
    | ForgetRequests
    | Aside
)
Operation = Recording | Erasing
ConsentColumns = tuple[
    str, int | None, str, int | None, int, int | None, int | None, int | None, str | None
]  # fmt: skip
EntryColumns = tuple[int, str, str | None, str | None, str | None, int | None, int | None, str | None]
BY_TOMBSTONE = 0
"""``ConsentState.locked`` of a consent that was erased and whose token has not ended: no event is at index 0."""
Result = list[Decision | TiergateError] | int


@dataclass(slots=True)
class ConsentState:
    """A consent in the transaction, by log indices.

    Of its registration (None before its first decision), and of the events that withdrew it, paused it (None: not
    paused), last resumed it, and asked for its erasure. ``token``: hash of its token in hex, once it was used.
    """

    index: int | None
    secret: bytes
    withdrawn: int | None
    expires: int = 0
    paused: int | None = None
    resumed: int | None = None
    locked: int | None = None
    token: str | None = None

    @property
    def silent(self) -> bool:
        """Whether nothing but the base offer may be given on it now."""
        return self.withdrawn is not None or self.paused is not None or self.locked is not None

    def change(self, kind: EventKind, index: int) -> None:
        """Take an event at a log index: a withdrawal, pause or resumption. The first withdrawal stays the one."""
        match kind:
            case "withdrawal":
                self.withdrawn = index if self.withdrawn is None else self.withdrawn
            case "pause":
                self.paused = index
            case "erasure":
                self.locked = index if self.locked is None else self.locked
            case _:
                self.paused, self.resumed = None, index

    def row(self, key: str) -> ConsentColumns:
        """As it is stored. ``expires`` 0 for one that was never used keeps its row out of any purge by expiry."""
        return (
            key, self.index, self.secret.hex(), self.withdrawn, self.expires, self.paused, self.resumed, self.locked,
            self.token,
        )  # fmt: skip


@dataclass(slots=True)
class GroupRows:
    """Rows collected for one commit.

    They are inserted by one statement per table: each statement step gives up the interpreter lock, and a hundred of
    them per group would cost more than the commit.
    """

    entries: list[EntryColumns] = field(default_factory=list)
    requests: dict[str, tuple[str, str, int, int, int]] = field(default_factory=dict)
    consents: dict[str, ConsentColumns] = field(default_factory=dict)
    attestations: dict[str, tuple[str, str]] = field(default_factory=dict)
    proofs: list[tuple[str, int]] = field(default_factory=list)
