"""Invented residents, a dozen per city: each tier, both sides of each cut, no score, a stale one, a corrupt one."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

CHINA: Final = timezone(timedelta(hours=8))
STALE_DAYS: Final = 3650
_CODES: Final = {"fuzhou": "fz", "xiamen": "xm", "quanzhou": "qz"}


@dataclass(frozen=True, slots=True)
class Resident:
    """One synthetic resident. ``points`` in the city's scale, None for no score; ``age_days`` of the score.

    ``corrupt``: the platform's record of her score is garbage.
    """

    ref: str
    about: str
    points: int | None
    age_days: int = 1
    corrupt: bool = False

    @property
    def name(self) -> str:
        """What stands where a name would be."""
        return f"SYNTHETIC {self.about}"

    def as_of(self, now: datetime) -> datetime:
        """When the score was computed, to the second, in China's time."""
        return (now - timedelta(days=self.age_days)).astimezone(CHINA).replace(microsecond=0)


CUTS: Final = {
    "fuzhou": (650, 750, 850),
    "xiamen": (650, 720, 800),
    "zhangzhou": (660, 740, 820),
    "quanzhou": (680, 760, 840),
    "sanming": (640, 730, 820),
    "putian": (670, 750, 830),
    "nanping": (650, 740, 830),
    "longyan": (660, 750, 840),
    "ningde": (640, 720, 800),
    "pingtan": (690, 770, 850),
}
"""Least points of levels 1 to 3: those of ``policies/cities``; a test holds them together."""


def _people(low: int, middle: int, high: int) -> list[tuple[str, int | None, int, bool]]:
    """(about, points, age in days, corrupt) of a city's dozen, on a scale from 0 to 1000."""
    return [
        ("top of the scale", 1000, 1, False),
        ("at the cut of level 3", high, 1, False),
        ("just below the cut of level 3", high - 1, 1, False),
        ("at the cut of level 2", middle, 1, False),
        ("just below the cut of level 2", middle - 1, 1, False),
        ("at the cut of level 1", low, 1, False),
        ("just below the cut of level 1", low - 1, 1, False),
        ("middle of the scale", 560, 1, False),
        ("bottom of the scale", 0, 1, False),
        ("no score", None, 1, False),
        ("stale score", 900, STALE_DAYS, False),
        ("corrupt record", None, 1, True),
    ]


def residents_of(city: str, *, scale: int = 1, offset: int = 0) -> list[Resident]:
    """The city's residents; points become ``points * scale + offset`` (for canary cities with unmistakable scores)."""
    people = [
        Resident(f"synthetic-{_CODES.get(city, city)}-{number:04d}", about, points, age, corrupt)
        for number, (about, points, age, corrupt) in enumerate(_people(*CUTS[city]), start=1)
    ]
    return [r if r.points is None else replace(r, points=r.points * scale + offset) for r in people]


def read_dataset(file: Path) -> list[Resident]:
    """Residents from a standard export (``*.csv`` with resident, score, as_of), or ``{"<ref>": <points or null>, …}``.

    Raises ValueError for any other shape, OSError.
    """
    if file.suffix == ".csv":
        return _read_export(file)
    table: Any = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(table, dict) or not all(p is None or type(p) is int for p in table.values()):
        raise ValueError(f"{file}: a dataset is an object of references and whole points or null")
    return [Resident(ref, "from a dataset", points) for ref, points in table.items()]


def _read_export(file: Path) -> list[Resident]:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    today = datetime.now(UTC).date()
    try:
        return [
            Resident(
                row["resident"],
                "from an export",
                int(row["score"]) if row["score"] else None,
                (today - date.fromisoformat(row["as_of"])).days,
            )
            for row in csv.DictReader(lines)
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file}: an export has the columns resident, score and as_of") from error


def stored(
    people: Sequence[Resident], now: datetime | None = None
) -> list[tuple[str, str, int | str | None, datetime]]:
    """(ref, name, points as the platform holds them, as_of) of everybody, computed back from ``now`` (UTC)."""
    moment = now or datetime.now(UTC)
    return [(p.ref, p.name, "corrupt" if p.corrupt else p.points, p.as_of(moment)) for p in people]
