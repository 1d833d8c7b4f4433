from __future__ import annotations

import random
from collections import Counter
from hashlib import sha256
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.consentlog.sample import sample, seed_of
from gateway.errors import Reason, TiergateError

SIZE, ROOT = 10, bytes(range(32))
SEED = sha256(b"any seed").digest()
SEEDS = st.binary(min_size=32, max_size=32)


def test_a_seed_is_what_sha256sum_makes_of_four_lines() -> None:
    # printf 'tiergate audit sample v1\n10\n000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n\n'
    assert seed_of(SIZE, ROOT).hex() == "0fd215aa8f1ac71169c7a451eb82427546a1ca255618b51d1e3d011c0fdfaf4b"
    # the same with 抽样 in the fourth line
    assert seed_of(SIZE, ROOT, "抽样").hex() == "ecb10573a5f91ead3743fa7bef012db8aac34ae76065a170a43899ddafe17f2b"


def test_a_sample_recomputed_by_hand() -> None:
    # sha256sum of the first seed above and of a counter from 0 to 5 begins a7c53be343586b99, 9b6859cfb5c3c734,
    # 03d3b74ecf571742, 11061a2a82ee2cfc, 7ccefaac89ed2984, e7fdc0a4736b216e: modulo 10, 9, 8, 7, 6 and 5 that is
    # 5, 6, 2, 5, 0, 0. The row 0 1 2 3 4 5 6 7 8 9 becomes
    # 5 1 2 3 4 0 6 7 8 9   place 0 with place 5
    # 5 7 2 3 4 0 6 1 8 9   place 1 with place 7
    # 5 7 4 3 2 0 6 1 8 9   place 2 with place 4
    # 5 7 4 8 2 0 6 1 3 9   place 3 with place 8
    # 5 7 4 8 2 0 6 1 3 9   place 4 with place 4
    # 5 7 4 8 2 0 6 1 3 9   place 5 with place 5
    assert sample(seed_of(SIZE, ROOT), 10, 6) == [5, 7, 4, 8, 2, 0]


def test_another_head_or_nonce_has_another_seed() -> None:
    heads = [(SIZE, ROOT, ""), (SIZE + 1, ROOT, ""), (SIZE, bytes(32), ""), (SIZE, ROOT, "n"), (SIZE, ROOT, "\n")]
    assert len({seed_of(*head) for head in heads}) == len(heads)


def test_a_nonce_that_is_no_text() -> None:
    with pytest.raises(TiergateError) as failure:
        seed_of(SIZE, ROOT, "\udcff")
    assert failure.value.reason is Reason.RANGE_INVALID


@given(seed=SEEDS, population=st.integers(0, 400), count=st.integers(0, 500))
def test_numbers_are_distinct_and_in_range_and_all_if_that_many_are_asked_for(
    seed: bytes, population: int, count: int
) -> None:
    drawn = sample(seed, population, count)
    assert len(drawn) == len(set(drawn)) == min(count, population)
    assert all(0 <= number < population for number in drawn)
    if count >= population:
        assert sorted(drawn) == list(range(population))


@given(seed=SEEDS, population=st.integers(0, 1 << 64), fewer=st.integers(0, 40), more=st.integers(0, 40))
def test_a_sample_is_extended_by_asking_for_more(seed: bytes, population: int, fewer: int, more: int) -> None:
    assert sample(seed, population, fewer + more)[:fewer] == sample(seed, population, fewer)


def test_numbers_of_an_incomplete_round_are_passed_over() -> None:
    population = (1 << 63) + (1 << 20)  # one round alone fits below 2**64: almost every second number is passed over
    numbers = [int.from_bytes(sha256(SEED + at.to_bytes(8, "big")).digest()[:8], "big") for at in range(64)]
    kept = [number for number in numbers if number < population][:8]
    assert numbers[:8] != kept
    drawn = sample(SEED, population, 8)
    assert drawn == [place + number for place, number in enumerate(kept)]


def test_every_choice_is_equally_likely() -> None:
    source = random.Random(20261101)
    rounds = 6000
    found = Counter(tuple(sorted(sample(source.randbytes(32), 6, 2))) for _ in range(rounds))
    expected = rounds / 15
    assert set(found) == set(combinations(range(6), 2))
    # chi-squared with 14 degrees of freedom is above 36.1 once in a thousand
    assert sum((seen - expected) ** 2 / expected for seen in found.values()) < 36.1


@pytest.mark.parametrize(("population", "count"), [(-1, 1), (1, -1), ((1 << 64) + 1, 1)])
def test_what_cannot_be_drawn(population: int, count: int) -> None:
    with pytest.raises(TiergateError) as failure:
        sample(SEED, population, count)
    assert failure.value.reason is Reason.RANGE_INVALID
