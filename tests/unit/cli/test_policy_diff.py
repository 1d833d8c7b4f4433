from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Change, Run

DAY = ("--on", "2026-11-30")


def document(run: Run, old: Path, new: Path, *more: object) -> Any:
    done = run("policy", "diff", old, new, *DAY, *more, "--json")
    assert done.code == 0, done.err
    return done.document


def test_nothing_differs(run: Run, policies: Path) -> None:
    found = document(run, policies, policies)
    assert (found["effects"], found["access"], found["stated"]) == ([], [], [])
    assert "no difference" in run("policy", "diff", policies, policies).out


def test_a_moved_cut_is_told_with_the_points_between_and_both_terms(
    run: Run, policies: Path, draft: Path, change: Change
) -> None:
    change("cities/fuzhou.toml", 'minimum = 650\nlabel_zh = "信用良好"', 'minimum = 697\nlabel_zh = "良好"')
    found = document(run, policies, draft)
    (effect,) = found["effects"]
    assert (effect["verdict"], effect["since"], effect["until"]) == ("worse", "2026-11-30", None)
    assert effect["who"] == [
        {
            "home": "fuzhou",
            "tier_before": "good",
            "tier_after": "ordinary",
            "points": [650, 696],
            "illustrative_before": False,
            "illustrative_after": False,
        }
    ]
    library = next(at for at in effect["where"] if at["scenario"] == "xiamen-library")
    assert (library["before"]["outcome"], library["after"]["outcome"]) == ("entitled", "ordinary")
    assert library["terms"] == [
        {"term": "deposit_waiver", "before": 1, "after": 0},
        {"term": "extra_quota books", "before": 40, "after": 0},
    ]
    assert {(item["key"], item["sort"]) for item in found["stated"]} == {
        ("cuts.good.minimum", "cut"),
        ("cuts.good.label_zh", "label"),
    }
    told = run("policy", "diff", policies, draft, *DAY).out
    for words in (
        "Lose, from 2026-11-30: residents of fuzhou, 650-696 points (good, then ordinary)",
        "No deposit",
        "按图书馆普通读者规则借阅，需缴押金",
        "deposit_waiver: given",
        "Points moved",
        "Names and labels",
    ):
        assert words in told
    back = document(run, draft, policies)["effects"]
    assert [item["verdict"] for item in back] == ["better"]


def test_terms_that_rise_and_fall_are_told_to_all_who_reach_them(
    run: Run, policies: Path, draft: Path, change: Change
) -> None:
    change("scenarios/library.toml", "count = 40", "count = 30")
    change("scenarios/library.cases.toml", "count = 40", "count = 30")
    (effect,) = document(run, policies, draft)["effects"]
    assert effect["verdict"] == "worse"
    assert {who["home"] for who in effect["who"]} > {"fuzhou", "xiamen"}
    assert {who["tier_after"] for who in effect["who"]} == {"good", "excellent", "outstanding"}
    assert [at["scenario"] for at in effect["where"]] == ["xiamen-library"]


def test_an_acceptance_from_another_day_is_told_with_its_days(
    run: Run, policies: Path, draft: Path, change: Change
) -> None:
    change("acceptance/pingtan.toml", "effective_from = 2026-05-01", "effective_from = 2027-02-01")
    found = document(run, policies, draft)
    assert found["access"]
    assert {(item["since"], item["until"], item["before"]) for item in found["access"]} >= {
        ("2026-11-30", "2027-01-31", "open")
    }
    assert {item["until"] for item in found["effects"]} == {"2027-01-31"}
    told = run("policy", "diff", policies, draft, *DAY).out
    assert "Opens and closes" in told
    assert "until 2027-01-31" in told


def test_a_scenario_that_goes_and_one_host_fewer(run: Run, policies: Path, draft: Path, change: Change) -> None:
    for path in (draft / "scenarios").glob("umbrella*"):
        path.unlink()
    found = document(run, policies, draft)
    gone = {item["name"] for item in found["stated"] if item["part"] == "scenarios" and item["after"] is None}
    assert gone == {"fuzhou-umbrella"}
    assert found["places"]["scenarios"] == {"opened": [], "closed": ["fuzhou-umbrella"]}
    assert {at["after"]["terms"] for item in found["effects"] for at in item["where"]} == {None}
    assert "no such offer" in run("policy", "diff", policies, draft, *DAY).out


