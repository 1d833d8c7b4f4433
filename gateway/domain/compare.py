"""Comparing terms, item by item: what each gives, and whether one offer is worse than another in anything (I2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, assert_never

from gateway.domain.scenario import (
    DepositWaiver,
    ExtraQuota,
    FreePeriod,
    Included,
    PapersLater,
    PayLater,
    PercentageOff,
    Priority,
    Term,
)

Verdict = Literal["same", "better", "worse", "mixed"]
"""Of an offer, for whoever had another one before: mixed is better in one thing and worse in another."""

UNMEASURED = frozenset({"deposit_waiver", "priority", "papers_later", "included"})
"""Kinds of which there is no more and no less: given or not."""


class Benefit(NamedTuple):
    """What terms are comparable in: their kind, in the words of the policy files, and of what."""

    kind: str
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.unit}" if self.unit else self.kind


class Change(NamedTuple):
    """One benefit before and after; 0: not given."""

    benefit: Benefit
    before: int
    after: int


def measure(term: Term) -> tuple[Benefit, int]:
    """What a term is comparable in, and how much it gives; more is better for whoever gets it.

    That no term is a duty rests on this table: every kind of term must be named here with what it gives, or the type
    checker refuses it.
    """
    match term:
        case DepositWaiver():
            return Benefit("deposit_waiver"), 1
        case PercentageOff(percent):
            return Benefit("percentage_off"), percent
        case PayLater(days):
            return Benefit("pay_later"), days
        case ExtraQuota(unit, count):
            return Benefit("extra_quota", unit), count
        case Priority():
            return Benefit("priority"), 1
        case FreePeriod(minutes):
            return Benefit("free_period"), minutes
        case PapersLater():
            return Benefit("papers_later"), 1
        case Included(service):
            return Benefit("included", service), 1
        case _:
            assert_never(term)


def changes(before: Iterable[Term], after: Iterable[Term]) -> tuple[Change, ...]:
    """Every benefit that the two offers do not give alike, in order of benefit."""
    old, new = dict(map(measure, before)), dict(map(measure, after))
    found = (Change(key, old.get(key, 0), new.get(key, 0)) for key in sorted(old.keys() | new.keys()))
    return tuple(change for change in found if change.before != change.after)


def compare(before: Iterable[Term], after: Iterable[Term]) -> Verdict:
    """How the second offer stands to the first."""
    found = changes(before, after)
    up = any(item.after > item.before for item in found)
    down = any(item.after < item.before for item in found)
    if up and down:
        return "mixed"
    return "better" if up else "worse" if down else "same"
