"""Token buckets by key: what a burst and an hour allow, and what is forgotten."""

from __future__ import annotations

import random

import pytest

from gateway.errors import Reason, TiergateError
from gateway.rates import KeyRates

A, B = b"a" * 32, b"b" * 32


def rates(per_h: float = 60.0, burst: int = 3, max_keys: int = 100) -> KeyRates:
    return KeyRates(per_h=per_h, burst=burst, max_keys=max_keys)


def taken(limit: KeyRates, key: bytes, now: float, tries: int = 100) -> int:
    """How many can be taken at one moment."""
    return sum(not limit.take(key, now) for _ in range(tries))


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    limit = rates()
    assert taken(limit, A, 1000.0) == 3
    assert limit.take(A, 1000.0) == pytest.approx(60.0)
    assert limit.take(A, 1059.0) == pytest.approx(1.0)
    assert taken(limit, A, 1060.0) == 1
    assert taken(limit, A, 1180.0) == 2


def test_no_key_pays_for_another() -> None:
    limit = rates()
    assert taken(limit, A, 0.0) == 3
    assert taken(limit, B, 0.0) == 3


@pytest.mark.parametrize("per_h", [1.0, 6.0, 7.0, 1e9])
@pytest.mark.parametrize("start", [0.0, 1.234567e6])
def test_a_burst_is_whole_whatever_the_interval(per_h: float, start: float) -> None:
    assert taken(rates(per_h, 30), A, start) >= 30
    if per_h < 100:
        assert taken(rates(per_h, 30), A, start) == 30


def test_a_long_rest_allows_one_burst_and_no_more() -> None:
    limit = rates()
    taken(limit, A, 0.0)
    assert taken(limit, A, 1e6) == 3


def test_it_is_the_bucket_of_the_textbook() -> None:
    chosen = random.Random(7)
    limit, held, last, now = rates(60.0, 5), 5.0, 0.0, 0.0
    for _ in range(2000):
        now += chosen.choice([0.0, 1.0, 30.0, 61.0, 400.0])
        held, last = min(5.0, held + (now - last) / 60), now
        wait = limit.take(A, now)
        if held >= 1 - 1e-9:
            held -= 1
            assert wait == 0
        else:
            assert wait == pytest.approx((1 - held) * 60, abs=1e-3)


def test_what_is_given_back_can_be_taken_again() -> None:
    limit = rates()
    taken(limit, A, 0.0)
    limit.give_back(A)
    assert taken(limit, A, 0.0) == 1
    limit.give_back(B)  # of an unknown key: nothing
    assert taken(limit, B, 0.0) == 3


def test_a_refusal_says_when_to_come_again() -> None:
    limit = rates()
    taken(limit, A, 0.0)
    with pytest.raises(TiergateError) as caught:
        limit.require(A, 0.0)
    assert caught.value.reason is Reason.RATE_LIMITED
    assert caught.value.retry_after_s == pytest.approx(60.0)


def test_an_empty_bucket_is_remembered_until_it_is_full() -> None:
    limit = rates(per_h=60.0, burst=3)
    limit.take(B, 0.0)  # begins the generation in which A comes late
    taken(limit, A, 170.0)
    limit.take(B, 181.0)  # turns the generations
    assert taken(limit, A, 181.0) == 0
    assert taken(limit, A, 231.0) == 1


def test_memory_is_bounded_and_a_busy_key_is_the_last_to_go() -> None:
    limit = rates(max_keys=100)
    taken(limit, A, 0.0)
    for number in range(1000):
        limit.take(number.to_bytes(32), 0.0)
        limit.take(A, 0.0)
        assert len(limit) <= 100
    # whoever knows enough other consents can have one forgotten: the bound on memory costs that
    assert taken(limit, A, 0.0) <= 3


def test_keys_that_have_filled_up_are_dropped() -> None:
    limit = rates()
    for number in range(40):
        limit.take(number.to_bytes(32), 0.0)
    limit.take(A, 200.0)
    limit.take(B, 400.0)
    assert len(limit) == 2
