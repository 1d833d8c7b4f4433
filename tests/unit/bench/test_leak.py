"""The statistics of ``./dev leak`` against published values, and what is made of them."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from bench.leak.__main__ import caught, parse
from bench.leak.classes import REASONS, TWIN
from bench.leak.planted import SLOW
from bench.leak.report import document, table, timing
from bench.leak.shapes import Shape, differences
from bench.leak.stats import Interval, median_at_most, median_interval, sign_test, upper_tail, wilcoxon
from bench.leak.timing import Times

# Hollander and Wolfe (1973), pages 29 and following: depression scores of nine patients before and after a therapy
BEFORE = (1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30)
AFTER = (0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29)
# Darwin's maize, as in Fisher (1935), The Design of Experiments: differences of fifteen pairs, in eighths of an inch
MAIZE = (49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48)
# Efron and Tibshirani (1993), table 2.1: survival of the seven treated mice, in days
MICE = (94, 197, 16, 38, 99, 141, 23)


def test_signed_ranks_of_hollander_and_wolfe() -> None:
    rank_sum, p = wilcoxon([before - after for before, after in zip(BEFORE, AFTER, strict=True)])
    assert rank_sum == 40
    assert p == pytest.approx(2 * 0.01953, abs=2e-5)


def test_signed_ranks_of_darwins_maize() -> None:
    rank_sum, p = wilcoxon(MAIZE)
    assert rank_sum == 120 - 24
    assert p == pytest.approx(0.04126, abs=1e-5)


def test_the_normal_approximation_meets_the_exact_test() -> None:
    chosen = random.Random(11)
    exact = [chosen.gauss(0.25, 1) for _ in range(50)]
    tied = [*exact, 1e-9, -1e-9]  # one tie, the smallest there can be: the approximation has to do
    assert wilcoxon(tied)[1] == pytest.approx(wilcoxon(exact)[1], rel=0.15)


def test_signed_ranks_say_nothing_of_nothing() -> None:
    assert wilcoxon([]) == (0.0, 1.0)
    assert wilcoxon([0.0, 0.0]) == (0.0, 1.0)
    assert wilcoxon([1.0, -1.0] * 40)[1] == 1.0
    assert wilcoxon([1.0] * 80)[1] < 1e-15


def test_signs_of_siegel() -> None:
    """Siegel (1956), page 70: of 14 pairs that differ 3 are of the rarer sign, one-sided p = 0.029."""
    assert sign_test([1.0] * 11 + [-1.0] * 3 + [0.0] * 3) == pytest.approx(2 * 0.0287, abs=1e-4)
    assert sign_test([1.0, -1.0]) == 1.0
    assert sign_test([0.0]) == 1.0


def test_the_bootstrap_of_a_median_of_seven() -> None:
    """Efron (1982), page 77: the chances that a resample's median is each of seven values."""
    reached = [0.0, *(median_at_most(7, rank) for rank in range(1, 8))]
    chances = [after - before for before, after in pairwise(reached)]
    assert chances == pytest.approx([0.0102, 0.0981, 0.2386, 0.3062, 0.2386, 0.0981, 0.0102], abs=6e-5)
    mean = sum(chance * value for chance, value in zip(chances, sorted(MICE), strict=True))
    spread = sum(chance * (value - mean) ** 2 for chance, value in zip(chances, sorted(MICE), strict=True))
    assert math.sqrt(spread) == pytest.approx(37.83, abs=0.01)  # Efron and Tibshirani, table 2.2, unlimited resamples


def test_the_interval_is_what_resampling_gives() -> None:
    chosen = random.Random(5)
    sample = [chosen.expovariate(1) for _ in range(201)]
    found = median_interval(sample)
    medians = sorted(sorted(chosen.choices(sample, k=201))[100] for _ in range(4000))
    values = sorted(sample)
    for end, place in ((found.low, 100), (found.high, 3900)):
        assert abs(values.index(end) - values.index(medians[place])) <= 1
    assert found.median == values[100]


def test_the_interval_of_twenty_thousand_is_narrow_and_holds_the_median() -> None:
    chosen = random.Random(3)
    found = median_interval([chosen.gauss(7, 100) for _ in range(20_000)])
    assert found.low < found.median < found.high
    assert found.low < 7 < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * 1.2533 * 100 / math.sqrt(20_000), rel=0.15)


