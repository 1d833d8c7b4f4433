from __future__ import annotations

import pytest

from gateway.domain.decision import Decision, Outcome
from gateway.domain.ids import BundleDigest, CityId
from tests.unit.domain.samples import BORROWING, LIBRARY


@pytest.mark.parametrize(
    ("rung", "outcome"), [(0, Outcome.ORDINARY), (1, Outcome.ENTITLED), (2, Outcome.ENTITLED), (3, Outcome.ENTITLED)]
)
def test_the_outcome_follows_from_the_rung(rung: int, outcome: Outcome) -> None:
    decision = Decision("d", LIBRARY, CityId("fuzhou"), BORROWING, BundleDigest("ab" * 32), rung, 1, 2, 3)
    assert decision.outcome is Outcome.of(rung) is outcome


def test_there_are_two_outcomes_of_one_length() -> None:
    assert sorted(Outcome) == ["entitled", "ordinary"]
    assert len({len(outcome) for outcome in Outcome}) == 1
