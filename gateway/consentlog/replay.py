"""Recomputes every decision of a log from its entry and the policy bundle that it names (I8).

The rules are the gateway's own (``gateway.domain``); here they are asked once more, at the logged time. What a decision
should have been is compared with what the log says; every difference has a code.

A rung is taken as the log states it: it is only held against what city and scenario can give at all. Who also has the
opened private payload lays one more check on :class:`Replayed`, which has everything that such a check needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from gateway.consentlog.entry import Entry
from gateway.consentlog.packed import PackedTable
from gateway.consentlog.shard import located
from gateway.crypto.attestation import MAX_LIFETIME_S
from gateway.domain.bundle import Bundle
from gateway.domain.decision import Outcome
from gateway.domain.evaluate import DAY_MS, GRAINS_MS, Evaluated, evaluate, logged_until, scenario_in_force, utc_day
from gateway.domain.ids import CityId, OperatorId, ScenarioId
from gateway.domain.scenario import Scenario
from gateway.domain.tier import Concordance
from gateway.errors import Reason, TiergateError

LIFETIME_MS = MAX_LIFETIME_S * 1000
END_MS = 253_402_300_800_000
"""The first millisecond that has no date here (the year 10000)."""
MAX_REMEMBERED = 20_000
"""Evaluations kept, of some 200 bytes: of (bundle, scenario, operator, city, rung, day), not of decisions."""


class Code(StrEnum):
    """What may be wrong with an entry in the light of its bundle. Stable."""

    BUNDLE_UNREADABLE = "BUNDLE_UNREADABLE"
    BUNDLE_EXPIRED = "BUNDLE_EXPIRED"
    BUNDLE_SUPERSEDED = "BUNDLE_SUPERSEDED"
    BUNDLE_NOT_EFFECTIVE = "BUNDLE_NOT_EFFECTIVE"
    VERSION_DIFFERS = "VERSION_DIFFERS"
    VERSION_FALLS = "VERSION_FALLS"
    SCENARIO_UNKNOWN = "SCENARIO_UNKNOWN"
    SCENARIO_NOT_OPEN = "SCENARIO_NOT_OPEN"
    CITY_NOT_ACCEPTED = "CITY_NOT_ACCEPTED"
    CITY_UNKNOWN = "CITY_UNKNOWN"
    CONCORDANCE_NOT_IN_FORCE = "CONCORDANCE_NOT_IN_FORCE"
    RUNG_NOT_DISTINGUISHED = "RUNG_NOT_DISTINGUISHED"
    RUNG_OUT_OF_REACH = "RUNG_OUT_OF_REACH"
    OUTCOME_DIFFERS = "OUTCOME_DIFFERS"
    ENTITLED_TO_BASE = "ENTITLED_TO_BASE"
    TIME_OUT_OF_RANGE = "TIME_OUT_OF_RANGE"
    TIME_OFF_GRAIN = "TIME_OFF_GRAIN"
    VALID_UNTIL_OFF_GRAIN = "VALID_UNTIL_OFF_GRAIN"
    VALID_UNTIL_TOO_EARLY = "VALID_UNTIL_TOO_EARLY"
    VALID_UNTIL_TOO_LATE = "VALID_UNTIL_TOO_LATE"
    OUTLIVES_CONSENT = "OUTLIVES_CONSENT"


MEANINGS: Mapping[Code, str] = {
    Code.BUNDLE_UNREADABLE: "the bundle does not follow its schema: nothing can be recomputed from it",
    Code.BUNDLE_EXPIRED: "the bundle's last day had passed at the logged time",
    Code.BUNDLE_SUPERSEDED: "a newer bundle had been in force for more than an attestation's lifetime",
    Code.BUNDLE_NOT_EFFECTIVE: "the bundle was not effective yet",
    Code.VERSION_DIFFERS: "the entry names another version than the bundle has",
    Code.VERSION_FALLS: "the version is not above that of the bundle published before",
    Code.SCENARIO_UNKNOWN: "the bundle has no such scenario",
    Code.SCENARIO_NOT_OPEN: "the scenario was not in force, or not open to this operator",
    Code.CITY_NOT_ACCEPTED: "the host did not honour this home city for the scenario, or that city did not vouch there",
    Code.CITY_UNKNOWN: "the bundle has no concordance of this home city",
    Code.CONCORDANCE_NOT_IN_FORCE: "the home city's concordance was not in force",
    Code.RUNG_NOT_DISTINGUISHED: "the scenario has no such rung",
    Code.RUNG_OUT_OF_REACH: "no score of this home city reaches that rung",
    Code.OUTCOME_DIFFERS: "the outcome does not follow from the rung",
    Code.ENTITLED_TO_BASE: "entitled, to terms that are the base offer",
    Code.TIME_OUT_OF_RANGE: "the time lies beyond the year 9999",
    Code.TIME_OFF_GRAIN: "the time is finer than the scenario's time grain",
    Code.VALID_UNTIL_OFF_GRAIN: "the end is finer than the scenario's time grain",
    Code.VALID_UNTIL_TOO_EARLY: "it ends before it begins",
    Code.VALID_UNTIL_TOO_LATE: "it ends later than any attestation lets it",
    Code.OUTLIVES_CONSENT: "it ends later than the consent",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry that is not what its bundle makes of it."""

    index: int
    code: Code


