from __future__ import annotations

import pytest

from gateway.errors import Reason, TiergateError
from gateway.transport.identity import Caller
from gateway.transport.limits import Gate, Rates
from tests.fakes.ca import identity


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def operator(name: str) -> Caller:
    return Caller(identity("operator", name))


def limited(rates: Rates, caller: Caller) -> float:
    """Seconds after which the caller may come again."""
    with pytest.raises(TiergateError) as caught:
        rates.take(caller)
    assert caught.value.reason is Reason.RATE_LIMITED
    assert caught.value.retry_after_s is not None
    return caught.value.retry_after_s


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    clock = Clock()
    rates = Rates(2.0, 3, monotonic=clock)
    for _ in range(3):
        rates.take(operator("a"))
    assert limited(rates, operator("a")) == pytest.approx(0.5)
    clock.now = 0.25
    assert limited(rates, operator("a")) == pytest.approx(0.25)
    clock.now = 0.5
    rates.take(operator("a"))
    assert limited(rates, operator("a")) == pytest.approx(0.5)


def test_a_long_rest_allows_one_burst_and_no_more() -> None:
    clock = Clock()
    rates = Rates(1.0, 2, monotonic=clock)
    rates.take(operator("a"))
    clock.now = 1e6
    rates.take(operator("a"))
    rates.take(operator("a"))
    limited(rates, operator("a"))


def test_a_batch_counts_by_its_items() -> None:
    clock = Clock()
    rates = Rates(1.0, 10, monotonic=clock)
    rates.take(operator("a"))
    rates.take_items(operator("a"), 8)
    rates.take(operator("a"))
    with pytest.raises(TiergateError) as caught:
        rates.take_items(operator("a"), 5)
    assert caught.value.reason is Reason.RATE_LIMITED
    assert caught.value.retry_after_s == pytest.approx(3.0)


def test_a_batch_larger_than_the_burst_passes_after_a_rest() -> None:
    clock = Clock()
    rates = Rates(1.0, 10, monotonic=clock)
    for _ in range(2):
        clock.now += 100
        rates.take(operator("a"))
        rates.take_items(operator("a"), 256)
        limited(rates, operator("a"))


def test_a_batch_of_one_is_one_call() -> None:
    rates = Rates(1.0, 1, monotonic=Clock())
    rates.take(operator("a"))
    rates.take_items(operator("a"), 1)


def test_callers_do_not_share_a_bucket() -> None:
    rates = Rates(1.0, 1, monotonic=Clock())
    rates.take(operator("a"))
    rates.take(operator("b"))
    limited(rates, operator("a"))


def test_the_number_of_buckets_is_bounded_and_full_ones_go_first() -> None:
    clock = Clock()
    rates = Rates(1.0, 1, max_callers=3, monotonic=clock)
    for name in "abc":
        rates.take(operator(name))
        clock.now += 0.5
    assert len(rates) == 3
    rates.take(operator("d"))  # a and b are full again, c is not
    assert len(rates) == 2
    limited(rates, operator("c"))
    rates.take(operator("e"))
    rates.take(operator("f"))
    assert len(rates) <= 3


def reason(gate: Gate) -> Reason:
    with pytest.raises(TiergateError) as caught:
        gate.check()
    assert caught.value.retry_after_s is not None
    return caught.value.reason


async def test_a_gate_refuses_more_than_its_capacity() -> None:
    gate = Gate(1)
    gate.check()
    gate.enter()
    assert reason(gate) is Reason.BUSY
    gate.leave()
    gate.check()


async def test_a_closed_gate_refuses_and_waits_for_those_inside() -> None:
    gate = Gate(2)
    gate.enter()
    gate.close()
    assert reason(gate) is Reason.SHUTTING_DOWN
    await gate.wait_idle(0.0)  # gives up
    gate.leave()
    await gate.wait_idle(20.0)


async def test_a_closed_gate_with_nobody_inside_is_idle() -> None:
    gate = Gate(1)
    gate.close()
    await gate.wait_idle(20.0)
