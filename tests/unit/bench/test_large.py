"""Policies of any size for the benchmark: they are in order, and every city accepts every other."""

from __future__ import annotations

from datetime import date

import pytest

from bench.large import enlarged
from gateway.domain.evaluate import scenario_in_force
from gateway.policy.bundle import build_bundle, read_bundle
from gateway.policy.load import load_policies
from tests.fakes.network import POLICIES

DAY = date(2026, 12, 1)


@pytest.mark.parametrize("size", [(3, 10), (130, 12), (120, 301)])
def test_enlarged_policies_are_a_bundle(size: tuple[int, int]) -> None:
    bundle = read_bundle(build_bundle(enlarged(load_policies(POLICIES), *size), 1, date(2027, 12, 31)))
    assert (len(bundle.scenarios), len(bundle.concordances)) == size
    for item in bundle.scenarios.values():
        for home in bundle.concordances:
            assert scenario_in_force(bundle, item.id, item.operators[0], home, DAY) is item
