"""Two cities whose scores are canaries: policies with a range to 10¹⁵, and residents on both sides of every cut.

The product's own policies, with every number of the score's scale a million million times as large. No canary is one
of those numbers: cuts are public and stand in the bundle, scores do not.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

FACTOR = 10**12
CITIES = {"fuzhou": "fz", "xiamen": "xm"}
SCORE_MAX = 990 * FACTOR
"""Above everybody who counts, below ``resident_out_of_range``; the bound of every score is 10¹⁵."""

_SCALED = re.compile(r"^(minimum|maximum|local_threshold) = (\d+)$", re.MULTILINE)
_MAXIMUM = re.compile(r"^score_max = 1000$", re.MULTILINE)


@dataclass(frozen=True)
class CanaryResident:
    """A synthetic resident; ``points`` is her canary (None: she has no score), ``level`` the tier it means."""

    city: str
    ref: str
    about: str
    points: int | None
    level: int


def write_policies(source: Path, target: Path) -> None:
    """A copy of the policy files ``source`` in ``target``, scaled for both cities."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.cases.toml"))
    for path in [*target.glob("cities/*.toml"), *target.glob("scenarios/*.toml")]:
        if not path.stem.startswith(tuple(CITIES)):
            continue
        text = _SCALED.sub(_scaled, path.read_text("utf-8"))
        text, ranges = _MAXIMUM.subn(f"score_max = {SCORE_MAX}", text)
        if ranges != (1 if path.parent.name == "cities" else 0):
            raise ValueError(f"{path.name} has another range than it had")
        path.write_text(text, "utf-8")


def _scaled(found: re.Match[str]) -> str:
    return f"{found[1]} = {min(int(found[2]) * FACTOR, SCORE_MAX)}"  # the published scale ends above the canaries'


def residents(city: str, policies: Path) -> list[CanaryResident]:
    """The city's residents under policies that ``write_policies`` wrote. The same on every run.

    Number 8 is the record that stands for nobody and is read in place of a person's.
    """
    cuts = tomllib.loads((policies / "cities" / f"{city}.toml").read_text("utf-8"))["cuts"]
    low, middle, high = (int(cut["minimum"]) for cut in cuts)
    chance = random.Random(city)

    def away() -> int:
        return chance.randrange(10**10, 10**11)

    people: list[tuple[str, int | None, int]] = [
        ("top of the scale", SCORE_MAX - away(), 3),
        ("above the cut of level 3", high + away(), 3),
        ("below the cut of level 3", high - away(), 2),
        ("above the cut of level 2", middle + away(), 2),
        ("below the cut of level 2", middle - away(), 1),
        ("above the cut of level 1", low + away(), 1),
        ("below the cut of level 1", low - away(), 0),
        ("nobody", low + away(), 1),
        ("bottom of the scale", 40 * FACTOR + away(), 0),
        ("no score", None, 0),
        ("out of range", SCORE_MAX + away(), 0),
        ("beyond any score", 5000 * FACTOR + away(), 0),
    ]
    return [
        CanaryResident(city, f"synthetic-{CITIES[city]}-{number:04d}", about, points, level)
        for number, (about, points, level) in enumerate(people, start=1)
    ]


def write_dataset(people: list[CanaryResident], target: Path) -> None:
    """The platform's data."""
    target.write_text(json.dumps({person.ref: person.points for person in people}), "utf-8")


def canaries(people: list[CanaryResident]) -> dict[str, int]:
    """Points by a name that may be shown."""
    return {f"{item.city}, {item.about}": item.points for item in people if item.points is not None}
