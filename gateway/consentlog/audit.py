"""What one entry must mean in the light of those before it: the rules that export verification and fsck share.

1. The first entry, and no other, is a genesis, with the origin of the checkpoint.
2. A decision's bundle was published before it.
3. A decision names an earlier registration with the same city, operator and token commitment.
4. No decision on a consent is entitled after its withdrawal (I7), or while it is paused.
5. No consent is entitled once its erasure was asked for, and none decides after its erasure by order, which names the
   city of its registration.
6. A contest names an earlier entry. (That it is a decision about a resident of the same city is the log's to hold.)
7. An auditor's read is of earlier entries, of at least one.
8. Nothing comes after the seal of a shard.
9. Every entry was made while the trust file trusts the shard's key, if it says from when until when it does.
10. No change of the directory is of an older version than one before it in the shard.

All of it holds across shards: consents and what silences them are carried from one to the next. Bundles are not: each
shard restates what is in force.
"""

from __future__ import annotations

import base64
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.consentlog.entry import Entry, decode
from gateway.consentlog.packed import PackedTable
from gateway.consentlog.shard import first_of, number_of
from gateway.consentlog.trust import ALWAYS, Window
from gateway.errors import Reason, TiergateError

_REGISTRATION = struct.Struct(">II32s")
"""Numbers of its city and operator, and the token commitment."""


@dataclass
class _Consents:
    """What entries have said of consents. ``unseen``: registrations below this index are in shards that nobody gave."""

    unseen: int
    registered: PackedTable = field(default_factory=lambda: PackedTable(_REGISTRATION.size))
    numbers: dict[str, int] = field(default_factory=dict)
    """Of cities and operators, of which there are few."""
    withdrawn: set[int] = field(default_factory=set)
    paused: set[int] = field(default_factory=set)
    locked: set[int] = field(default_factory=set)
    erased: set[int] = field(default_factory=set)

    def registration(self, entry: Entry) -> bytes:
        """What an entry says of a registration."""
        numbers = self.numbers
        city = numbers.setdefault(entry.text("city"), len(numbers))
        operator = numbers.setdefault(entry.text("operator"), len(numbers))
        return _REGISTRATION.pack(city, operator, bytes.fromhex(entry.text("token")))

    def is_of(self, registration: bytes, city: str) -> bool:
        """Whether a registration is of this city."""
        found: int = _REGISTRATION.unpack(registration)[0]
        return found == self.numbers.get(city)


