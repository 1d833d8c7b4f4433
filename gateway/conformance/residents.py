"""The residents that a city under test holds: invented, the same for every city, agreed by this table alone.

Points are on the score of the test policies: 0 to 1000, cuts at 600, 700 and 800.
"""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

CUTS: Final = (600, 700, 800)
LOWEST, HIGHEST = 0, 1000
MAX_AGE_DAYS: Final = 35
STALE_DAYS: Final = 400
PREFIX: Final = "kit-"
HEADER: Final = ("resident", "score", "as_of")


@dataclass(frozen=True, slots=True)
class Resident:
    """One synthetic resident: the city's own reference of her, and her points (None: no score).

    ``age_days``: how old her score is on the day of the export.
    """

    ref: str
    about: str
    points: int | None
    age_days: int = 1

    @property
    def level(self) -> int:
        """The tier level (0 to 3) that the test policies give her points."""
        return sum(self.points is not None and self.points >= cut for cut in CUTS)


def _scored(name: str, about: str, points: int) -> Resident:
    return Resident(f"{PREFIX}{name}", about, points)


LADDER: Final = (
    _scored("bottom", "lower end of the scale", LOWEST),
    _scored("low", "far below the first cut", 300),
    _scored("below-1", "one point short of the first cut", CUTS[0] - 1),
    _scored("at-1", "at the first cut", CUTS[0]),
    _scored("above-1", "one point above the first cut", CUTS[0] + 1),
    _scored("middle-1", "in the middle of the first tier", 650),
    _scored("below-2", "one point short of the second cut", CUTS[1] - 1),
    _scored("at-2", "at the second cut", CUTS[1]),
    _scored("above-2", "one point above the second cut", CUTS[1] + 1),
    _scored("middle-2", "in the middle of the second tier", 750),
    _scored("below-3", "one point short of the third cut", CUTS[2] - 1),
    _scored("at-3", "at the third cut", CUTS[2]),
    _scored("above-3", "one point above the third cut", CUTS[2] + 1),
    _scored("middle-3", "in the middle of the third tier", 900),
    _scored("top", "upper end of the scale", HIGHEST),
)
"""Everybody with an ordinary record, by points."""
NO_SCORE: Final = Resident(f"{PREFIX}no-score", "on record, without a score", None)
AGED: Final = tuple(
    Resident(f"{PREFIX}aged-{days}", f"a score that is {days} days old on the day of the export", HIGHEST, days)
    for days in range(1, MAX_AGE_DAYS + 1)
)
"""One for each day: on every day on which a deployment is good, two of them are on either side of the maximum age."""
STALE: Final = Resident(f"{PREFIX}stale", "a score that is older than the policies allow", HIGHEST, STALE_DAYS)
UNUSABLE: Final = Resident(f"{PREFIX}unusable", "a score outside the scale", HIGHEST + 1)
FROZEN: Final = Resident(f"{PREFIX}frozen", "frozen by the city before the run", HIGHEST)
DECOY: Final = Resident(f"{PREFIX}decoy", "nobody: for the city to read in another's place", HIGHEST)
UNKNOWN: Final = Resident(f"{PREFIX}unknown", "not on the platform at all", None)
ON_RECORD: Final = (*LADDER, *AGED, NO_SCORE, STALE, UNUSABLE, FROZEN, DECOY)
"""All that the city's platform holds; :data:`UNKNOWN` is not among them."""
_BY_NAME: Final = {item.ref.removeprefix(PREFIX): item for item in (*ON_RECORD, UNKNOWN)}


def resident(name: str) -> Resident:
    """The resident ``kit-<name>``; KeyError for another name."""
    return _BY_NAME[name]


def as_csv(today: date) -> str:
    """The residents on record as an export of a day (UTC): resident, points (may be empty), day of the score.

    The last line is the standard export's footer: the number of rows, and the SHA-256 of every byte before it.
    """
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(HEADER)
    for item in ON_RECORD:
        day = (today - timedelta(days=item.age_days)).isoformat()
        rows.writerow((item.ref, "" if item.points is None else item.points, day))
    text = out.getvalue()
    return f"{text}# rows={len(ON_RECORD)} sha256={hashlib.sha256(text.encode()).hexdigest()}\n"
