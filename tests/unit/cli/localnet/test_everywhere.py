from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.cli.localnet.everywhere import Answer, Everywhere, Trial, Tried, level_of, trials
from gateway.cli.localnet.everywhere_shown import show_everywhere
from gateway.cli.localnet.plan import CITY_NAMES
from gateway.domain.bundle import Bundle
from gateway.domain.matrix import matrix
from gateway.policy.bundle import build_bundle, read_bundle
from gateway.policy.load import load_policies
from tests.unit.cli.conftest import Run

DAY = date(2026, 11, 30)
CITIES = tuple(CITY_NAMES)
LOG: Any = SimpleNamespace(size=9, root=bytes(32), entries={"decision": 3})


@cache
def bundle() -> Bundle:
    loaded = load_policies(Path(__file__).resolve().parents[4] / "policies")
    return read_bundle(build_bundle(loaded, 1, date(2027, 12, 31)))


@cache
def planned() -> tuple[Trial, ...]:
    return tuple(trials(bundle(), CITIES, DAY))


def test_what_is_tried_is_the_matrix_cell_by_cell(run: Run, policies: Path) -> None:
    tried = Counter((item.cell.home, item.cell.scenario.id, item.cell.state) for item in planned())
    assert set(tried.values()) == {1}
    assert tried.keys() == {(cell.home, cell.scenario.id, cell.state) for cell in matrix(bundle(), DAY)}
    printed = run("policy", "matrix", policies, "--on", DAY.isoformat(), "--json").document["cells"]
    assert tried.keys() == {(cell["home"], cell["scenario"], cell["state"]) for cell in printed}


def test_of_some_cities_it_is_their_part_of_the_matrix() -> None:
    some = CITIES[:3]
    tried = [(item.cell.home, item.cell.scenario.id) for item in trials(bundle(), some, DAY)]
    wanted = {
        (cell.home, cell.scenario.id)
        for cell in matrix(bundle(), DAY)
        if cell.home in some and cell.scenario.host_city in some
    }
    assert set(tried) == wanted
    assert len(tried) == len(wanted)


def test_what_is_lent_to_a_closed_offer_is_open_and_of_the_same_operator() -> None:
    lent = [item for item in planned() if item.lent is not None]
    assert lent
    for item in lent:
        assert item.lent is not None
        assert item.cell.state != "open"
        assert (item.lent.home, item.lent.state) == (item.cell.home, "open")
        assert item.cell.scenario.operators[0] in item.lent.scenario.operators


def test_closed_pairs_are_tried_with_the_reason_that_belongs_to_their_side() -> None:
    closed = [item for item in planned() if item.cell.state != "open"]
    assert {item.cell.state for item in closed} == {"not-honoured", "not-vouched", "closed"}
    assert all(item.expected.outcome in {"HOME_NOT_HONOURED", "HOST_NOT_VOUCHED"} for item in closed)
    assert any(item.lent is not None for item in closed)


def test_what_is_expected_follows_from_level_and_scenario() -> None:
    assert {level_of(place) for place in range(len(CITIES))} == {1, 2, 3}
    assert {item.expected.outcome for item in planned() if item.cell.state == "open"} == {"ENTITLED", "ORDINARY"}
    for item in planned():
        if item.cell.state == "open":
            rung = item.cell.rungs[item.level]
            assert item.expected.text_en == item.cell.scenario.terms_of(rung).text_en
            assert (item.expected.outcome == "ENTITLED") == (rung > 0)


@pytest.mark.parametrize("as_json", [True, False])
def test_any_difference_is_told_and_ends_non_zero(
    run: Run, capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    del run
    trial = next(item for item in planned() if item.expected.outcome == "ENTITLED" and not item.expected.illustrative)
    right = Tried(trial, "gateway", trial.expected)
    whole = Everywhere({str(trial.cell.home): trial.level}, [right], LOG)
    assert whole.exit_code == 0
    for wrong in (
        Answer("ORDINARY", trial.expected.text_zh, trial.expected.text_en),
        replace(trial.expected, illustrative=True),
        replace(trial.expected, text_zh="别的"),
        Answer("HOME_NOT_HONOURED"),
    ):
        found = replace(whole, tried=[right, Tried(trial, "gateway", wrong)])
        assert found.exit_code == 1
        show_everywhere(found, 1.0, as_json=as_json)
        out = capsys.readouterr().out
        assert ('"differences": 1' if as_json else "Not as the policies say") in out
        assert trial.cell.scenario.id in out
        assert as_json or "E1 !1" in out


@pytest.mark.parametrize("arguments", [("--cities", "fuzhou"), ("--all", "--cities", "fuzhou,atlantis")])
def test_cities_that_cannot_be_meant(run: Run, arguments: tuple[str, ...]) -> None:
    done = run("demo", *arguments)
    assert done.code == 2
    assert "--cities" in done.err
