"""Holds the gateway's log against a city's journal: what one of the two knows and the other does not.

Both are read in the order of the log, side by side. Many decisions on one attestation are usual; one that is lower than
attested is so when its consent was withdrawn, paused, or to be erased: the log shows that, and nothing else lowers one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.consentlog.entry import Entry, decode
from gateway.consentlog.journal import Attested, Journal, Use
from gateway.crypto.attestation import MAX_LIFETIME_S
from gateway.crypto.consent import MAX_CLOCK_AHEAD_S
from gateway.errors import TiergateError

LIFETIME_MS = MAX_LIFETIME_S * 1000
CLOCKS_MS = MAX_CLOCK_AHEAD_S * 1000
REPORT_DEADLINE_MS = 300_000
"""How old an unreported decision may be: an honest gateway that is later stops answering from its cache."""

_SILENCING = frozenset({"consent_withdrawn", "consent_paused", "consent_resumed", "erasure_requested"})

Grain = Callable[[str, str], int]
"""The time grain (milliseconds) of a scenario, by bundle digest and scenario id: how much logged times are rounded."""


class Code(StrEnum):
    """How log and journal may disagree. Stable."""

    MISSING = "MISSING"
    NOT_REPORTED = "NOT_REPORTED"
    UNEXPECTED = "UNEXPECTED"
    DIFFERENT = "DIFFERENT"
    NOT_PROVED = "NOT_PROVED"
    UNATTRIBUTED = "UNATTRIBUTED"
    OTHER_QUESTION = "OTHER_QUESTION"
    LOWER_THAN_ATTESTED = "LOWER_THAN_ATTESTED"
    HIGHER_THAN_ATTESTED = "HIGHER_THAN_ATTESTED"
    ATTESTATION_ENDED = "ATTESTATION_ENDED"
    NOT_DECIDED = "NOT_DECIDED"


MEANINGS: Mapping[Code, str] = {
    Code.MISSING: "in the log; the journal has later reports, and not this one",
    Code.NOT_REPORTED: "in the log, and not reported to the city within the deadline",
    Code.UNEXPECTED: "in the journal; the log has no decision about this city's residents there",
    Code.DIFFERENT: "the log has another entry, or the report named another outcome",
    Code.NOT_PROVED: "the city holds no proof that leads to a checkpoint of the log",
    Code.UNATTRIBUTED: "decided on an attestation that the city did not give",
    Code.OTHER_QUESTION: "decided on an attestation for another operator, scenario or bundle",
    Code.LOWER_THAN_ATTESTED: "lower than attested, and the consent neither withdrawn, paused nor to be erased",
    Code.HIGHER_THAN_ATTESTED: "higher than attested",
    Code.ATTESTATION_ENDED: "decided outside of its attestation's lifetime: after its end, or before it was made",
    Code.NOT_DECIDED: "attested, and no report of a decision within the deadline",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement: at a log index, or about an attestation (SHA-256 of its id, hex) that no report names."""

    code: Code
    index: int | None = None
    attestation: str | None = None


