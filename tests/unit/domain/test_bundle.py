from __future__ import annotations

from datetime import date

import pytest

from gateway.errors import Reason, TiergateError
from tests.unit.domain.samples import BORROWING, LIBRARY, TRANSIT, bundle, scenario

DAY = date(2026, 3, 15)


def test_an_open_scenario_is_found() -> None:
    assert bundle().scenario_for(BORROWING, LIBRARY, DAY) == scenario()


@pytest.mark.parametrize("name", ["", "unknown", BORROWING.upper(), BORROWING + " ", "借书", "x" * 10_000])
def test_another_scenario_is_unknown(name: str) -> None:
    with pytest.raises(TiergateError) as caught:
        bundle().scenario_for(name, LIBRARY, DAY)
    assert caught.value.reason is Reason.SCENARIO_UNKNOWN
    assert not caught.value.detail


def test_an_empty_bundle_knows_no_scenario() -> None:
    with pytest.raises(TiergateError) as caught:
        bundle(scenarios={}).scenario_for(BORROWING, LIBRARY, DAY)
    assert caught.value.reason is Reason.SCENARIO_UNKNOWN


def test_a_scenario_is_not_open_to_another_operator() -> None:
    with pytest.raises(TiergateError) as caught:
        bundle().scenario_for(BORROWING, TRANSIT, DAY)
    assert caught.value.reason is Reason.SCENARIO_NOT_OPEN


@pytest.mark.parametrize("day", [date(2026, 2, 28), date(2026, 4, 1)])
def test_a_scenario_is_not_open_outside_its_dates(day: date) -> None:
    with pytest.raises(TiergateError) as caught:
        bundle().scenario_for(BORROWING, LIBRARY, day)
    assert caught.value.reason is Reason.SCENARIO_NOT_OPEN
