from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Ran, Run
from tests.unit.consentlog.replayed import decided, published, registration, sound, write, write_shown
from tests.unit.consentlog.samples import TOKEN, TRUST, genesis

DAY = "2026-11-30"


@pytest.fixture
def log(tmp_path: Path) -> tuple[Path, Path]:
    """Export and trust file of a log with three entitled and two ordinary visitors of the library."""
    trust = tmp_path / "trust"
    trust.write_bytes(TRUST)
    items = [genesis(), published(), registration(), *(decided(rung) for rung in (1, 1, 1, 0, 0))]
    return write(tmp_path / "export", items), trust


def change(draft: Path, name: str, old: str, new: str) -> None:
    path = draft / name
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def rehearse(run: Run, draft: Path, log: tuple[Path, Path], *more: object) -> Ran:
    return run("policy", "rehearse", draft, "--export", log[0], "--trust", log[1], "--on", DAY, *more)


def counts(run: Run, draft: Path, log: tuple[Path, Path]) -> dict[str, Any]:
    done = rehearse(run, draft, log, "--json")
    assert done.code == 0, done.err
    found: dict[str, Any] = done.document
    return {name: found[name] for name in found if isinstance(found[name], int) and found[name]}


def test_the_same_policies_change_nothing(run: Run, draft: Path, log: tuple[Path, Path]) -> None:
    assert counts(run, draft, log) == {"decisions": 5}
    assert "5 decisions: 0 outcome changes" in rehearse(run, draft, log).out


def test_changed_terms_are_known_from_the_rung(run: Run, draft: Path, log: tuple[Path, Path]) -> None:
    change(draft, "scenarios/library.toml", "count = 40", "count = 30")
    assert counts(run, draft, log) == {"decisions": 5, "worse": 3}
    change(draft, "scenarios/library.toml", "count = 30", "count = 50")
    change(draft, "scenarios/library.toml", "按图书馆普通读者规则借阅，需缴押金", "按普通规则借阅，需缴押金")
    assert counts(run, draft, log) == {"decisions": 5, "better": 3, "other_words": 2}


def test_what_moved_cuts_leave_unknown_is_said(run: Run, draft: Path, log: tuple[Path, Path]) -> None:
    change(draft, "cities/fuzhou.toml", 'minimum = 650\nlabel_zh = "信用良好"', 'minimum = 697\nlabel_zh = "良好"')
    assert counts(run, draft, log) == {"decisions": 5, "unknown": 3}, "between 650 and 696, or above?"
    told = rehearse(run, draft, log).out
    assert "fuzhou: the cut of good moves from 650 to 697" in told
    change(draft, "cities/fuzhou.toml", "minimum = 697", "minimum = 600")
    for name in ("power-bank", "scooter", "umbrella"):  # else residents of Fuzhou would need more than visitors
        change(draft, f"scenarios/{name}.toml", "local_threshold = 650", "local_threshold = 600")
    # ordinary for want of points, or for another reason
    assert counts(run, draft, log) == {"decisions": 5, "unknown": 2}


def test_a_higher_tier_asked_for_changes_outcomes_where_the_log_can_tell(
    run: Run, draft: Path, log: tuple[Path, Path]
) -> None:
    change(draft, "acceptance/xiamen.toml", 'homes = ["fuzhou", ', "homes = [")
    found = rehearse(run, draft, log, "--json").document
    assert (found["refused"], found["worse"]) == (5, 3)
    (row,) = found["by_scenario_and_city"]
    assert (row["scenario"], row["city"], row["refused_by"]) == ("xiamen-library", "fuzhou", {"HOME_NOT_HONOURED": 5})


def test_a_shorter_maximum_age_is_named(run: Run, draft: Path, log: tuple[Path, Path]) -> None:
    change(draft, "cities/fuzhou.toml", "max_age_days = 35", "max_age_days = 10")
    assert any(
        "10 days old, 35 before" in line for line in rehearse(run, draft, log, "--json").document["cannot_be_known"]
    )