def test_the_last_of_an_even_number_is_left_out() -> None:
    assert median_interval([1.0, 2.0, 3.0, 1e9]) == median_interval([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="empty"):
        median_interval([])


@pytest.mark.parametrize(("trials", "chance"), [(1, 0.5), (14, 0.5), (60, 0.31), (301, 0.9)])
def test_binomial_tails_are_sums(trials: int, chance: float) -> None:
    terms = [math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(trials + 1)]
    for least in range(trials + 2):
        assert upper_tail(trials, chance, least) == pytest.approx(math.fsum(terms[least:]), abs=1e-11)


NAMES = [reason.name for reason in (*REASONS, TWIN)]


def made_up(rounds: int, spread: float, slow: float = 0.0, names: tuple[str, ...] = SLOW, seed: int = 1) -> Times:
    chosen = random.Random(seed)
    return {
        name: [1000 + chosen.gauss(0, spread) + (slow if name in names else 0) for _ in range(rounds)] for name in NAMES
    }


def test_equal_reasons_are_alike() -> None:
    found = timing("cached", made_up(2000, 100), 20.0, 0.0)
    assert found.verdict == "alike"
    assert not caught(found)
    assert len(found.pairs) == len(NAMES) * (len(NAMES) - 1) // 2
    assert found.floor.is_floor


def test_a_slow_reason_is_different_and_caught() -> None:
    found = timing("cached", made_up(1000, 300, 100.0), 20.0, 0.0)
    assert found.verdict == "different"
    assert caught(found)
    told = [pair for pair in found.pairs if found.verdict_on(pair) == "different"]
    assert {pair.holds(SLOW) for pair in told} == {1}


def test_a_leak_seen_in_some_pairs_only_is_not_caught() -> None:
    assert not caught(timing("cached", made_up(1000, 300, 100.0, SLOW[:1]), 20.0, 0.0))


def test_noise_is_undecided_and_seldom_more() -> None:
    verdicts = [timing("cached", made_up(99, 500, seed=seed), 20.0, 0.0).verdict for seed in range(20)]
    assert verdicts.count("undecided") >= 18  # one in twenty may be taken for a difference
    assert "alike" not in verdicts


def test_a_difference_within_the_bound_is_none() -> None:
    assert timing("cached", made_up(2_001, 15, 5.0), 20.0, 0.0).verdict == "alike"


def test_the_report_shows_every_pair_and_the_floor() -> None:
    found = timing("round trip", made_up(201, 500, 900.0), 50.0, 0.25)
    text = table(found)
    assert text.count("(noise floor)") == 1
    assert "noise floor (one reason twice)" in text
    assert "0.25 cores" in text
    for pair in found.pairs:
        assert f"{pair.one} | {pair.two}" in text
    assert document(found)["verdict"] == "different"


def shape(payload: bytes = b"a", jump: int = 1) -> Shape:
    return Shape("OK", "", (), (), payload, jump, ("{}",) * jump)


def test_what_differs_is_named() -> None:
    assert differences({"a": {"first": shape()}, "b": {"first": shape()}}) == []
    (line,) = differences({"a": {"first": shape()}, "b": {"first": shape(payload=b"b")}})
    assert line.startswith("a | b | first: payload: ")
    assert len(differences({"a": {"first": shape()}, "b": {"first": shape(jump=2)}})) == 2


def test_an_interval_is_within_a_bound_as_a_whole() -> None:
    assert Interval(-3, 0, 20).within(20)
    assert not Interval(-3, 0, 20.1).within(20)
    assert not Interval(-21, 0, 3).within(20)


def test_arguments() -> None:
    options = parse(["--rounds", "7", "--path", "cached", "--bound-cached", "30", "--json"])
    assert (options.rounds, options.paths, options.bounds["cached"], options.json) == (7, ("cached",), 30.0, True)
    assert parse([]).rounds == 20_000
    assert parse(["--planted"]).paths == ("cached",)
    for wrong in (["--rounds", "2"], ["--time-grid", "2"], ["--path", "none"], ["--frobnicate"]):
        with pytest.raises(SystemExit) as refused:
            parse(wrong)
        assert refused.value.code == 2
