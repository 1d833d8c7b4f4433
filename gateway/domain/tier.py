"""The common tier scale and the concordances that map a city's score onto it (DESIGN: tier mapping).

A tier is a position: level 0 is ``ordinary``, levels 1 to 3 are positive. No negative tier exists anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from gateway.domain.ids import CityId, TierId

Confidence = Literal["high", "medium", "low", "none"]
LinkingDesign = Literal["band", "norm", "movers", "outcome"]
MAX_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Source:
    """Where a published fact comes from. ``url`` is empty where no address may be named; ``note`` says it then.

    ``published`` is the source's date as written there: ``YYYY[-MM[-DD]]`` or ``undated``.
    """

    url: str
    published: str
    confidence: Confidence
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tier:
    """One step of the common scale. ``level`` 0 is ``ordinary``."""

    id: TierId
    level: int
    name_zh: str
    name_en: str


@dataclass(frozen=True, slots=True)
class TierScale:
    """The whole scale, in order of level, starting with ``ordinary``."""

    tiers: tuple[Tier, ...]

    def level_of(self, tier: TierId) -> int:
        """Level of a tier id; KeyError for an unknown one (the loader has checked all ids)."""
        for item in self.tiers:
            if item.id == tier:
                return item.level
        raise KeyError(tier)


@dataclass(frozen=True, slots=True)
class Measured:
    """How far a cut is known by measurement: ``standard_error`` in the city's points, over ``sample`` people."""

    standard_error: int
    sample: int
    as_of: str
    source: Source


@dataclass(frozen=True, slots=True)
class Cut:
    """Scores at or above ``minimum`` (in the city's own points) reach ``level``."""

    level: int
    minimum: int
    label_zh: str
    source: Source
    measured: Measured | None = None


@dataclass(frozen=True, slots=True)
class Band:
    """A level as the city publishes it, in its own points, both ends included; None: not published."""

    label_zh: str
    minimum: int | None
    maximum: int | None
    source: Source


@dataclass(frozen=True, slots=True)
class BandTable:
    """A table of levels that was replaced. ``since`` and ``until`` as the source gives them; None: not found."""

    bands: tuple[Band, ...]
    since: str | None
    until: str | None
    source: Source


@dataclass(frozen=True, slots=True)
class Concordance:
    """How one city's score maps to the common scale: a concordance, not an equating.

    ``range_source``: of ``score_min`` and ``score_max``. ``bands`` and ``history`` are what the city publishes and has
    published; only the cuts decide anything. ``cuts`` rise strictly in level and minimum. ``max_age_days``: a score
    whose ``as_of`` is older is stale (rung 0).
    """

    city: CityId
    version: int
    score_name_zh: str
    score_name_en: str
    score_min: int
    score_max: int
    design: LinkingDesign
    cuts: tuple[Cut, ...]
    max_age_days: int
    effective_from: date
    effective_until: date | None
    illustrative: bool
    source: Source
    range_source: Source
    name_zh: str = ""
    name_en: str = ""
    bands: tuple[Band, ...] = ()
    history: tuple[BandTable, ...] = ()

    def level_of(self, points: int) -> int:
        """Tier level (0 to 3) of a score in the city's own points. Both ends of the range are inside.

        Raises ValueError for points outside the range (a fault of the platform's record, never a tier).
        """
        if not self.score_min <= points <= self.score_max:
            raise ValueError("score outside the concordance's range")
        level = 0
        for cut in self.cuts:
            if points >= cut.minimum:
                level = cut.level
        return level
