"""The shape of each policy file, strictly: unknown keys, wrong types and values out of range are problems.

The same models describe the files under ``policies/`` (TOML) and their members in the policy bundle (JSON), so that
one set of rules holds for both. Rules that need more than one value or file are in ``gateway.policy.check``.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from gateway.domain.scenario import TimeGrain
from gateway.domain.tier import MAX_LEVEL, Confidence, LinkingDesign
from gateway.policy.fields import (
    MOVEMENT_SECTORS,
    SAFE_INTEGER,
    Dated,
    Line,
    Points,
    Sector,
    Slug,
    Strict,
    Template,
    Url,
    Version,
    sector,
)
from gateway.policy.terms_schema import TermDoc, TermDocs, TermsDoc

__all__ = [
    "MOVEMENT_SECTORS",
    "SAFE_INTEGER",
    "Line",
    "Points",
    "Sector",
    "Slug",
    "Strict",
    "Template",
    "TermDoc",
    "TermDocs",
    "TermsDoc",
    "Url",
    "Version",
]


class SourceDoc(Strict):
    """Where a published fact comes from: an address, or, where none may be linked, a note that says it in words."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["url"]}, {"required": ["note"]}]})

    url: Url | None = None
    published: Dated
    confidence: Confidence
    note: Line | None = None

    @model_validator(mode="after")
    def _said(self) -> Self:
        if self.url is None and self.note is None:
            raise ValueError("has neither url nor note: say where it comes from")
        return self


class TierDoc(Strict):
    """One tier; its level is its place in the list."""

    id: Slug
    name_zh: Line
    name_en: Line


class ScaleFile(Strict):
    """``tier-scale.toml``: ``ordinary`` and the positive tiers, lowest first."""

    version: Version
    tiers: Annotated[list[TierDoc], Field(min_length=MAX_LEVEL + 1, max_length=MAX_LEVEL + 1)]


class MeasuredDoc(Strict):
    """How far a cut is known by measurement. Nothing is decided by it: it is carried and shown, for whoever measures.

    ``standard_error``: in the city's points, rounded up. ``sample``: people measured. ``as_of``: when.
    """

    standard_error: Annotated[int, Field(ge=0, le=SAFE_INTEGER)]
    sample: Annotated[int, Field(ge=1, le=SAFE_INTEGER)]
    as_of: Dated
    source: SourceDoc


class CutDoc(Strict):
    """Scores at or above ``minimum`` reach ``tier``. Without a source of its own the file's source holds."""

    tier: Slug
    minimum: Points
    label_zh: Line
    source: SourceDoc | None = None
    measured: MeasuredDoc | None = None


class BandDoc(Strict):
    """A level as the city publishes it, whether or not a tier begins there; both ends belong to it, if published."""

    label_zh: Line
    minimum: Points | None = None
    maximum: Points | None = None
    source: SourceDoc | None = None


class Superseded(Strict):
    """Something published that holds no more. ``since`` and ``until`` as the sources give them; absent: not found."""

    since: Dated | None = None
    until: Dated | None = None
    source: SourceDoc


class BandsHistory(Superseded):
    """An earlier table of a city's levels."""

    bands: Annotated[list[BandDoc], Field(min_length=1, max_length=20)]


class OfferHistory(Superseded):
    """An earlier condition of an offer for the host's own residents."""

    local_threshold: Points | None = None
    text_zh: Line
    text_en: Line


class Named(Strict):
    """A file that is named after its id."""

    id: Slug


class CityFile(Named):
    """``cities/<id>.toml``: one city's concordance.

    ``name_*``: of the place, for texts that name it; without them its id stands there. ``range_source``: of the
    score's range, where it is not the file's. ``bands`` are all levels as
    published, ``history`` the tables that they replaced: both are shown, and nothing is decided by them.
    """

    version: Version
    name_zh: Line | None = None
    name_en: Line | None = None
    score_name_zh: Line
    score_name_en: Line
    score_min: Points
    score_max: Points
    range_source: SourceDoc | None = None
    design: LinkingDesign
    max_age_days: Annotated[int, Field(ge=1, le=3660)]
    effective_from: date
    effective_until: date | None = None
    illustrative: bool
    source: SourceDoc
    cuts: Annotated[list[CutDoc], Field(min_length=1, max_length=MAX_LEVEL)]
    bands: Annotated[list[BandDoc], Field(max_length=20)] | None = None
    history: Annotated[list[BandsHistory], Field(max_length=20)] | None = None


class RungDoc(TermsDoc):
    """Better terms from a tier on."""

    tier: Slug


class ConsentDoc(Strict):
    """Limits of a consent for the scenario."""

    max_lifetime_days: Annotated[int, Field(ge=1, le=366)]
    max_uses: Annotated[int, Field(ge=1, le=1000)]
    unlimited: bool


class ScenarioFile(Named):
    """One incentive of one host city: ``scenarios/<id>.toml``, or one row of it (see ``gateway.policy.rows``).

    ``history``: earlier conditions of the offer, as published; they are shown, and nothing is decided by them.
    """

    version: Version
    host_city: Slug
    sector: Annotated[Sector, BeforeValidator(sector)]
    purpose: Slug
    purpose_zh: Line
    purpose_en: Line
    name_zh: Line
    name_en: Line
    operators: Annotated[list[Slug], Field(min_length=1, max_length=1000)]
    time_grain: TimeGrain
    effective_from: date
    effective_until: date | None = None
    illustrative: bool
    local_threshold: Points | None = None
    base: TermsDoc
    rungs: Annotated[list[RungDoc], Field(min_length=1, max_length=MAX_LEVEL)]
    consent: ConsentDoc
    source: SourceDoc
    history: Annotated[list[OfferHistory], Field(max_length=20)] | None = None


class AcceptanceDoc(Strict):
    """For these scenarios, ``*`` for all of them, from and until these days (UTC, both included)."""

    scenarios: Annotated[list[Slug | Literal["*"]], Field(min_length=1, max_length=10_000)]
    effective_from: date
    effective_until: date | None = None


class HonourDoc(AcceptanceDoc):
    """Tiers of these home cities (``*``: of all) count for scenarios of this city."""

    homes: Annotated[list[Slug | Literal["*"]], Field(min_length=1, max_length=1000)]


class VouchDoc(AcceptanceDoc):
    """This city's residents may use scenarios of these host cities (``*``: of all)."""

    hosts: Annotated[list[Slug | Literal["*"]], Field(min_length=1, max_length=1000)]


class AcceptanceFile(Named):
    """``acceptance/<city>.toml``: whom a city lets in, as a host, and where it lets its own residents go.

    A pair of cities is open for a scenario when both have said so; whatever nobody states is refused. ``source``:
    where the city published its decision, if it did.
    """

    version: Version
    illustrative: bool
    source: SourceDoc | None = None
    honours: Annotated[list[HonourDoc], Field(max_length=1000)]
    vouches: Annotated[list[VouchDoc], Field(max_length=1000)]


class OperatorFile(Named):
    """A relying party, as residents are told about it: ``operators/<id>.toml``, or one row of a file."""

    host_city: Slug
    name_zh: Line
    name_en: Line
    contact: Line
    illustrative: bool


class NoticeFile(Strict):
    """``notice.toml``: the registered consent notice."""

    id: Slug
    version: Version
    text_zh: Template
    text_en: Template
