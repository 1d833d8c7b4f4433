"""The shape of terms in policy files: typed items, each with its limits, and the same in words."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.policy.fields import Line, Slug, Strict


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


class PapersLaterDoc(Strict):
    """Taken although papers are missing, which are handed in later."""

    kind: Literal["papers_later"]


class IncludedDoc(Strict):
    """Something that else costs, free of charge."""

    kind: Literal["included"]
    service: Slug


TermDoc = Annotated[
    DepositWaiverDoc
    | PercentageOffDoc
    | PayLaterDoc
    | ExtraQuotaDoc
    | PriorityDoc
    | FreePeriodDoc
    | PapersLaterDoc
    | IncludedDoc,
    Field(discriminator="kind"),
]
TermDocs = Annotated[list[TermDoc], Field(max_length=8)]


class TermsDoc(Strict):
    """Typed terms and their words for the desk."""

    text_zh: Line
    text_en: Line
    items: TermDocs
