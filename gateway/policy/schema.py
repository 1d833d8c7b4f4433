"""The shape of each policy file, strictly: unknown keys, wrong types and values out of range are problems.

The same models describe the files under ``policies/`` (TOML) and their members in the policy bundle (JSON), so that
one set of rules holds for both. Rules that need more than one value or file are in ``gateway.policy.check``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from gateway.domain.ids import SLUG
from gateway.domain.notice import PLACEHOLDERS, placeholders_in
from gateway.domain.scenario import TimeGrain
from gateway.domain.tier import MAX_LEVEL, Confidence, LinkingDesign

SAFE_INTEGER = 2**53 - 1
"""Largest integer that canonical JSON carries exactly (RFC 8785, section 3.2.2.3; RFC 7493, section 2.2)."""

Sector = Literal[
    "library",
    "transit",
    "rental",
    "parking",
    "bike",
    "government-service",
    "tourism",
    "culture",
    "sports",
    "health",
]
"""Areas of public service that scenarios may be in. Finance is left out on purpose: giving credit information to
lenders is credit reporting (征信业管理条例, articles 2, 18, 20, 25), which this network does not do."""

MOVEMENT_SECTORS: frozenset[str] = frozenset({"transit", "parking", "bike"})
"""Sectors whose use times are a movement profile (PIPL 28: tracks): only the day is kept."""

_PUBLISHED = re.compile(r"undated|\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?")


def _slug(text: str) -> str:
    if not SLUG.match(text):
        raise ValueError("must be 1 to 48 of a-z, 0-9 and -, with no - at either end")
    return text


def _line(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be one line of printable text with no space at either end")
    return text


def _paragraphs(text: str) -> str:
    if not text.replace("\n", "").isprintable() or text != text.strip():
        raise ValueError("must be printable text with no space or line break at either end")
    return text


def _sector(value: object) -> object:
    if value in ("finance", "credit", "lending", "insurance"):
        raise ValueError("finance is outside this network; no such scenario is accepted")
    return value


def _published(text: str) -> str:
    if not _PUBLISHED.fullmatch(text):
        raise ValueError('must be YYYY, YYYY-MM, YYYY-MM-DD or "undated"')
    if len(text) == len("YYYY-MM-DD"):
        date.fromisoformat(text)
    return text


def _placeholders(text: str) -> str:
    found = placeholders_in(text)
    missing, unknown = PLACEHOLDERS - found, found - PLACEHOLDERS
    if missing or unknown:
        parts = [f"lacks {{{name}}}" for name in sorted(missing)] + [f"has unknown {{{n}}}" for n in sorted(unknown)]
        raise ValueError("; ".join(parts))
    return text


def _text(check: Callable[[str], str], longest: int) -> tuple[StringConstraints, AfterValidator]:
    return StringConstraints(min_length=1, max_length=longest), AfterValidator(check)


Slug = Annotated[str, AfterValidator(_slug)]
Line = Annotated[str, *_text(_line, 300)]
Template = Annotated[str, *_text(_paragraphs, 4000), AfterValidator(_placeholders)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[!-~]{4,400}$")]
Version = Annotated[int, Field(ge=1, le=1_000_000)]
Points = Annotated[int, Field(ge=0, le=SAFE_INTEGER)]


class Strict(BaseModel):
    """No unknown keys, no conversion of types, no change after reading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SourceDoc(Strict):
    """Where a published fact comes from."""

    url: Url
    published: Annotated[str, AfterValidator(_published)]
    confidence: Confidence
    note: Line | None = None


class TierDoc(Strict):
    """One tier; its level is its place in the list."""

    id: Slug
    name_zh: Line
    name_en: Line


class ScaleFile(Strict):
    """``tier-scale.toml``: ``ordinary`` and the positive tiers, lowest first."""

    version: Version
    tiers: Annotated[list[TierDoc], Field(min_length=MAX_LEVEL + 1, max_length=MAX_LEVEL + 1)]


class CutDoc(Strict):
    """Scores at or above ``minimum`` reach ``tier``. Without a source of its own the file's source holds."""

    tier: Slug
    minimum: Points
    label_zh: Line
    source: SourceDoc | None = None


class Named(Strict):
    """A file that is named after its id."""

    id: Slug


class CityFile(Named):
    """``cities/<id>.toml``: one city's concordance."""

    version: Version
    score_name_zh: Line
    score_name_en: Line
    score_min: Points
    score_max: Points
    design: LinkingDesign
    max_age_days: Annotated[int, Field(ge=1, le=3660)]
    effective_from: date
    effective_until: date | None = None
    illustrative: bool
    source: SourceDoc
    cuts: Annotated[list[CutDoc], Field(min_length=1, max_length=MAX_LEVEL)]


class DepositWaiverDoc(Strict):
    """No deposit is asked."""

    kind: Literal["deposit_waiver"]


class PercentageOffDoc(Strict):
    """Percent off the price."""

    kind: Literal["percentage_off"]
    percent: Annotated[int, Field(ge=1, le=100)]


class PayLaterDoc(Strict):
    """Pay within so many days."""

    kind: Literal["pay_later"]
    days: Annotated[int, Field(ge=1, le=366)]


class ExtraQuotaDoc(Strict):
    """So many of a unit at once."""

    kind: Literal["extra_quota"]
    unit: Slug
    count: Annotated[int, Field(ge=1, le=1_000_000)]


class PriorityDoc(Strict):
    """Served without queuing."""

    kind: Literal["priority"]


class FreePeriodDoc(Strict):
    """So many free minutes at the beginning of each use."""

    kind: Literal["free_period"]
    minutes: Annotated[int, Field(ge=1, le=527_040)]


TermDoc = Annotated[
    DepositWaiverDoc | PercentageOffDoc | PayLaterDoc | ExtraQuotaDoc | PriorityDoc | FreePeriodDoc,
    Field(discriminator="kind"),
]
TermDocs = Annotated[list[TermDoc], Field(max_length=8)]


class TermsDoc(Strict):
    """Typed terms and their words for the desk."""

    text_zh: Line
    text_en: Line
    items: TermDocs


class RungDoc(TermsDoc):
    """Better terms from a tier on."""

    tier: Slug


class ConsentDoc(Strict):
    """Limits of a consent for the scenario."""

    max_lifetime_days: Annotated[int, Field(ge=1, le=366)]
    max_uses: Annotated[int, Field(ge=1, le=1000)]
    unlimited: bool


class ScenarioFile(Named):
    """``scenarios/<id>.toml``: one incentive of one host city."""

    version: Version
    host_city: Slug
    sector: Annotated[Sector, BeforeValidator(_sector)]
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


class OperatorFile(Named):
    """``operators/<id>.toml``: a relying party, as residents are told about it."""

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
