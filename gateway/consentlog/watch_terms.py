"""What a monitor looks at, what it looks for, and what it tells."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.consentlog.entry import Entry
from gateway.consentlog.scope import Leaf


class Kind(StrEnum):
    """What a monitor tells of. Stable."""

    FORK = "FORK"
    SMALLER_HEAD = "SMALLER_HEAD"
    OTHER_LOG = "OTHER_LOG"
    NOT_VERIFIED = "NOT_VERIFIED"
    RULE_BROKEN = "RULE_BROKEN"
    ENTRIES_DIFFER = "ENTRIES_DIFFER"
    SPLIT_VIEW = "SPLIT_VIEW"
    WITHHELD = "WITHHELD"
    UNEXPECTED_ENTRY = "UNEXPECTED_ENTRY"
    SILENCE = "SILENCE"
    MINE_SILENT = "MINE_SILENT"
    AWAY = "AWAY"
    REFUSED = "REFUSED"
    GOSSIP_UNUSABLE = "GOSSIP_UNUSABLE"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing to tell. ``index``: of the entry that it is about; ``evidence``: files that were kept."""

    kind: Kind
    detail: str
    index: int | None = None
    evidence: tuple[str, ...] = ()


class LogSource(Protocol):
    """The log as somebody shows it. Calls raise a typed error while the log cannot be had.

    ``live``: whether it is the log itself, whose newest checkpoint cannot be behind what others hold already.
    """

    live: bool

    def oldest(self) -> int:
        """Number of the first shard that it has."""
        ...

    async def checkpoint(self, shard: int | None = None) -> bytes:
        """The newest signed checkpoint of a shard; None: of the newest one."""
        ...

    async def consistency(self, first: int, second: int, shard: int) -> Sequence[bytes]:
        """Hashes of the proof between two sizes of a shard."""
        ...

    def leaves(self, start: int, end: int) -> AsyncIterator[Leaf]:
        """Log indices ``[start, end)`` of one shard: entries, or the hashes of those that are out of scope."""
        ...


@dataclass(frozen=True)
class Wanted:
    """What else to look for. Seconds throughout; None: not.

    Mine are decisions for ``operator`` or about residents of ``city``; ``known`` gives, as of now, the ids and indices
    of those that I know of (text), and is None when none is expected to be known. ``grace_s``: how long an unknown one
    may take to become known, and what others hold may take to be shown here.
    """

    operator: str | None = None
    city: str | None = None
    known: Callable[[], Collection[str]] | None = None
    grace_s: float = 60.0
    silent_s: float | None = None
    mine_silent_s: float | None = None

    def is_mine(self, entry: Entry) -> bool:
        """Whether an entry is a decision of mine."""
        fields = entry.fields
        return entry.type == "decision" and (fields["operator"] == self.operator or fields["city"] == self.city)