class EntryAuditor:
    """Takes the entries in order and refuses the first that breaks a rule (LOG_CORRUPT, naming its index).

    Memory grows with the number of consents (48 bytes each) and bundles, not with the number of decisions.
    """

    def __init__(self, origin: str, before: EntryAuditor | None = None, window: Window = ALWAYS) -> None:
        """``before``: what audited the shard before, to its end; without it, what rests on earlier ones is counted.

        See :attr:`unchecked`. ``window``: when the key of this shard is trusted.
        """
        self._origin = origin
        self._window = window
        self._first = self._index = first_of(number_of(origin))
        self._consents = _Consents(unseen=self._first) if before is None else before.carried
        self._bundles: set[str] = set()
        self._directory = 0
        self._counts: Counter[str] = Counter()
        self.unchecked: Counter[str] = Counter()
        """What could not be held against earlier shards, which were not given: by what it is of, how many entries."""
        self.deployment = ""
        self.previous: bytes | None = None
        """The last checkpoint of the shard before this one, as the genesis has it."""
        self.next: str | None = None
        """The key of the shard after this one (vkey), once this one is sealed."""

    @property
    def carried(self) -> _Consents:
        """What is known of consents by now: for the next shard, after which this auditor takes nothing more."""
        return self._consents

    @property
    def index(self) -> int:
        """Log index of the next entry."""
        return self._index

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of entries by type."""
        return dict(sorted(self._counts.items()))

    @property
    def bundles(self) -> frozenset[str]:
        """Digests of all published bundles."""
        return frozenset(self._bundles)

    def add(self, raw: bytes) -> Entry:
        """Check the next entry; returns it decoded."""
        try:
            entry = decode(raw)
            self._check(entry)
        except TiergateError as error:
            raise TiergateError(error.reason, f"entry {self._index}: {error.detail}") from error
        self._counts[entry.type] += 1
        self._index += 1
        return entry

    def skip(self) -> None:
        """Pass over an entry that is outside the scope of whoever looks; the first one is outside nobody's."""
        if self._index == self._first:
            raise _broken(f"entry {self._index}: the genesis is missing")
        if self.next is not None:
            raise _broken(f"entry {self._index}: after the seal")
        self._index += 1

    def _check(self, entry: Entry) -> None:
        self._check_place(entry)
        match entry.type:
            case "genesis":
                self._check_genesis(entry)
            case "policy_published":
                self._bundles.add(entry.text("bundle"))
            case "consent_registered":
                self._consents.registered.put(self._index, self._consents.registration(entry))
            case "consent_withdrawn" | "consent_paused" | "consent_resumed" | "erasure_requested":
                self._check_change(entry)
            case "decision":
                self._check_decision(entry)
            case "erasure":
                self._check_erasure(entry)
            case _:
                self._check_other(entry)

    def _check_place(self, entry: Entry) -> None:
        if (entry.type == "genesis") != (self._index == self._first):
            raise _broken("a log starts with its genesis and has no other")
        if self.next is not None:
            raise _broken("after the seal")
        if not self._window.holds(entry.time):
            raise _broken("made when the trust file does not trust the log's key")

    def _check_genesis(self, entry: Entry) -> None:
        if entry.text("origin") != self._origin:
            raise _broken("genesis of another log")
        self.deployment = entry.text("deployment")
        if "previous" in entry.fields:
            self.previous = base64.b64decode(entry.text("previous"))

    def _check_other(self, entry: Entry) -> None:
        if entry.type == "contest" and entry.number("decision") >= self._index:
            raise _broken("contest of a later entry")
        if entry.type == "audit_read":
            self._check_read(entry)
        if entry.type in {"peer_changed", "key_rotated"}:
            if entry.number("directory") < self._directory:
                raise _broken("change of an older directory than the one before it")
            self._directory = entry.number("directory")
        if entry.type == "shard_sealed":
            self.next = entry.text("next")
            if number_of(self.next.partition("+")[0]) != number_of(self._origin) + 1:
                raise _broken("sealed for another shard than the next")

    def _check_read(self, entry: Entry) -> None:
        if not entry.number("start") < entry.number("end") <= self._index:
            raise _broken("read of no entry, or of later ones")

    def _check_change(self, entry: Entry) -> None:
        if "consent" not in entry.fields:
            return  # before its first answered check: there is no registration to point at
        consent = entry.number("consent")
        registration = self._consents.registered.get(consent)
        if registration is None and consent < self._consents.unseen:
            self.unchecked["changes of consents"] += 1
        elif registration is None or not self._consents.is_of(registration, entry.text("city")):
            raise _broken("change of a consent that its city has not registered")
        match entry.type:
            case "consent_withdrawn":
                self._consents.withdrawn.add(consent)
            case "consent_paused":
                self._consents.paused.add(consent)
            case "erasure_requested":
                self._consents.locked.add(consent)
            case _:
                self._consents.paused.discard(consent)

    def _check_erasure(self, entry: Entry) -> None:
        if entry.fields.get("upto", 0) > self._index:  # type: ignore[operator]  # a number, by the schema
            raise _broken("erasure of later entries")
        if "consent" not in entry.fields:
            return
        consent = entry.number("consent")
        registration = self._consents.registered.get(consent)
        if registration is None:
            if consent >= self._consents.unseen or consent in self._consents.erased:
                raise _broken("erasure of a consent that is not registered, or is erased")
            self.unchecked["erasures"] += 1
        elif not self._consents.is_of(registration, entry.text("city")):
            raise _broken("erasure of a consent that its city has not registered")
        self._consents.registered.drop(consent)
        self._consents.erased.add(consent)

    def _check_decision(self, entry: Entry) -> None:
        consent = entry.number("consent")
        named = self._consents.registration(entry)
        known = self._consents.registered.get(consent)
        if known is None and consent < self._consents.unseen and consent not in self._consents.erased:
            self.unchecked["registrations"] += 1  # the first decision stands for it: later ones must agree
            known = named
            self._consents.registered.put(consent, named)
        if known != named:
            raise _broken("decision without an earlier registration of the same city, operator and token")
        if entry.text("outcome") == "entitled" and consent in self._consents.withdrawn:
            raise _broken("entitled after withdrawal")
        if entry.text("outcome") == "entitled" and consent in self._consents.paused:
            raise _broken("entitled while paused")
        if entry.text("outcome") == "entitled" and consent in self._consents.locked:
            raise _broken("entitled after a request for erasure")
        if entry.text("bundle") not in self._bundles:
            raise _broken("decision under a bundle that was not published before")


def _broken(detail: str) -> TiergateError:
    return TiergateError(Reason.LOG_CORRUPT, detail)
