"""Comparing offers, item by item: what each gives, and whether one is worse than another in anything (I2).

The same scale serves terms and the conditions under which they are got: a number of which more is better.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal, NamedTuple, assert_never

from gateway.domain.scenario import (
    SECONDS_PER_DAY,
    DepositWaiver,
    ExtraQuota,
    FreePeriod,
    Included,
    PapersLater,
    PayLater,
    PercentageOff,
    Priority,
    Scenario,
    Term,
)
from gateway.domain.tier import Concordance

Verdict = Literal["same", "better", "worse", "mixed"]
"""Of an offer, for whoever had another one before: mixed is better in one thing and worse in another."""

UNMEASURED = frozenset({"deposit_waiver", "priority", "papers_later", "included", "unlimited", "purpose", "time_grain"})
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


def conditions(scenario: Scenario, concordance: Concordance | None) -> dict[Benefit, int]:
    """Under which conditions an offer is used where it is open; more is better for the resident.

    In the words of the policy files: what a consent may be and for what purpose, which holds for consents in hand,
    too; how finely times are kept; and, by the home city's concordance, if there is one, how old a score may be.
    """
    limits = scenario.consent
    found = {
        Benefit("max_lifetime_days"): limits.max_lifetime_s // SECONDS_PER_DAY,
        Benefit("max_uses"): limits.max_uses,
        Benefit("unlimited"): int(limits.unlimited),
        Benefit("purpose", scenario.purpose): 1,
        Benefit("time_grain", "day"): int(scenario.time_grain == "day"),
    }
    return found if concordance is None else found | {Benefit("max_age_days"): concordance.max_age_days}


def changes(before: Iterable[Term], after: Iterable[Term]) -> tuple[Change, ...]:
    """Every benefit that the two offers do not give alike, in order of benefit."""
    return differing(dict(map(measure, before)), dict(map(measure, after)))


def differing(before: Mapping[Benefit, int], after: Mapping[Benefit, int]) -> tuple[Change, ...]:
    """Everything of which there is not as much on both sides, in order; what a side does not name, it does not give."""
    found = (Change(key, before.get(key, 0), after.get(key, 0)) for key in sorted(before.keys() | after.keys()))
    return tuple(change for change in found if change.before != change.after)


def compare(before: Iterable[Term], after: Iterable[Term]) -> Verdict:
    """How the second offer stands to the first."""
    return verdict_on(changes(before, after))


def verdict_on(found: Collection[Change]) -> Verdict:
    """What changes come to, all together."""
    up = any(item.after > item.before for item in found)
    down = any(item.after < item.before for item in found)
    if up and down:
        return "mixed"
    return "better" if up else "worse" if down else "same"
