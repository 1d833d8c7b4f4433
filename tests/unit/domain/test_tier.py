from __future__ import annotations

import pytest

from gateway.domain.ids import TierId
from gateway.domain.tier import MAX_LEVEL
from tests.unit.domain.samples import bundle, concordance


@pytest.mark.parametrize(
    ("points", "level"),
    [(-100, 0), (0, 0), (599, 0), (600, 1), (601, 1), (699, 1), (700, 2), (759, 2), (760, 3), (761, 3), (1000, 3)],
)
def test_a_cut_is_reached_from_its_minimum_on(points: int, level: int) -> None:
    assert concordance().level_of(points) == level


@pytest.mark.parametrize("points", [-101, 1001, 10**15, -(10**15)])
def test_points_outside_the_range_are_no_tier(points: int) -> None:
    with pytest.raises(ValueError, match="outside") as caught:
        concordance().level_of(points)
    assert str(points) not in str(caught.value)


def test_without_cuts_everybody_is_ordinary() -> None:
    mapping = concordance(cuts=())
    assert {mapping.level_of(points) for points in (-100, 0, 1000)} == {0}


def test_a_city_may_not_reach_every_tier() -> None:
    first, _, last = concordance().cuts
    mapping = concordance(cuts=(first, last))
    assert [mapping.level_of(points) for points in (599, 600, 759, 760)] == [0, 1, 1, 3]


def test_a_cut_at_the_bottom_leaves_nobody_ordinary() -> None:
    (first, *_) = concordance(score_min=600).cuts
    assert concordance(score_min=600, cuts=(first,)).level_of(600) == 1


def test_levels_of_the_scale() -> None:
    scale = bundle().scale
    assert [scale.level_of(tier.id) for tier in scale.tiers] == list(range(MAX_LEVEL + 1))
    with pytest.raises(KeyError):
        scale.level_of(TierId("worse"))