def test_what_rests_on_illustrative_figures_is_marked_and_nothing_else(run: Run, draft: Path, tmp_path: Path) -> None:
    """Xiamen's residents stand by cuts of an example; the library of Xiamen and Fuzhou's cuts are as published."""
    trust = tmp_path / "trust"
    trust.write_bytes(TRUST)
    log = (write(tmp_path / "sound", sound()), trust)
    change(draft, "cities/xiamen.toml", "minimum = 720", "minimum = 730")
    change(draft, "cities/fuzhou.toml", "minimum = 850\nlabel", "minimum = 860\nlabel")
    found = rehearse(run, draft, log, "--json").document
    marks = {(row["scenario"], row["city"]): row["illustrative"] for row in found["by_scenario_and_city"]}
    assert marks == {("fuzhou-transit", "xiamen"): True, ("xiamen-library", "fuzhou"): False}
    told = rehearse(run, draft, log).out
    marked = {line.split()[0] for line in told.splitlines() if line.rstrip().endswith("示意 illustrative")}
    assert marked == {"fuzhou-transit"}
    assert "moves from 720 (示意 illustrative) to 730 (示意 illustrative)" in told
    assert "moves from 850 to 860" in told
    assert "示意 illustrative: what was given there" in told


def test_a_draft_that_rests_on_examples_is_marked_though_what_was_given_did_not(
    run: Run, draft: Path, log: tuple[Path, Path]
) -> None:
    assert [row["illustrative"] for row in rehearse(run, draft, log, "--json").document["by_scenario_and_city"]] == [
        False
    ]
    change(draft, "cities/fuzhou.toml", "illustrative = false", "illustrative = true")
    assert [row["illustrative"] for row in rehearse(run, draft, log, "--json").document["by_scenario_and_city"]] == [
        True
    ]


def test_by_scenario_and_city(run: Run, draft: Path, tmp_path: Path) -> None:
    trust = tmp_path / "trust"
    trust.write_bytes(TRUST)
    done = rehearse(run, draft, (write(tmp_path / "sound", sound()), trust), "--json")
    rows = {(row["scenario"], row["city"]): row["decisions"] for row in done.document["by_scenario_and_city"]}
    assert rows == {("fuzhou-transit", "xiamen"): 2, ("xiamen-library", "fuzhou"): 2}


def test_a_decision_that_its_own_bundle_does_not_give(run: Run, draft: Path, tmp_path: Path) -> None:
    trust = tmp_path / "trust"
    trust.write_bytes(TRUST)
    items = [*sound()[:3], decided(scenario="nowhere"), decided(3)]
    assert counts(run, draft, (write(tmp_path / "wrong", items), trust)) == {"decisions": 2, "unreadable": 2}


def test_an_auditor_of_one_city_rehearses_what_it_may_see(run: Run, draft: Path, tmp_path: Path) -> None:
    trust = tmp_path / "trust"
    trust.write_bytes(TRUST)
    done = rehearse(run, draft, (write_shown(tmp_path / "scoped", sound()), trust), "--json")
    assert done.code == 0, done.err
    assert (done.document["scope"], done.document["decisions"]) == (["fuzhou"], 2)


def test_nothing_about_a_person_is_told(run: Run, draft: Path, log: tuple[Path, Path]) -> None:
    told = rehearse(run, draft, log, "--json").out + rehearse(run, draft, log).out
    for secret in (TOKEN, decided()["id"], decided()["private"]):
        assert str(secret) not in told


def test_a_bundle_as_draft(run: Run, draft: Path, log: tuple[Path, Path], tmp_path: Path) -> None:
    plain = tmp_path / "bundle.plain"
    ends = ("--expires", "2036-12-31", "--effective", "2031-01-01T00:00Z")
    assert run("policy", "build", draft, "--version", 2, *ends, "--out", plain).code == 0
    done = run("policy", "rehearse", plain, "--export", log[0], "--trust", log[1], "--json")
    assert (done.document["on"], done.document["decisions"]) == ("2031-01-01", 5)


def test_what_does_not_verify_is_not_rehearsed(run: Run, draft: Path, log: tuple[Path, Path]) -> None:
    path = next((log[0] / "tile/entries").rglob("8"))
    path.write_bytes(path.read_bytes().replace(b'"rung":1', b'"rung":2', 1))
    done = rehearse(run, draft, log)
    assert (done.code, done.out) == (4, "")
    assert run("policy", "rehearse", draft, "--export", draft / "no", "--trust", log[1]).code == 2
    assert json.loads(rehearse(run, log[1], log, "--json").out)["error"]["exit_code"] == 4
