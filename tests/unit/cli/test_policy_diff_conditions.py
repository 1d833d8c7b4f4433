"""What a difference tells beside changed terms: conditions that tighten or ease, and what rests on examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Change, Run
from tests.unit.cli.test_policy_diff import DAY, document


@pytest.mark.parametrize(
    ("name", "old", "new", "condition", "ends", "words"),
    [
        (
            "cities/fuzhou",
            "max_age_days = 35",
            "max_age_days = 1",
            "max_age_days",
            (35, 1),
            "a score may be old: 35 -> 1",
        ),
        (
            "scenarios/library",
            "max_uses = 50",
            "max_uses = 1",
            "max_uses",
            (50, 1),
            "uses of a counted consent: 50 -> 1",
        ),
        (
            "scenarios/library",
            "max_lifetime_days = 180",
            "max_lifetime_days = 1",
            "max_lifetime_days",
            (180, 1),
            "days that a consent may last: 180 -> 1",
        ),
        (
            "scenarios/library",
            "max_uses = 50\nunlimited = true",
            "max_uses = 50\nunlimited = false",
            "unlimited",
            (1, 0),
            "consents without a count: given -> none",
        ),
        (
            "scenarios/library",
            'time_grain = "day"',
            'time_grain = "minute"',
            "time_grain day",
            (1, 0),
            "times kept by the day alone: given -> none",
        ),
    ],
    ids=["age", "uses", "lifetime", "unlimited", "times"],
)
def test_a_condition_that_tightens_is_a_loss_and_one_that_eases_a_gain(
    run: Run,
    policies: Path,
    draft: Path,
    change: Change,
    name: str,
    old: str,
    new: str,
    condition: str,
    ends: tuple[int, int],
    words: str,
) -> None:
    """Though terms, tiers and who is open to whom stay as they are."""
    start = policies
    if condition == "time_grain day":  # shipped as coarse as it can be where it matters, and fine elsewhere
        start, draft = draft, policies
        old, new = new, old
        change(f"{name}.toml", old, new)
    else:
        change(f"{name}.toml", old, new)
    effects = document(run, start, draft)["effects"]
    assert {item["verdict"] for item in effects} == {"worse"}
    assert {item["since"] for item in effects} >= {"2026-11-30"}
    for at in (at for item in effects for at in item["where"]):
        assert (at["before"], at["after"], at["terms"]) == (None, None, [])
        assert at["conditions"] == [{"condition": condition, "before": ends[0], "after": ends[1]}]
    told = run("policy", "diff", start, draft, *DAY).out
    assert "Lose, from 2026-11-30: residents of" in told
    assert words in " ".join(told.split())
    assert "0 better" in told
    assert ", 0 worse" not in told
    assert {item["verdict"] for item in document(run, draft, start)["effects"]} == {"better"}


def test_who_is_affected_by_a_maximum_age_are_those_to_whom_their_score_brings_something(
    run: Run, policies: Path, draft: Path, change: Change
) -> None:
    change("cities/fuzhou.toml", "max_age_days = 35", "max_age_days = 1")
    effects = document(run, policies, draft)["effects"]
    assert {who["home"] for item in effects for who in item["who"]} == {"fuzhou"}
    assert {who["tier_after"] for item in effects for who in item["who"]} == {"good", "excellent", "outstanding"}
    (metro,) = [item for item in effects if "fuzhou-transit" in {at["scenario"] for at in item["where"]}]
    assert {who["tier_after"] for who in metro["who"]} == {"excellent", "outstanding"}


def test_a_limit_on_consents_is_told_to_all_who_may_ask_there_and_to_nobody_else(
    run: Run, policies: Path, draft: Path, change: Change
) -> None:
    """Residents of Pingtan may ask in Ningde from a day on; in Xiamen their city and the host agree already."""
    change("scenarios/library.toml", "max_uses = 20", "max_uses = 10")
    at_ningde = [
        (item["since"], {who["home"] for who in item["who"]})
        for item in document(run, policies, draft)["effects"]
        if "ningde-library" in {at["scenario"] for at in item["where"]}
    ]
    assert ("2027-07-01", {"pingtan"}) in at_ningde
    assert all("pingtan" not in homes for since, homes in at_ningde if since == "2026-11-30")


def test_another_purpose_ends_the_consents_in_hand(run: Run, policies: Path, draft: Path, change: Change) -> None:
    old = next(
        line for line in (draft / "scenarios/library.toml").read_text("utf-8").splitlines() if "purpose =" in line
    )
    change("scenarios/library.toml", old, 'purpose = "novelty"')
    effects = document(run, policies, draft)["effects"]
    assert {item["verdict"] for item in effects} == {"mixed"}
    told = " ".join(run("policy", "diff", policies, draft, *DAY).out.split())
    for words in ("consents for novelty: none -> given", "given -> none", "Gain in one thing and lose in another"):
        assert words in told
    assert run("policy", "diff", policies, draft, *DAY, "--fail-on-loss").code == 1


def test_tiers_terms_and_values_from_illustrative_figures_are_marked_and_published_ones_are_not(
    run: Run, policies: Path, draft: Path, change: Change
) -> None:
    change("cities/longyan.toml", "minimum = 660", "minimum = 700")
    change("cities/fuzhou.toml", "minimum = 650\nlabel_zh", "minimum = 697\nlabel_zh")
    found = document(run, policies, draft)
    assert found["illustrative"] is True
    marks = {
        who["home"]: (who["illustrative_before"], who["illustrative_after"])
        for item in found["effects"]
        for who in item["who"]
    }
    assert marks == {"longyan": (True, True), "fuzhou": (False, False)}
    offers = {at["scenario"]: at["illustrative_after"] for item in found["effects"] for at in item["where"]}
    assert (offers["xiamen-library"], offers["longyan-library"]) == (False, True)
    values = {item["name"]: item["illustrative_before"] for item in found["stated"] if item["sort"] == "cut"}
    assert values == {"longyan": True, "fuzhou": False}
    told = run("policy", "diff", policies, draft, *DAY).out
    for words in ("residents of longyan~, 660-699", "residents of fuzhou, 650-696", "~ 示意 illustrative"):
        assert words in told
    cuts = {line.split()[1]: line.split()[3:] for line in told.splitlines() if "cuts.good.minimum" in line}
    assert cuts == {"longyan": ["660~", "700~"], "fuzhou": ["650", "697"]}


def test_figures_that_a_city_has_published_since_are_marked_before_alone(
    run: Run, policies: Path, draft: Path, change: Change
) -> None:
    change("cities/longyan.toml", "minimum = 660", "minimum = 640")
    change("cities/longyan.toml", "illustrative = true", "illustrative = false")
    found = document(run, policies, draft)
    (cut,) = [item for item in found["stated"] if item["sort"] == "cut"]
    assert (cut["illustrative_before"], cut["illustrative_after"]) == (True, False)
    assert {(who["illustrative_before"], who["illustrative_after"]) for who in found["effects"][0]["who"]} == {
        (True, False)
    }


def test_published_figures_alone_bear_no_mark(run: Run, policies: Path, draft: Path, change: Change) -> None:
    change("cities/fuzhou.toml", "max_age_days = 35", "max_age_days = 35\n# reviewed")
    assert document(run, policies, draft)["illustrative"] is False
    assert "~" not in run("policy", "diff", policies, draft, *DAY).out
