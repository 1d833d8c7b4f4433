"""Everything that policies state, value by value, so that two sets can be told apart completely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from typing import Any, Literal, NamedTuple

from gateway.domain.compare import measure
from gateway.domain.tier import TierScale

Sort = Literal["cut", "label", "words", "source", "date", "rule"]
"""What a value is: points; a name; a text; where it comes from; from and until when; anything else."""

_SORTS: Mapping[str, Sort] = {
    "minimum": "cut", "maximum": "cut", "score_min": "cut", "score_max": "cut", "local_threshold": "cut",
    "name_zh": "label", "name_en": "label", "label_zh": "label", "score_name_zh": "label", "score_name_en": "label",
    "purpose_zh": "label", "purpose_en": "label",
    "text_zh": "words", "text_en": "words",
    "url": "source", "published": "source", "confidence": "source", "note": "source", "illustrative": "source",
    "standard_error": "source", "sample": "source", "as_of": "source",
    "effective_from": "date", "effective_until": "date", "since": "date", "until": "date",
}  # fmt: skip
_SETS = {"operators", "cities", "scenarios"}
_PARTS = ("scale", "concordances", "scenarios", "operators", "acceptance", "notice")


class Stated(NamedTuple):
    """One value that differs; None: that side does not state it. ``key`` is dotted; tiers stand by their id.

    ``illustrative_before`` and ``illustrative_after``: what states it is marked as nobody's publication.
    """

    part: str
    name: str
    key: str
    sort: Sort
    before: str | None
    after: str | None
    illustrative_before: bool = False
    illustrative_after: bool = False


def stated_otherwise(old: Any, new: Any, scale: TierScale) -> Iterator[Stated]:
    """Every value that is not the same in two sets of policies (``Policies`` or ``Bundle``), in order of place.

    What only one side has is given by its ``version`` or id alone, since all of it is new, or gone. ``scale`` names
    the tiers.
    """
    names = {tier.level: str(tier.id) for tier in scale.tiers}
    for part in _PARTS:
        sides = [_named(getattr(side, part)) for side in (old, new)]
        for name in sorted({*sides[0], *sides[1]}):
            before, after = (side.get(name) for side in sides)
            marks = [getattr(side, "illustrative", False) for side in (before, after)]
            if before is None or after is None:
                yield Stated(part, name, "", "rule", _present(before), _present(after), *marks)
            elif before != after:
                values = (dict(_values(side, "", names)) for side in (before, after))
                yield from (
                    found._replace(illustrative_before=marks[0], illustrative_after=marks[1])
                    for found in _differing(part, name, *values)
                )


def _named(part: Any) -> dict[str, Any]:
    return {str(key): value for key, value in part.items()} if isinstance(part, Mapping) else {"": part}


def _present(value: object) -> str | None:
    if value is None:
        return None
    version = getattr(value, "version", None)
    return "stated" if version is None else f"version {version}"


def _differing(part: str, name: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Stated]:
    for key in dict.fromkeys((*before, *after)):
        if before.get(key) != after.get(key):
            sort = _SORTS.get(key.rpartition(".")[2], "rule")
            yield Stated(part, name, key, sort, before.get(key), after.get(key))


def _values(value: Any, path: str, names: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    """Dotted keys and values as text; what is None or empty is not stated."""
    last = path.rpartition(".")[2]
    if value is None or value in ("", ()):
        return
    if last == "items":
        yield path, ", ".join(f"{benefit} {amount}" for benefit, amount in sorted(map(measure, value)))
    elif last in _SETS:
        yield path, ", ".join(sorted(value))
    elif is_dataclass(value):
        for field in fields(value):
            yield from _values(getattr(value, field.name), f"{path}.{field.name}" if path else field.name, names)
    elif isinstance(value, tuple):
        for place, item in enumerate(value):
            level = getattr(item, "level", None)
            yield from _values(item, f"{path}.{place if level is None else names[level]}", names)
    elif isinstance(value, bool):
        yield path, "yes" if value else "no"
    else:
        yield path, value.isoformat() if isinstance(value, date) else str(value)
