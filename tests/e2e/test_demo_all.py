"""``tiergate demo --all``, on three cities: real processes, each answer as the policy matrix says."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gateway.policy.load import load_policies
from tests.e2e.harness import until
from tests.e2e.test_demo import Run, demo

CITIES = ("fuzhou", "xiamen", "putian")
PROCESSES = 2 * len(CITIES) + 1


@pytest.fixture(scope="module")
async def both(in_checkout: Path) -> tuple[Run, Run]:
    """One for programs, one for people."""
    chosen = ("--all", "--cities", ",".join(CITIES))
    async with demo(*chosen, "--json") as machine, demo(*chosen) as human:
        codes = await asyncio.gather(machine.end(), human.end())
        assert not any(codes), machine.err + human.err
    return machine, human


def cells() -> set[tuple[str, str]]:
    """All that the matrix has between these cities."""
    policies = load_policies(Path(__file__).parents[2] / "policies").policies
    hosts = [item.id for item in policies.scenarios.values() if item.host_city in CITIES]
    return {(home, scenario) for home in CITIES for scenario in hosts}


def test_every_cell_of_the_matrix_is_tried_open_or_closed(both: tuple[Run, Run]) -> None:
    document = json.loads(both[0].out)
    checks = document["checks"]
    assert {(check["home_city"], check["scenario"]) for check in checks} == cells()
    assert document["differences"] == 0
    for check in checks:
        assert not check["differs"]
        assert check["expected"] == {name: check[name] for name in ("outcome", "text_zh", "text_en", "illustrative")}
    outcomes = {check["outcome"] for check in checks}
    assert outcomes == {"ENTITLED", "ORDINARY", "HOME_NOT_HONOURED"}
    assert document["log"]["verified"] is True
    assert document["log"]["size"] > len([check for check in checks if check["text_zh"]])


def test_a_closed_pair_is_refused_by_the_home_city_and_by_the_gateway(both: tuple[Run, Run]) -> None:
    checks = json.loads(both[0].out)["checks"]
    closed = [check for check in checks if check["outcome"] == "HOME_NOT_HONOURED"]
    assert {check["answered_by"] for check in closed} == {"home city", "gateway"}
    assert all(not check["text_zh"] for check in closed)


def test_answers_on_unpublished_figures_say_so(both: tuple[Run, Run]) -> None:
    checks = [check for check in json.loads(both[0].out)["checks"] if check["text_zh"]]
    assert {check["illustrative"] for check in checks} == {True, False}
    assert all(check["illustrative"] for check in checks if "putian" in {check["home_city"], check["host_city"]})


def test_people_get_a_matrix_with_its_legend(both: tuple[Run, Run]) -> None:
    out = both[1].out
    for word in (*CITIES, "synthetic", "示意 illustrative", "E entitled", "differences from the policies", "verified"):
        assert word in out


async def test_nothing_is_left(both: tuple[Run, Run], checkout: Path) -> None:
    for run in both:
        assert len(run.pids) == PROCESSES
        await until(run.all_gone, "every process is gone")
        assert not list((checkout / ".state").glob(f"*{run.process.pid}*"))
