from __future__ import annotations

from gateway.transport.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(3, 10.0, clock)
    for _ in range(3):
        assert breaker.admit() == 0
        breaker.failed()
    return breaker


def test_it_opens_after_faults_in_a_row_and_tells_how_long() -> None:
    clock = Clock()
    breaker = opened(clock)
    assert breaker.admit() == 10.0
    clock.now += 4
    assert breaker.admit() == 6.0


def test_an_answer_in_between_starts_the_count_again() -> None:
    breaker = Breaker(2, 10.0, Clock())
    for _ in range(5):
        breaker.failed()
        breaker.succeeded()
    breaker.failed()
    assert breaker.admit() == 0


def test_after_its_time_one_caller_tries_and_the_others_wait() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 10
    assert breaker.admit() == 0
    assert breaker.admit() == 10.0
    breaker.succeeded()
    assert breaker.admit() == 0
    assert breaker.admit() == 0


def test_a_failed_try_opens_it_again() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 10
    breaker.admit()
    breaker.failed()
    assert breaker.admit() == 10.0


def test_an_abandoned_try_leaves_the_next_to_try() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 10
    breaker.admit()
    breaker.abandoned()
    assert breaker.admit() == 0
    breaker.succeeded()
    assert breaker.admit() == 0


def test_an_abandoned_call_is_no_fault() -> None:
    breaker = Breaker(1, 10.0, Clock())
    breaker.admit()
    breaker.abandoned()
    assert breaker.admit() == 0
