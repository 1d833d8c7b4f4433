"""Scenarios, their terms, and the pure evaluation of a rung (invariant I2).

A scenario offers ``base`` to everybody and better terms on its rungs; rung 0 *is* the base offer, so no answer can
make anybody worse off than a person without any score.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from gateway.domain.ids import CityId, OperatorId, ScenarioId
from gateway.domain.tier import Source

SECONDS_PER_DAY = 86_400
TimeGrain = Literal["minute", "day"]


@dataclass(frozen=True, slots=True)
class DepositWaiver:
    """No deposit is asked."""


@dataclass(frozen=True, slots=True)
class PercentageOff:
    """``percent`` (1 to 100) is taken off the price."""

    percent: int


@dataclass(frozen=True, slots=True)
class PayLater:
    """Use first, pay within ``days``."""

    days: int


@dataclass(frozen=True, slots=True)
class ExtraQuota:
    """Up to ``count`` of ``unit`` (a slug such as ``books``) at once."""

    unit: str
    count: int


@dataclass(frozen=True, slots=True)
class Priority:
    """Served without queuing."""


@dataclass(frozen=True, slots=True)
class FreePeriod:
    """The first ``minutes`` of each use are free."""

    minutes: int


@dataclass(frozen=True, slots=True)
class PapersLater:
    """An application is taken although papers are missing (容缺受理); they are handed in later."""


@dataclass(frozen=True, slots=True)
class Included:
    """``service`` (a slug such as ``site-shuttle``), which else costs, is free of charge."""

    service: str


Term = DepositWaiver | PercentageOff | PayLater | ExtraQuota | Priority | FreePeriod | PapersLater | Included


@dataclass(frozen=True, slots=True)
class Terms:
    """What an operator applies: typed items, and the same in words for the desk. No items: the ordinary service."""

    items: tuple[Term, ...]
    text_zh: str
    text_en: str


@dataclass(frozen=True, slots=True)
class Rung:
    """Terms for people whose tier level is at least ``level`` (1 to 3)."""

    level: int
    terms: Terms


@dataclass(frozen=True, slots=True)
class ConsentLimits:
    """What a consent for the scenario may be. Lifetimes in seconds.

    ``max_uses``: largest count a counted token may carry. ``unlimited``: whether tokens without a count (bound to the
    operator's key) may be issued at all.
    """

    max_lifetime_s: int
    max_uses: int
    unlimited: bool


@dataclass(frozen=True, slots=True)
class SupersededOffer:
    """An earlier condition for the host's own residents, as published, in its points; None: not found."""

    local_threshold: int | None
    text_zh: str
    text_en: str
    since: str | None
    until: str | None
    source: Source


@dataclass(frozen=True, slots=True)
class Scenario:
    """One incentive in one host city, as published or marked ``illustrative``.

    ``purpose`` is the code that consents carry; ``purpose_zh`` and ``purpose_en`` say it in a resident's words.
    ``local_threshold`` is the published one for the host's own residents, in the host city's points.
    """

    id: ScenarioId
    version: int
    host_city: CityId
    sector: str
    purpose: str
    name_zh: str
    name_en: str
    operators: tuple[OperatorId, ...]
    base: Terms
    rungs: tuple[Rung, ...]
    consent: ConsentLimits
    time_grain: TimeGrain
    effective_from: date
    effective_until: date | None
    illustrative: bool
    local_threshold: int | None
    source: Source
    purpose_zh: str = ""
    purpose_en: str = ""
    history: tuple[SupersededOffer, ...] = ()

    def cap(self, level: int) -> int:
        """Rung (0 to ``len(rungs)``) that a tier level reaches: all the scenario distinguishes, and no more."""
        rung = 0
        for number, item in enumerate(self.rungs, start=1):
            if level >= item.level:
                rung = number
        return rung

    def terms_of(self, rung: int) -> Terms:
        """Terms of a rung; rung 0 is the base offer. IndexError for a rung the scenario does not have."""
        if rung == 0:
            return self.base
        if rung < 0:
            raise IndexError(rung)
        return self.rungs[rung - 1].terms

    def is_open(self, operator: OperatorId, day: date) -> bool:
        """Whether ``operator`` may ask about this scenario on ``day`` (a UTC date)."""
        if operator not in self.operators or day < self.effective_from:
            return False
        return self.effective_until is None or day <= self.effective_until


@dataclass(frozen=True, slots=True)
class Operator:
    """A relying party as residents see it (PIPL 17, 23: name and contact of the receiver)."""

    id: OperatorId
    host_city: CityId
    name_zh: str
    name_en: str
    contact: str
    illustrative: bool
