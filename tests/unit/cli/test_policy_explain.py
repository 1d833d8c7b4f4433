from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.cli.localnet.provision import Network
from gateway.policy.load import load_policies
from tests.unit.cli.conftest import Run

HOW = ("--home", "fuzhou", "--scenario", "xiamen-library", "--on", "2026-11-30")


def explained(run: Run, source: Path, *how: object) -> Any:
    done = run("policy", "explain", source, *(how or HOW), "--json")
    assert done.code == 0, done.err
    return done.document


def test_every_step_is_told_with_its_source(run: Run, policies: Path) -> None:
    found = explained(run, policies)
    rules = load_policies(policies).policies
    concordance, scenario = rules.concordances["fuzhou"], rules.scenarios["xiamen-library"]  # type: ignore[index]
    assert [(item["tier"], item["points"], item["rung"]) for item in found["tiers"]] == [
        ("ordinary", [0, 649], 0),
        ("good", [650, 749], 1),
        ("excellent", [750, 849], 1),
        ("outstanding", [850, 1000], 1),
    ]
    good = found["tiers"][1]
    assert (good["cut"]["minimum"], good["cut"]["label_zh"]) == (650, "信用良好")
    assert good["cut"]["source"]["url"] == concordance.source.url
    assert good["cut"]["source"]["confidence"] == concordance.source.confidence
    assert good["terms"]["text_zh"] == scenario.rungs[0].terms.text_zh
    assert found["tiers"][0]["terms"]["text_en"] == scenario.base.text_en
    assert found["home_city"]["concordance_version"] == concordance.version
    assert found["acceptance"]["state"] == "open"
    assert found["acceptance"]["host"]["city"] == "xiamen"
    assert found["acceptance"]["host"]["rules"] == [{"effective_from": "2026-05-01", "effective_until": None}]
    assert found["acceptance"]["home"]["illustrative"] is True
    assert (found["illustrative"], found["bundle"]) == (False, None)


def test_people_read_it_in_both_languages(run: Run, policies: Path) -> None:
    told = run("policy", "explain", policies, *HOW).out
    for words in (
        "650-749",
        "650, 信用良好",
        "confidence high",
        "1 of 1",
        "0 of 1, the base offer",
        "免押金，一次最多借阅 40 册",
        "No deposit, up to 40 books at once",
        "xiamen, the host city",
        "示意 illustrative",
        "version 1",
    ):
        assert words in told


def test_one_tier(run: Run, policies: Path) -> None:
    (only,) = explained(run, policies, *HOW, "--tier", "excellent")["tiers"]
    assert (only["tier"], only["outcome"]) == ("excellent", "entitled")


def test_illustrative_figures_are_marked(run: Run, policies: Path) -> None:
    how = ("--home", "pingtan", "--scenario", "fuzhou-library", "--on", "2026-11-30")
    assert explained(run, policies, *how)["illustrative"] is True
    assert "no city has published" in run("policy", "explain", policies, *how).out


def test_a_closed_pair_says_whose_word_is_missing_and_until_when(run: Run, policies: Path) -> None:
    how = ("--home", "nanping", "--scenario", "longyan-rental-housing", "--on", "2026-11-30")
    found = explained(run, policies, *how)
    assert found["acceptance"]["state"] != "open"
    assert {(item["rung"], item["outcome"]) for item in found["tiers"]} == {(0, "ordinary")}
    told = run("policy", "explain", policies, *how).out
    assert f"opens {found['acceptance']['opens']}" in told
    assert "none: " in told


def test_a_bundle_is_named_by_its_digest(run: Run, network: Network) -> None:
    shared = network.layout.shared
    found = explained(run, shared / "bundle.json", *HOW, "--root", shared / "root.json")
    verified = run("policy", "verify", shared / "bundle.json", "--root", shared / "root.json", "--json").document
    assert found["bundle"]["digest"] == verified["digest"]
    assert verified["digest"] in run("policy", "explain", shared / "bundle.json", *HOW).out


def test_the_source_of_an_acceptance_is_told(run: Run, policies: Path, tmp_path: Path) -> None:
    for path in policies.rglob("*.toml"):
        copy = tmp_path / path.relative_to(policies)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    file = tmp_path / "acceptance" / "xiamen.toml"
    stated = '[source]\nurl = "https://example.invalid/decision"\npublished = "2026-04"\nconfidence = "high"\n'
    file.write_text(file.read_text("utf-8") + stated, "utf-8")
    found = explained(run, tmp_path)
    assert found["acceptance"]["host"]["source"]["url"] == "https://example.invalid/decision"
    assert found["acceptance"]["home"]["source"] is None
    assert "https://example.invalid/decision" in run("policy", "explain", tmp_path, *HOW).out


def test_no_score_can_be_given(run: Run, policies: Path) -> None:
    for option in ("--score", "--points"):
        assert run("policy", "explain", policies, *HOW, option, "697").code == 2


@pytest.mark.parametrize(
    "how",
    [
        ("--home", "atlantis", "--scenario", "xiamen-library"),
        ("--home", "fuzhou", "--scenario", "library"),
        (*HOW, "--tier", "supreme"),
        (*HOW[:4], "--on", "soon"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(run: Run, policies: Path, how: tuple[str, ...]) -> None:
    done = run("policy", "explain", policies, *how)
    assert done.code == 2
    assert "one of" in done.err or "such as" in done.err
