"""What files tell of publications is possible: dates that were, levels that lie beside each other on the score.

Nothing is decided by any of it, so a bundle that was signed with a mistake here stays readable; the files are mended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import combinations

from pydantic import BaseModel

from gateway.errors import Problem
from gateway.policy import schema
from gateway.policy.documents import Located

UNDATED = "undated"


def published_facts(item: Located[BaseModel], today: date) -> Iterator[Problem]:
    """Problems of a file's sources, histories and tables of levels. ``today``: the latest day on which it can be."""
    for path, part in _parts(item.doc, ""):
        if isinstance(part, schema.SourceDoc | schema.MeasuredDoc):
            key = "published" if isinstance(part, schema.SourceDoc) else "as_of"
            said: str = getattr(part, key)
            if _after(said, today.isoformat()):
                yield item.problem(f"{path}{key}", f"{said} is still to come", "state the date as the source gives it")
        if isinstance(part, schema.Superseded) and part.since and part.until and _after(part.since, part.until):
            yield item.problem(f"{path}until", "is before since", "correct one of the two dates")
        if isinstance(part, schema.CityFile | schema.BandsHistory):
            yield from _levels(item, f"{path}bands", part.bands or ())
    if isinstance(item.doc, schema.CityFile):
        yield from _in_range(item, item.doc)


def _parts(value: object, path: str) -> Iterator[tuple[str, BaseModel]]:
    """A document and all documents in it, with the dotted path in front of each one's own keys."""
    if isinstance(value, BaseModel):
        yield path, value
        for name in type(value).model_fields:
            yield from _parts(getattr(value, name), f"{path}{name}.")
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from _parts(one, f"{path}{place}.")


def _after(one: str, other: str) -> bool:
    """Whether a date as published is after another for certain: years and months stand for any of their days."""
    if UNDATED in {one, other}:
        return False
    known = min(len(one), len(other))
    return one[:known] > other[:known]


def _levels(item: Located[BaseModel], path: str, bands: Sequence[schema.BandDoc]) -> Iterator[Problem]:
    """Levels that are reversed, or share points. An end that is not published is nowhere, and not at infinity."""
    spans: list[tuple[int, int, int]] = []
    for place, band in enumerate(bands):
        ends = [end for end in (band.minimum, band.maximum) if end is not None]
        if ends and ends[0] > ends[-1]:
            yield item.problem(f"{path}.{place}.maximum", "is below minimum", "correct one of the two ends")
        elif ends:
            spans.append((place, ends[0], ends[-1]))
    for (first, low, high), (place, lower, upper) in combinations(spans, 2):
        if lower <= high and low <= upper:
            yield item.problem(
                f"{path}.{place}",
                f'"{bands[place].label_zh}" overlaps "{bands[first].label_zh}"',
                "both ends belong to a level; leave out an end that is not published",
            )


def _in_range(item: Located[BaseModel], city: schema.CityFile) -> Iterator[Problem]:
    """Levels in force lie on the score in force; what held before may have had another range."""
    for place, band in enumerate(city.bands or ()):
        for key, end in (("minimum", band.minimum), ("maximum", band.maximum)):
            if end is not None and not city.score_min <= end <= city.score_max:
                yield item.problem(
                    f"bands.{place}.{key}",
                    f"{end} lies outside the score's range",
                    f"a level lies in {city.score_min} to {city.score_max}; correct it, or the range",
                )
