"""The policy bundle as the services see it: tier scale, concordances, scenarios, operators, notice template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from gateway.domain.acceptance import Acceptance, Standing, standing_of
from gateway.domain.ids import BundleDigest, CityId, OperatorId, ScenarioId
from gateway.domain.scenario import Operator, Scenario
from gateway.domain.tier import Concordance, TierScale
from gateway.errors import Reason, TiergateError

_CLOSED: Final[Mapping[Standing, Reason]] = {
    "not-vouched": Reason.HOST_NOT_VOUCHED,
    "not-honoured": Reason.HOME_NOT_HONOURED,
    "closed": Reason.HOME_NOT_HONOURED,
}


@dataclass(frozen=True, slots=True)
class NoticeTemplate:
    """The registered consent notice in both languages.

    Placeholders in braces: ``operator_name``, ``operator_contact``, ``scenario_name``, ``purpose``, ``city_name``,
    ``lifetime``, ``uses``; ``present``, who must be there at a check; ``without``, the base offer; ``at_best``, what
    the consent can bring at best, marked where it is illustrative. Never anything about a person.
    """

    id: str
    version: int
    text_zh: str
    text_en: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """One content-addressed set of policies. ``digest`` is the SHA-256 of the canonical bytes it was read from."""

    digest: BundleDigest
    version: int
    expires: date
    scale: TierScale
    concordances: Mapping[CityId, Concordance]
    scenarios: Mapping[ScenarioId, Scenario]
    operators: Mapping[OperatorId, Operator]
    acceptance: Mapping[CityId, Acceptance]
    notice: NoticeTemplate
    effective: int = 0
    """From when (Unix seconds) it takes the place of the one before; 0: at once."""
    grace_s: int = 0
    """For how many seconds after that a peer may still ask under the one before."""
    directory_from: int = 1
    """The lowest version of the peer directory that it goes with."""

    def scenario_for(self, scenario: str, operator: OperatorId, home: CityId, day: date) -> Scenario:
        """The scenario, if it is in force, open to the operator, and open to residents of ``home`` on both sides.

        Raises SCENARIO_UNKNOWN, SCENARIO_NOT_OPEN, HOME_NOT_HONOURED or HOST_NOT_VOUCHED.
        """
        found = self.scenarios.get(ScenarioId(scenario))
        if found is None:
            raise TiergateError(Reason.SCENARIO_UNKNOWN)
        if not found.is_open(operator, day):
            raise TiergateError(Reason.SCENARIO_NOT_OPEN)
        standing = standing_of(self.acceptance, home, found, day)
        if standing != "open":
            raise TiergateError(_CLOSED[standing])
        return found


CLOCK_AHEAD_S = 10
"""How much earlier than here another peer's clock may bring a new bundle into force."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The bundles that a process holds, in order of version: at each moment the newest effective one is in force.

    Nothing has to be done at the moment of the change, and no check fails for it: each peer that holds both bundles
    turns by its own clock, and answers under the one before for as long as the new one's grace lasts.
    """

    bundles: tuple[Bundle, ...]

    def at(self, now_s: float) -> Bundle:
        """The bundle in force at a Unix time. Raises BUNDLE_INVALID when none is effective yet."""
        for bundle in reversed(self.bundles):
            if bundle.effective <= now_s:
                return bundle
        raise TiergateError(Reason.BUNDLE_INVALID, "no bundle is effective yet")

    def held(self, digest: BundleDigest) -> Bundle | None:
        """The bundle of a digest, whether or not anybody may ask under it still: to tell what was answered under it."""
        return next((bundle for bundle in self.bundles if bundle.digest == digest), None)

    def named(self, digest: BundleDigest, now_s: float) -> Bundle:
        """The bundle of a digest, if a peer may ask under it now: it is in force, in grace, or about to be in force.

        Raises BUNDLE_MISMATCH.
        """
        for place, bundle in enumerate(self.bundles):
            if bundle.digest != digest:
                continue
            ends = min((item.effective + item.grace_s for item in self.bundles[place + 1 :]), default=now_s + 1)
            if bundle.effective - CLOCK_AHEAD_S <= now_s < ends:
                return bundle
        raise TiergateError(Reason.BUNDLE_MISMATCH, "asked under a bundle that is not in force, nor in grace")
