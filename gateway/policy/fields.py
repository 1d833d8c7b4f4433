"""The kinds of values in policy files, strictly: slugs, lines of text, dates as published, points."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from gateway.domain.ids import SLUG
from gateway.domain.notice import PLACEHOLDERS, placeholders_in

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
    "housing",
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


def sector(value: object) -> object:
    """The value, unless it is finance: raises ValueError with the reason."""
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


def matching(pattern: re.Pattern[str], **more: object) -> WithJsonSchema:
    """How a text is described to editors, by the expression that judges it here, whole (JSON Schema, 6.3.3)."""
    return WithJsonSchema({"type": "string", "pattern": f"^(?:{pattern.pattern.removesuffix(chr(92) + 'Z')})$", **more})


_TRIMMED = re.compile(r"\S(?:.*\S)?")
_PARAGRAPHS = re.compile(r"\S(?:[\s\S]*\S)?")
_TOLD = [{"pattern": rf"\{{{name}\}}"} for name in sorted(PLACEHOLDERS)]

Slug = Annotated[str, AfterValidator(_slug), matching(SLUG)]
Line = Annotated[str, *_text(_line, 300), matching(_TRIMMED, maxLength=300)]
Template = Annotated[
    str, *_text(_paragraphs, 4000), AfterValidator(_placeholders), matching(_PARAGRAPHS, maxLength=4000, allOf=_TOLD)
]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[!-~]{4,400}$")]
Version = Annotated[int, Field(ge=1, le=1_000_000)]
Points = Annotated[int, Field(ge=0, le=SAFE_INTEGER)]


Dated = Annotated[str, AfterValidator(_published), matching(_PUBLISHED)]
"""A day, month or year as a source gives it, or ``undated``."""


class Strict(BaseModel):
    """No unknown keys, no conversion of types, no change after reading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
