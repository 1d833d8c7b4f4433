from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.cli.localnet.plan import CITY_NAMES
from gateway.cli.localnet.provision import Network
from tests.unit.cli.conftest import Run

DAY = ("--on", "2026-11-30")


def cells(run: Run, policies: Path, *arguments: str) -> list[dict[str, Any]]:
    day = () if "--on" in arguments else DAY
    done = run("policy", "matrix", policies, *day, *arguments, "--json")
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = done.document["cells"]
    return found


def test_every_area_is_home_and_host_with_ten_open_scenarios_or_more(run: Run, policies: Path) -> None:
    found = cells(run, policies)
    assert {cell["home"] for cell in found} == {cell["host"] for cell in found} == set(CITY_NAMES)
    kinds = {cell["scenario"].removeprefix(f"{cell['host']}-") for cell in found}
    assert len(kinds) >= 12
    for host in CITY_NAMES:
        open_here = {cell["scenario"] for cell in found if cell["host"] == host and cell["state"] == "open"}
        assert len(open_here) >= 10, host
        for home in CITY_NAMES:
            here = [cell for cell in found if (cell["home"], cell["host"]) == (home, host)]
            opened = [cell for cell in here if cell["state"] == "open"]
            assert len(opened) >= 10 or not opened, (home, host)
        own = [cell for cell in found if cell["host"] == cell["home"] == host]
        assert all(cell["state"] == "open" for cell in own), "a city accepts its own residents"
    assert {cell["state"] for cell in found} > {"open"}, "not everything is open: acceptance is a decision"


def test_filters_leave_what_they_name(run: Run, policies: Path) -> None:
    (one,) = cells(run, policies, "--home", "fuzhou", "--host", "xiamen", "--scenario", "library")
    assert one == cells(run, policies, "--home", "fuzhou", "--scenario", "xiamen-library")[0]
    assert one == {
        "home": "fuzhou",
        "host": "xiamen",
        "scenario": "xiamen-library",
        "state": "open",
        "since": "2026-05-01",
        "until": None,
        "opens": None,
        "rungs": {"good": 1, "excellent": 1, "outstanding": 1},
        "illustrative": False,
        "decided_illustratively": True,
    }


def test_what_is_closed_says_so_and_when_it_opens(run: Run, policies: Path) -> None:
    chosen = ("--home", "nanping", "--scenario", "longyan-rental-housing")
    (closed,) = cells(run, policies, *chosen)
    assert closed["state"] != "open"
    (opened,) = cells(run, policies, *chosen, "--on", closed["opens"])
    assert (opened["state"], opened["since"]) == ("open", closed["opens"])


def test_people_get_a_grid_or_the_details_of_one_city(run: Run, policies: Path) -> None:
    grid = run("policy", "matrix", policies, *DAY, "--scenario", "rental-housing").out
    for word in ("longyan-rental-housing", "no: host", "0/1/1~", "示意 illustrative", "2027-07-01"):
        assert word in grid
    details = run("policy", "matrix", policies, *DAY, "--home", "fuzhou", "--host", "xiamen").out
    for word in (
        "xiamen-library",
        "2026-05-01",
        "rung of excellent",
        "示意 illustrative",
        "published no such decision",
    ):
        assert word in details


def test_a_signed_bundle_has_the_same_matrix(run: Run, policies: Path, network: Network) -> None:
    shared = network.layout.shared
    signed = run("policy", "matrix", shared / "bundle.json", "--root", shared / "root.json", *DAY, "--json").document
    assert signed["cells"] == cells(run, policies)
    assert "signatures verified" in signed["source"]


@pytest.mark.parametrize(
    "arguments", [("--home", "atlantis"), ("--host", "atlantis"), ("--scenario", "submarine"), ("--on", "soon")]
)
def test_a_filter_that_names_nothing_is_told_what_there_is(
    run: Run, policies: Path, arguments: tuple[str, str]
) -> None:
    done = run("policy", "matrix", policies, *arguments)
    assert done.code == 2
    assert arguments[0] in done.err
    assert "one of" in done.err or "such as" in done.err
