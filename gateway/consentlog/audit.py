"""What one entry must mean in the light of those before it: the rules that export verification and fsck share.

1. The first entry, and no other, is a genesis, with the origin of the checkpoint.
2. A decision's bundle was published before it.
3. A decision names an earlier registration with the same city, operator and token commitment.
4. No decision on a consent is entitled after its withdrawal (I7), or while it is paused.
5. No consent is entitled once its erasure was asked for, and none decides after its erasure by order.
6. A contest names an earlier entry. (That it is a decision about a resident of the same city is the log's to hold.)
7. An auditor's read is of earlier entries, of at least one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from gateway.consentlog.entry import Entry, decode
from gateway.errors import Reason, TiergateError


class _Registration(NamedTuple):
    city: str
    operator: str
    token: str


class EntryAuditor:
    """Takes the entries in order and refuses the first that breaks a rule (LOG_CORRUPT, naming its index).

    Memory grows with the number of consents and bundles, not with the number of decisions.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._index = 0
        self._registered: dict[int, _Registration] = {}
        self._withdrawn: set[int] = set()
        self._paused: set[int] = set()
        self._locked: set[int] = set()
        self._bundles: set[str] = set()
        self._counts: Counter[str] = Counter()

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
        if self._index == 0:
            raise _broken("entry 0: the genesis is missing")
        self._index += 1

    def _check(self, entry: Entry) -> None:
        if (entry.type == "genesis") != (self._index == 0):
            raise _broken("a log starts with its genesis and has no other")
        match entry.type:
            case "genesis":
                if entry.text("origin") != self._origin:
                    raise _broken("genesis of another log")
            case "policy_published":
                self._bundles.add(entry.text("bundle"))
            case "consent_registered":
                self._registered[self._index] = _Registration(
                    entry.text("city"), entry.text("operator"), entry.text("token")
                )
            case "consent_withdrawn" | "consent_paused" | "consent_resumed" | "erasure_requested":
                self._check_change(entry)
            case "contest":
                if entry.number("decision") >= self._index:
                    raise _broken("contest of a later entry")
            case "decision":
                self._check_decision(entry)
            case "erasure":
                self._check_erasure(entry)
            case "audit_read":
                self._check_read(entry)

    def _check_read(self, entry: Entry) -> None:
        if not entry.number("start") < entry.number("end") <= self._index:
            raise _broken("read of no entry, or of later ones")

    def _check_change(self, entry: Entry) -> None:
        if "consent" not in entry.fields:
            return  # before its first answered check: there is no registration to point at
        consent = entry.number("consent")
        registration = self._registered.get(consent)
        if registration is None or registration.city != entry.text("city"):
            raise _broken("change of a consent that its city has not registered")
        match entry.type:
            case "consent_withdrawn":
                self._withdrawn.add(consent)
            case "consent_paused":
                self._paused.add(consent)
            case "erasure_requested":
                self._locked.add(consent)
            case _:
                self._paused.discard(consent)

    def _check_erasure(self, entry: Entry) -> None:
        if entry.fields.get("upto", 0) > self._index:  # type: ignore[operator]  # a number, by the schema
            raise _broken("erasure of later entries")
        if "consent" in entry.fields and self._registered.pop(entry.number("consent"), None) is None:
            raise _broken("erasure of a consent that is not registered, or is erased")

    def _check_decision(self, entry: Entry) -> None:
        consent = entry.number("consent")
        named = _Registration(entry.text("city"), entry.text("operator"), entry.text("token"))
        if self._registered.get(consent) != named:
            raise _broken("decision without an earlier registration of the same city, operator and token")
        if entry.text("outcome") == "entitled" and consent in self._withdrawn:
            raise _broken("entitled after withdrawal")
        if entry.text("outcome") == "entitled" and consent in self._paused:
            raise _broken("entitled while paused")
        if entry.text("outcome") == "entitled" and consent in self._locked:
            raise _broken("entitled after a request for erasure")
        if entry.text("bundle") not in self._bundles:
            raise _broken("decision under a bundle that was not published before")


def _broken(detail: str) -> TiergateError:
    return TiergateError(Reason.LOG_CORRUPT, detail)
