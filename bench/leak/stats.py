"""Paired tests and an interval for the median difference, in few lines and without a library.

Exact where that is cheap. The bootstrap needs no resampling: the distribution of a resample's median is known in closed
form (Maritz and Jarrett 1978; Efron 1979), so its percentiles are order statistics of the sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

_EXACT_UP_TO = 50


@dataclass(frozen=True, slots=True)
class Interval:
    """A median and its bootstrap interval, in the unit of the sample."""

    low: float
    median: float
    high: float

    def within(self, bound: float) -> bool:
        """Whether the whole interval lies within ± ``bound``."""
        return -bound <= self.low and self.high <= bound

    @property
    def reach(self) -> float:
        """The farthest that it goes from zero."""
        return max(abs(self.low), abs(self.high))


def upper_tail(trials: int, chance: float, least: int) -> float:
    """P(X ≥ ``least``) for a binomial X: summed from the largest term on, to the precision of a float."""
    if least <= 0 or chance >= 1:
        return 1.0
    if chance <= 0 or least > trials:
        return 0.0
    if least < trials * chance:
        return 1.0 - upper_tail(trials, 1 - chance, trials - least + 1)
    log_chance, log_rest, whole = math.log(chance), math.log1p(-chance), math.lgamma(trials + 1)
    total = 0.0
    for count in range(least, trials + 1):
        ways = whole - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
        term = math.exp(ways + count * log_chance + (trials - count) * log_rest)
        total += term
        if term < total * 1e-17:
            break
    return min(1.0, total)


def median_at_most(size: int, rank: int) -> float:
    """P(the median of a resample ≤ the ``rank``-th smallest of the sample), for an odd ``size``."""
    return upper_tail(size, rank / size, (size + 1) // 2)


@cache
def _percentile_rank(size: int, share: float) -> int:
    low, high = 1, size
    while low < high:
        middle = (low + high) // 2
        if median_at_most(size, middle) >= share:
            high = middle
        else:
            low = middle + 1
    return low


def median_interval(sample: Sequence[float], confidence: float = 0.95) -> Interval:
    """The percentile bootstrap interval of the median. Of an even number of values the last is left out."""
    odd = sorted(sample[: len(sample) - 1 + len(sample) % 2])
    size, tail = len(odd), (1 - confidence) / 2
    if not size:
        raise ValueError("an empty sample has no median")
    low, high = _percentile_rank(size, tail), _percentile_rank(size, 1 - tail)
    return Interval(odd[low - 1], odd[size // 2], odd[high - 1])


def sign_test(differences: Sequence[float]) -> float:
    """Two-sided p that positive and negative differences are equally likely; zeros say nothing (exact)."""
    positive = sum(value > 0 for value in differences)
    trials = positive + sum(value < 0 for value in differences)
    if not trials:
        return 1.0
    return min(1.0, 2 * upper_tail(trials, 0.5, max(positive, trials - positive)))


def wilcoxon(differences: Sequence[float]) -> tuple[float, float]:
    """Wilcoxon's signed rank test: the sum of the positive ranks, and the two-sided p. Zeros are left out.

    Exact for up to 50 differences without ties, else by the normal approximation with corrections for ties and
    continuity (Hollander and Wolfe, section 3.1).
    """
    ordered = sorted((value for value in differences if value), key=abs)
    size = len(ordered)
    if not size:
        return 0.0, 1.0
    positive = ties = 0.0
    before = 0
    for _, group in groupby(ordered, key=abs):
        tied = list(group)
        rank = before + (len(tied) + 1) / 2
        positive += rank * sum(value > 0 for value in tied)
        ties += len(tied) ** 3 - len(tied)
        before += len(tied)
    if size <= _EXACT_UP_TO and not ties:
        return positive, _exact(size, int(positive))
    mean = size * (size + 1) / 4
    deviation = math.sqrt(size * (size + 1) * (2 * size + 1) / 24 - ties / 48)
    distance = max(0.0, abs(positive - mean) - 0.5)
    return positive, math.erfc(distance / deviation / math.sqrt(2))


def _exact(size: int, positive: int) -> float:
    """Two-sided p by counting the sets of ranks with each sum."""
    largest = size * (size + 1) // 2
    ways = [1] + [0] * largest
    for rank in range(1, size + 1):
        for total in range(largest, rank - 1, -1):
            ways[total] += ways[total - rank]
    smaller = min(positive, largest - positive)
    return min(1.0, 2 * sum(ways[: smaller + 1]) / float(2**size))