def test_hosts_and_operators_that_come_and_go(run: Run, policies: Path, draft: Path, change: Change) -> None:
    """Pingtan offers nothing any more; at another host, another operator asks."""
    for path in (draft / "scenarios").glob("*.toml"):
        text = path.read_text("utf-8")
        rows = text.split("[[hosts]]")
        kept = [row for row in rows if 'city = "pingtan"' not in row]
        path.write_text("[[hosts]]".join(kept), "utf-8")
    rules = (draft / "acceptance" / "pingtan.toml").read_text("utf-8").partition("[[honours]]")
    vouches = rules[2].partition("# As a home city")[2].partition("[[vouches]]")
    (draft / "acceptance" / "pingtan.toml").write_text(f"{rules[0]}honours = []\n[[vouches]]{vouches[2]}", "utf-8")
    change("scenarios/library.toml", 'city = "xiamen"', 'city = "xiamen"\noperators = ["xiamen-leisure"]')
    places = document(run, policies, draft)["places"]
    assert places["hosts"] == {"opened": [], "closed": ["pingtan"]}
    assert "pingtan-library" in places["scenarios"]["closed"]
    assert places["operators_at"] == [
        {"scenario": "xiamen-library", "opened": ["xiamen-leisure"], "closed": ["xiamen-library"]}
    ]
    told = run("policy", "diff", policies, draft, *DAY).out
    for words in ("host cities closed: pingtan", "xiamen-library opened to xiamen-leisure"):
        assert words in told


def test_bundles_are_compared_from_the_day_on_which_the_new_one_takes_effect(
    run: Run, policies: Path, draft: Path, change: Change, tmp_path: Path
) -> None:
    change("scenarios/library.toml", "count = 40", "count = 50")
    change("scenarios/library.cases.toml", "count = 40", "count = 50")
    plain = [tmp_path / name for name in ("old", "new")]
    for number, (folder, out) in enumerate(zip((policies, draft), plain, strict=True), start=1):
        dates = ("--expires", "2036-12-31", "--effective", f"203{number}-01-01T02:00Z")
        done = run("policy", "build", folder, "--version", number, *dates, "--out", out)
        assert done.code == 0, done.err
    done = run("policy", "diff", *plain, "--json")
    assert done.code == 0, done.err
    assert (done.document["from"], done.document["bundle"]["version"]) == ("2032-01-01", [1, 2])
    assert {item["verdict"] for item in done.document["effects"]} == {"better"}
    assert "not signed" in done.document["new"]
    assert "Gain, from 2032-01-01" in run("policy", "diff", *plain).out
    assert run("policy", "diff", *plain, "--root", plain[0]).code == 2


def test_another_range_of_a_score_is_a_caution(run: Run, policies: Path, draft: Path, change: Change) -> None:
    change("cities/pingtan.toml", "score_max = 1000", "score_max = 1100")
    (caution,) = document(run, policies, draft)["cautions"]
    assert caution.startswith("pingtan")
    assert f"caution: {caution}" in run("policy", "diff", policies, draft, *DAY).out


@pytest.mark.parametrize(
    ("name", "old", "new", "code"),
    [
        ("scenarios/transit.toml", "percent = 20", "percent = 25", 0),
        ("scenarios/transit.toml", "percent = 20", "percent = 15", 1),
        ("cities/fuzhou.toml", "minimum = 850\nlabel", "minimum = 900\nlabel", 1),
        ("acceptance/longyan.toml", "effective_from = 2027-07-01", "effective_from = 2027-08-01", 1),
        ("scenarios/library.toml", 'city = "xiamen"', 'city = "xiamen"\noperators = ["xiamen-leisure"]', 1),
        ("scenarios/library.toml", "up to 20 books at once (", "as many as 20 books at once (", 0),
        ("cities/fuzhou.toml", "max_age_days = 35", "max_age_days = 1", 1),
        ("cities/fuzhou.toml", "max_age_days = 35", "max_age_days = 36", 0),
        ("scenarios/library.toml", "max_uses = 50", "max_uses = 1", 1),
        ("scenarios/library.toml", "max_lifetime_days = 180", "max_lifetime_days = 1", 1),
        ("scenarios/library.toml", "unlimited = true", "unlimited = false", 1),
        ("scenarios/library.toml", "max_uses = 50", "max_uses = 60", 0),
        ("scenarios/library.toml", "max_uses = 50\nunlimited = true", "max_uses = 60\nunlimited = false", 1),
    ],
    ids=[
        *("gain", "less", "cut", "opens later", "operator", "words"),
        *("younger scores", "older scores", "fewer uses", "shorter", "counted alone", "more uses", "mixed"),
    ],
)
def test_a_review_can_stop_at_any_loss(
    run: Run, policies: Path, draft: Path, change: Change, name: str, old: str, new: str, code: int
) -> None:
    change(name, old, new)
    stopping = run("policy", "diff", policies, draft, *DAY, "--fail-on-loss", "--json")
    assert stopping.code == code, stopping.out
    assert document(run, policies, draft)["stated"] == stopping.document["stated"]


def test_what_cannot_be_read(run: Run, policies: Path, draft: Path, tmp_path: Path) -> None:
    assert run("policy", "diff", policies, tmp_path / "nowhere").code == 2
    assert run("policy", "diff", policies, draft, "--on", "soon").code == 2
    (tmp_path / "letter").write_text("{}", "utf-8")
    assert run("policy", "diff", policies, tmp_path / "letter").code == 4
    (draft / "cities" / "fuzhou.toml").write_text("id = 1", "utf-8")
    done = run("policy", "diff", policies, draft, "--json")
    assert done.code == 1
    assert done.document["error"]["problems"]
