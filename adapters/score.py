"""A city's raw score, in a box that only a concordance can open (invariant I1).

:class:`RawScore` refuses every ordinary way out of a Python object: text, numbers, comparison, hashing, copying,
pickling. What a concordance makes of it, a tier level, is all that the rest of the adapter ever handles. The box guards
against mistakes (a log line, an error text, a cache), not against code that means to open it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, NoReturn, final

from gateway.domain.tier import Concordance
from gateway.errors import Reason, TiergateError

MAX_ABSOLUTE_POINTS: Final = 10**15
"""Points beyond this are no score of any city; the bound also keeps every score a 64-bit number."""

NEAR, SOME_WAY = 0.05, 0.15
"""Shares of the scale's whole range: how little may be missing to be called near, and some way."""
Gap = Literal["reached", "near", "some way", "far"]


def _refuse(*_args: object, **_kwargs: object) -> NoReturn:
    """Stand in for every operation that would show, copy, compare or store the points."""
    raise TypeError("a raw score cannot be shown, copied, compared or stored; map it through a concordance")


@final
class RawScore:
    """One person's points in the city's own scale. ``map`` and ``gap`` are the only ways out: a level, a word.

    ``repr`` refuses too, as I1 asks: a log call or an f-string that holds a score fails where it is written, instead of
    passing every test with a harmless placeholder until somebody replaces the placeholder. ``logging``, ``traceback``,
    rich and pytest all survive a ``repr`` that raises.

    Raises TiergateError (SOURCE_INVALID) for points beyond ``MAX_ABSOLUTE_POINTS``, TypeError for anything but an int.
    """

    __slots__ = ("__points",)

    def __init__(self, points: int) -> None:
        if type(points) is not int:
            raise TypeError("points are a whole number")
        if abs(points) > MAX_ABSOLUTE_POINTS:
            raise TiergateError(Reason.SOURCE_INVALID, "points beyond the bounds of any score")
        self.__points = points

    def map(self, concordance: Concordance) -> int:
        """Tier level (0 to 3) of the score. Outside the concordance's range: SOURCE_INVALID, without the value."""
        with contextlib.suppress(ValueError):
            return concordance.level_of(self.__points)
        # Raised outside the handler: no cause, no context, so no frame in the chain holds the points.
        raise TiergateError(Reason.SOURCE_INVALID, "score outside the concordance's range")

    def gap(self, concordance: Concordance, level: int) -> Gap:
        """How far the score is from a tier level, as one of four words. Errors as ``map``."""
        reached = self.map(concordance) >= level
        cut = next((cut.minimum for cut in concordance.cuts if cut.level >= level), None)
        if reached or cut is None:
            return "reached" if reached else "far"
        missing = (cut - self.__points) / (concordance.score_max - concordance.score_min)
        return "near" if missing <= NEAR else "some way" if missing <= SOME_WAY else "far"

    __repr__ = __str__ = __format__ = __bytes__ = _refuse
    __int__ = __float__ = __complex__ = __index__ = __bool__ = __round__ = __trunc__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = _refuse
    __copy__ = __deepcopy__ = __reduce__ = __reduce_ex__ = __getstate__ = __setstate__ = _refuse

    def __init_subclass__(cls, **_kwargs: Any) -> NoReturn:
        """Refuse subclasses: one could bring a ``repr`` of its own."""
        raise TypeError("RawScore has no subclasses")


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ScoreRecord:
    """What a city's platform knows about one resident: the score and the time it was computed (UTC).

    Raises TiergateError (SOURCE_INVALID) if ``as_of`` has no time zone.
    """

    score: RawScore
    as_of: datetime

    def __post_init__(self) -> None:
        if self.as_of.tzinfo is None:
            raise TiergateError(Reason.SOURCE_INVALID, "as_of without a time zone")
        object.__setattr__(self, "as_of", self.as_of.astimezone(UTC))

    def __repr__(self) -> str:
        """Say nothing: the date of a score is a fact about a person as well."""
        return "<ScoreRecord withheld>"