class Reconciliation:
    """Takes a verified log's entries in order, all or those in a scope that has the city; :meth:`finish` ends it.

    Memory grows with the city's consents that are withdrawn or paused and with what disagrees, not with the log.
    """

    def __init__(self, journal: Journal, grain: Grain, start: int = 0) -> None:
        """``start``: log index of the first entry that is given; of what lies before, nothing is said."""
        self._header = journal.header
        self._start = start
        self._records = journal.records()
        self._grain = grain
        self._ended: set[int] = set()
        self._paused: set[int] = set()
        # index and time of changes of consents not known yet: of two lifetimes, as times are not quite in order
        self._unnamed: deque[tuple[int, int]] = deque()
        self._excused: set[int] = set()
        self.findings: list[Finding] = []
        self.counts: Counter[Code] = Counter()
        self.compared = 0
        self.lowered = 0
        """Decisions below what was attested because their consent was silent."""
        self.waiting = 0
        """Decisions not reported yet, attestations without a decision yet: within the deadline."""
        self.beyond = 0
        """Uses before the beginning or beyond the end of the log that was given."""
        self._next = next(self._records, None)
        while isinstance(use := self._next, Use) and use.index < start:
            self.beyond += 1
            self._next = next(self._records, None)

    def take(self, index: int, entry: Entry) -> None:
        """The next entry, at a log index. Raises SIGNATURE_INVALID for a journal that is none after all."""
        of_city = entry.fields.get("city") == self._header.city
        if of_city and entry.type in _SILENCING:
            self._change(index, entry)
        use = self._use_at(index)
        if not of_city or entry.type != "decision":
            if use is not None:
                self._find(Code.UNEXPECTED, index)
        elif use is None:
            self._unreported(index, entry)
        else:
            self._compare(index, entry, use)

    def finish(self, size: int) -> None:
        """The log has ended, with ``size`` entries: what is left of the journal. Raises as :meth:`take`."""
        self._pass_by(size)
        while (record := self._next) is not None:
            self._next = next(self._records, None)
            if isinstance(record, Use):
                self.beyond += 1
            elif self._is_late(record.attested.at * 1000, record.attested.bundle, record.attested.scenario):
                self._find(Code.NOT_DECIDED, attestation=record.attestation)
            else:
                self.waiting += 1

    def _pass_by(self, index: int) -> None:
        """Uses before an index that are still there: of entries that are none of the city's."""
        while isinstance(record := self._next, Use) and record.index < index:
            self._find(Code.UNEXPECTED, record.index)
            self._next = next(self._records, None)

    def _use_at(self, index: int) -> Use | None:
        self._pass_by(index)
        record = self._next
        if not isinstance(record, Use) or record.index != index:
            return None
        self._next = next(self._records, None)
        return record

    def _find(self, code: Code, index: int | None = None, attestation: str | None = None) -> None:
        self.counts[code] += 1
        self.findings.append(Finding(code, index, attestation))

    def _change(self, index: int, entry: Entry) -> None:
        if "consent" not in entry.fields:
            if entry.type != "consent_resumed":
                while self._unnamed and self._unnamed[0][1] + 2 * LIFETIME_MS < entry.time:
                    self._unnamed.popleft()
                self._unnamed.append((index, entry.time))
            return
        consent = entry.number("consent")
        match entry.type:
            case "consent_paused":
                self._paused.add(consent)
            case "consent_resumed":
                self._paused.discard(consent)
            case _:
                self._ended.add(consent)

    def _unreported(self, index: int, entry: Entry) -> None:
        header = self._header
        if index < header.first or (header.end is not None and index >= header.end):
            return
        if index < header.reported:
            self._find(Code.MISSING, index)  # reports come in the order of the log: a gap is none that waits
        elif self._is_late(entry.time, entry.text("bundle"), entry.text("scenario")):
            self._find(Code.NOT_REPORTED, index)
        else:
            self.waiting += 1

    def _is_late(self, time_ms: int, bundle: str, scenario: str) -> bool:
        return time_ms + self._grain(bundle, scenario) + REPORT_DEADLINE_MS <= self._header.made_at * 1000

    def _compare(self, index: int, entry: Entry, use: Use) -> None:
        self.compared += 1
        try:
            same = decode(use.entry) == entry  # an entry has one byte form alone
        except TiergateError:
            same = False
        if not same or use.outcome != entry.text("outcome"):
            self._find(Code.DIFFERENT, index)
        if not use.proved:
            self._find(Code.NOT_PROVED, index)
        attested, rung = use.attested, entry.number("rung")
        if attested is None:
            self._find(Code.UNATTRIBUTED, index)
        elif attested[:3] != (entry.text("operator"), entry.text("scenario"), entry.text("bundle")):
            self._find(Code.OTHER_QUESTION, index)
        elif rung > attested.rung:
            self._find(Code.HIGHER_THAN_ATTESTED, index)
        elif rung < attested.rung and not self._may_be_lower(entry):
            self._find(Code.LOWER_THAN_ATTESTED, index)
        elif rung < attested.rung:
            self.lowered += 1
        if attested is not None and not self._lives(attested, entry.time):
            self._find(Code.ATTESTATION_ENDED, index)

    def _lives(self, attested: Attested, time: int) -> bool:
        """Whether the log may have this time for a decision on it; two clocks may be on two sides of a grain's end."""
        at, grain = attested.at * 1000, self._grain(attested.bundle, attested.scenario)
        return at - grain - CLOCKS_MS <= time <= at + grain + LIFETIME_MS

    def _may_be_lower(self, entry: Entry) -> bool:
        """Whether the log shows that the consent was silent when this was decided."""
        consent = entry.number("consent")
        if consent in self._ended or consent in self._paused or consent in self._excused or consent < self._start:
            return True  # the last: of a consent of an earlier shard, which may show it
        # ended before its first decision: the change names no registration, but it comes before it, and what was
        # attested before it has ended a lifetime later. It is of one consent, and excuses no second one
        for change in self._unnamed:
            if change[0] < consent and entry.time <= change[1] + LIFETIME_MS:
                self._unnamed.remove(change)
                self._excused.add(consent)
                return True
        return False
