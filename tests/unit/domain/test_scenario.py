from __future__ import annotations

from datetime import date

import pytest

from gateway.domain.tier import MAX_LEVEL
from tests.unit.domain.samples import BASE, BORROWING, LIBRARY, MORE, SOME, TRANSIT, scenario


@pytest.mark.parametrize(("level", "rung"), [(0, 0), (1, 1), (2, 1), (3, 2)])
def test_a_level_is_capped_to_the_rungs(level: int, rung: int) -> None:
    assert scenario().cap(level) == rung


def test_without_rungs_every_level_gets_the_base_offer() -> None:
    plain = scenario(rungs=())
    assert [plain.cap(level) for level in range(MAX_LEVEL + 1)] == [0, 0, 0, 0]
    assert plain.terms_of(0) == BASE


def test_terms_follow_the_rung() -> None:
    assert [scenario().terms_of(rung) for rung in (0, 1, 2)] == [BASE, SOME, MORE]


@pytest.mark.parametrize("rung", [-1, -2, 3, 100])
def test_a_rung_that_the_scenario_does_not_have_has_no_terms(rung: int) -> None:
    with pytest.raises(IndexError):
        scenario().terms_of(rung)


@pytest.mark.parametrize(
    ("day", "is_open"),
    [
        (date(2026, 2, 28), False),
        (date(2026, 3, 1), True),
        (date(2026, 3, 31), True),
        (date(2026, 4, 1), False),
    ],
)
def test_a_scenario_is_open_on_its_first_and_last_day_and_between(day: date, *, is_open: bool) -> None:
    assert scenario().is_open(LIBRARY, day) is is_open


def test_a_scenario_without_an_end_stays_open() -> None:
    assert scenario(effective_until=None).is_open(LIBRARY, date(2099, 1, 1))


def test_a_scenario_is_closed_to_other_operators() -> None:
    assert not scenario().is_open(TRANSIT, date(2026, 3, 15))
    assert not scenario(operators=()).is_open(LIBRARY, date(2026, 3, 15))
    assert scenario().id == BORROWING
