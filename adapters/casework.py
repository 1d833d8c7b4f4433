"""Cases about contested decisions: which step may follow which, and by when, in working days. Pure.

The default deadlines are those of Shanghai's rules on public credit information (articles 36 to 38: marked within 1
working day, sent on within 2, decided within 5) and Zhejiang's (article 31: 20 in all), for Fujian has published none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone

from gateway.domain.consent import Step
from gateway.errors import Reason, TiergateError

CHINA = timezone(timedelta(hours=8))
"""Exact since 1991: no summer time."""
FOLLOWS: Mapping[Step, frozenset[Step]] = {
    "opened": frozenset({"flagged", "forwarded", "upheld", "corrected", "lapsed"}),
    "flagged": frozenset({"forwarded", "upheld", "corrected", "lapsed"}),
    "forwarded": frozenset({"upheld", "corrected", "lapsed"}),
    "upheld": frozenset(),
    "corrected": frozenset(),
    "lapsed": frozenset(),
}
"""What may follow a step; the last three end a case."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Working days after the day of opening. ``holidays`` are none, ``workdays`` are, in spite of a weekend.

    Both are as the State Council's yearly notice has them: no rule gives them in advance, and none is built in.
    """

    flag: int = 1
    forward: int = 2
    decide: int = 5
    lapse: int = 20
    holidays: frozenset[date] = frozenset()
    workdays: frozenset[date] = frozenset()

    def is_working_day(self, day: date) -> bool:
        """Monday to Friday, but for the exceptions."""
        return day in self.workdays or (day.weekday() < 5 and day not in self.holidays)

    def end_after(self, opened_at: int, working_days: int) -> int:
        """Unix seconds of the end (midnight in China) of the n-th working day after the day of ``opened_at``."""
        day = _day(opened_at)
        while working_days > 0:
            day += timedelta(days=1)
            working_days -= self.is_working_day(day)
        midnight = datetime(day.year, day.month, day.day, tzinfo=CHINA) + timedelta(days=1)
        return int(midnight.timestamp())

    def uncovered(self, opened_at: int) -> tuple[int, ...]:
        """The years that a case opened at a Unix time reaches into and of which no holiday is known.

        Days off count as working days there, and deadlines over them end too early.
        """
        first, last = _day(opened_at) + timedelta(days=1), _day(self.end_after(opened_at, self.lapse) - 1)
        known = {day.year for day in self.holidays}
        return tuple(year for year in range(first.year, last.year + 1) if year not in known)

    def of(self, opened_at: int) -> Due:
        """All deadlines of a case opened at a Unix time in seconds."""
        return Due(*(self.end_after(opened_at, days) for days in (self.flag, self.forward, self.decide, self.lapse)))


@dataclass(frozen=True, slots=True)
class Due:
    """The deadlines of one case, Unix seconds."""

    flag_by: int
    forward_by: int
    decide_by: int
    lapses_at: int

    def is_late(self, step: Step, now_s: float) -> bool:
        """Whether a case at ``step`` should have come further: marked, then sent on or decided, then decided."""
        by = {"opened": self.flag_by, "flagged": self.forward_by, "forwarded": self.decide_by}.get(step)
        return by is not None and now_s >= by


def _day(at_s: int) -> date:
    """The day in China of a Unix time in seconds."""
    return datetime.fromtimestamp(at_s, UTC).astimezone(CHINA).date()


def require_follows(step: Step, wanted: Step) -> None:
    """Return if ``wanted`` may follow ``step``. Raises CASE_STATE."""
    if wanted not in FOLLOWS[step]:
        raise TiergateError(Reason.CASE_STATE, f"{wanted} after {step}")