@dataclass(frozen=True, slots=True)
class Replayed:
    """One decision recomputed. ``bundle``, ``scenario`` and ``evaluated`` are None where there is nothing to say."""

    index: int
    entry: Entry
    bundle: Bundle | None
    scenario: Scenario | None
    evaluated: Evaluated | None
    differences: tuple[Difference, ...]


class _Rules(NamedTuple):
    """What holds for all decisions alike in bundle, scenario, operator, city, rung, outcome and day.

    The first minutes of a day are apart: an attestation of the day before may still live.
    """

    bundle: Bundle | None
    scenario: Scenario | None
    evaluated: Evaluated | None
    codes: tuple[Code, ...]


@dataclass(frozen=True, slots=True)
class _Published:
    """The newest publication: its bundle, and the version that its entry names."""

    digest: str
    version: int


class Replay:
    """Takes a verified log's entries in order, from the first on, also through several shards of one log.

    Memory grows with the number of consents (16 bytes each) and bundles, not with the number of decisions.
    """

    def __init__(self, read: Callable[[str], Bundle]) -> None:
        """``read`` gives a published bundle by its digest, read strictly; BUNDLE_INVALID when it cannot be."""
        self._read = read
        self._bundles: dict[str, Bundle | None] = {}
        self._newest: _Published | None = None
        self._published: dict[str, int] = {}
        """The shard that a bundle was last published in, by its digest."""
        self._superseded_ms: dict[str, int] = {}
        """From when a newer bundle was in force, by the digest of the older one (Unix milliseconds)."""
        self._consents = PackedTable(8)
        """Their ends, in milliseconds."""
        self._rules: dict[tuple[object, ...], _Rules] = {}
        self._index = -1
        self.decisions = 0
        self.counts: Counter[Code] = Counter()

    def take(self, index: int, entry: Entry) -> Replayed | None:
        """The next entry, at a log index, recomputed if it is a decision or differs; None for any other."""
        self._index = index
        if entry.type == "decision":
            self.decisions += 1
            found = self._decision(entry)
        elif entry.type == "policy_published":
            found = self._publication(entry)
        else:
            if entry.type == "consent_registered":
                self._consents.put(self._index, (entry.number("expires") * 1000).to_bytes(8, "big"))
            return None
        for difference in found.differences:
            self.counts[difference.code] += 1
        return found if entry.type == "decision" or found.differences else None

    def _publication(self, entry: Entry) -> Replayed:
        digest, version = entry.text("bundle"), entry.number("version")
        bundle = self._bundle(digest)
        codes: list[Code] = []
        if bundle is None:
            codes.append(Code.BUNDLE_UNREADABLE)
        elif bundle.version != version:
            codes.append(Code.VERSION_DIFFERS)
        shard, newest = located(self._index)[0], self._newest
        # a shard begins with the bundles that were in force or to come at its forerunner's end: nothing new is in that
        restated = self._published.get(digest, shard) < shard
        self._published[digest] = shard
        if not restated and newest is not None and newest.digest != digest and version <= newest.version:
            codes.append(Code.VERSION_FALLS)
        if not restated and (newest is None or newest.digest != digest):
            self._newest = _Published(digest, version)
            from_ms = max(entry.time, 0 if bundle is None else bundle.effective * 1000)
            for other in self._bundles:
                if other != digest:
                    self._superseded_ms[other] = min(from_ms, self._superseded_ms.get(other, from_ms))
        return self._replayed(entry, _Rules(bundle, None, None, tuple(codes)), ())

    def _decision(self, entry: Entry) -> Replayed:
        fields = entry.fields
        key = (
            fields["bundle"], fields["scenario"], fields["operator"], fields["city"], fields["rung"],
            fields["outcome"], entry.time // DAY_MS, entry.time % DAY_MS < LIFETIME_MS,
        )  # fmt: skip
        rules = self._rules.get(key)
        if rules is None:
            if len(self._rules) >= MAX_REMEMBERED:
                self._rules.clear()
            rules = self._rules[key] = self._look_up(entry)
        return self._replayed(entry, rules, self._of_times(entry, rules.scenario))

    def _replayed(self, entry: Entry, rules: _Rules, codes: tuple[Code, ...]) -> Replayed:
        differences = tuple(Difference(self._index, code) for code in (*rules.codes, *codes))
        return Replayed(self._index, entry, rules.bundle, rules.scenario, rules.evaluated, differences)

    def _look_up(self, entry: Entry) -> _Rules:
        bundle = self._bundle(entry.text("bundle"))
        if bundle is None:
            return _Rules(None, None, None, (Code.BUNDLE_UNREADABLE,))
        if entry.time >= END_MS:
            return _Rules(bundle, None, None, (Code.TIME_OUT_OF_RANGE,))
        codes = list(_of_city(bundle, CityId(entry.text("city")), entry.time))
        rung = entry.number("rung")
        if entry.text("outcome") != Outcome.of(rung).value:
            codes.append(Code.OUTCOME_DIFFERS)
        try:
            operator, home = OperatorId(entry.text("operator")), CityId(entry.text("city"))
            scenario = scenario_in_force(bundle, entry.text("scenario"), operator, home, utc_day(entry.time))
        except TiergateError as error:
            codes.append(_OF_REASON[error.reason])
            known = bundle.scenarios.get(ScenarioId(entry.text("scenario")))
            if known is None:
                return _Rules(bundle, None, None, tuple(codes))
            scenario = known
        city = CityId(entry.text("city"))
        try:
            evaluated = evaluate(bundle, scenario, city, rung)
        except IndexError:
            return _Rules(bundle, scenario, None, (*codes, Code.RUNG_NOT_DISTINGUISHED))
        concordance = bundle.concordances.get(city)
        if concordance is not None and rung not in _reachable(scenario, concordance):
            codes.append(Code.RUNG_OUT_OF_REACH)
        if rung > 0 and evaluated.terms.items == scenario.base.items:
            codes.append(Code.ENTITLED_TO_BASE)
        return _Rules(bundle, scenario, evaluated, tuple(codes))

    def _of_times(self, entry: Entry, scenario: Scenario | None) -> tuple[Code, ...]:
        time, until = entry.time, entry.number("valid_until")
        codes: list[Code] = []
        bundle = self._bundles.get(entry.text("bundle"))
        superseded_ms = self._superseded_ms.get(entry.text("bundle"))
        if superseded_ms is not None and time > superseded_ms + LIFETIME_MS:
            codes.append(Code.BUNDLE_SUPERSEDED)  # what was asked under the old one has ended by then
        if scenario is None:
            return tuple(codes)
        grain = GRAINS_MS[scenario.time_grain]
        if bundle is not None and time + grain <= bundle.effective * 1000:
            codes.append(Code.BUNDLE_NOT_EFFECTIVE)
        if time % grain:
            codes.append(Code.TIME_OFF_GRAIN)
        if until % grain:
            codes.append(Code.VALID_UNTIL_OFF_GRAIN)
        if until <= time:
            codes.append(Code.VALID_UNTIL_TOO_EARLY)
        if until > logged_until(time + grain - 1 + LIFETIME_MS, grain):  # the latest moment that is logged as ``time``
            codes.append(Code.VALID_UNTIL_TOO_LATE)
        expires = self._consents.get(entry.number("consent"))
        if expires is not None and until > logged_until(int.from_bytes(expires, "big"), grain):
            codes.append(Code.OUTLIVES_CONSENT)
        return tuple(codes)

    def _bundle(self, digest: str) -> Bundle | None:
        if digest not in self._bundles:
            try:
                self._bundles[digest] = self._read(digest)
            except TiergateError as error:
                if error.reason is not Reason.BUNDLE_INVALID:
                    raise
                self._bundles[digest] = None
        return self._bundles[digest]


_OF_REASON: Mapping[Reason, Code] = {
    Reason.RULES_OUT_OF_FORCE: Code.BUNDLE_EXPIRED,
    Reason.SCENARIO_UNKNOWN: Code.SCENARIO_UNKNOWN,
    Reason.SCENARIO_NOT_OPEN: Code.SCENARIO_NOT_OPEN,
    Reason.HOME_NOT_HONOURED: Code.CITY_NOT_ACCEPTED,
    Reason.HOST_NOT_VOUCHED: Code.CITY_NOT_ACCEPTED,
}


def _of_city(bundle: Bundle, city: CityId, time: int) -> Iterator[Code]:
    """The concordance has to be in force when the attestation was made: up to a lifetime before the decision."""
    found = bundle.concordances.get(city)
    if found is None:
        yield Code.CITY_UNKNOWN
    elif utc_day(time) < found.effective_from or (found.effective_until or utc_day(time)) < utc_day(time - LIFETIME_MS):
        yield Code.CONCORDANCE_NOT_IN_FORCE


def _reachable(scenario: Scenario, concordance: Concordance) -> set[int]:
    """The rungs that some score of the city gives; the base offer is open to everybody."""
    return {0, *(scenario.cap(cut.level) for cut in concordance.cuts)}
