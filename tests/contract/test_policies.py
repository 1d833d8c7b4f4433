"""Every policy file that is shipped, and its cases. A new file is red here until it is complete."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.domain.evaluate import at_best
from gateway.domain.ids import CityId, ScenarioId
from gateway.domain.notice import render_notice
from gateway.domain.scenario import DepositWaiver, ExtraQuota, FreePeriod, PayLater, PercentageOff, Term
from gateway.policy.bundle import build_bundle, read_bundle
from gateway.policy.cases import CaseResult, run_cases
from gateway.policy.load import LoadedPolicies, load_policies

ROOT = Path(__file__).resolve().parents[2] / "policies"
LOADED = load_policies(ROOT)
RESULTS = run_cases(ROOT, LOADED)
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.toml"))

# hosts of copies of newspaper and city pages that are not their publishers' own, some of them hijacked
MIRRORS = {
    "m.8037eee.com",
    "baijiapai.com",
    "u-safer.com",
    "enteach.net",
    "case.bixenon.cn",
    "welcomehomemurfreesboro.com",
    "jizihe.com",
    "www9599116.com",
    "myygl.org",
    "zhjswm.cn",
}


@pytest.fixture(scope="module")
def loaded() -> LoadedPolicies:
    return LOADED


def test_no_warning_is_left(loaded: LoadedPolicies) -> None:
    assert loaded.warnings == ()


@pytest.mark.parametrize("result", RESULTS, ids=[f"{result.file}: {result.name}" for result in RESULTS])
def test_a_case_holds(result: CaseResult) -> None:
    assert result.actual == result.expected


@pytest.mark.parametrize("name", [name for name in FILES if name.split("/")[0] in {"cities", "scenarios"}])
def test_a_file_has_cases_that_were_run(name: str) -> None:
    cases = name if name.endswith(".cases.toml") else name.removesuffix(".toml") + ".cases.toml"
    assert any(result.file == cases for result in RESULTS)


@pytest.mark.parametrize("name", FILES)
def test_no_file_links_a_mirror(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    hosts = {urlsplit(url).hostname or "" for url in re.findall(r"https?://[^\s\"]+", text)}
    assert not {host for host in hosts if host in MIRRORS or any(host.endswith(f".{mirror}") for mirror in MIRRORS)}


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".cases.toml") and name.startswith("cities")])
def test_scores_in_cases_say_that_they_are_synthetic(name: str) -> None:
    assert "synthetic" in (ROOT / name).read_text(encoding="utf-8").lower()


@pytest.mark.parametrize(
    ("city", "cuts", "illustrative"),
    [
        ("fuzhou", (650, 750, 850), False),
        ("xiamen", (650, 720, 800), True),
        ("quanzhou", (680, 760, 840), True),
    ],
)
def test_concordances_are_as_published_or_say_that_they_are_not(
    loaded: LoadedPolicies, city: str, cuts: tuple[int, ...], *, illustrative: bool
) -> None:
    concordance = loaded.policies.concordances[CityId(city)]
    assert tuple(cut.minimum for cut in concordance.cuts) == cuts
    assert concordance.illustrative is illustrative
    assert illustrative == (concordance.source.confidence != "high")


@pytest.mark.parametrize(
    ("scenario", "threshold", "base", "best"),
    [
        ("xiamen-library", 600, (), (DepositWaiver(), ExtraQuota("books", 40))),
        ("xiamen-roadside-parking", 530, (), (PayLater(7),)),
        ("fuzhou-transit", 697, (PercentageOff(10),), (PercentageOff(20),)),
        ("fuzhou-power-bank", 650, (), (FreePeriod(180),)),
        ("fuzhou-scooter", 650, (), (FreePeriod(180),)),
        ("quanzhou-library", None, (), (DepositWaiver(), ExtraQuota("books", 20))),
    ],
)
def test_scenarios_give_the_published_terms(
    loaded: LoadedPolicies, scenario: str, threshold: int | None, base: tuple[Term, ...], best: tuple[Term, ...]
) -> None:
    found = loaded.policies.scenarios[ScenarioId(scenario)]
    assert found.local_threshold == threshold
    assert found.base.items == base
    assert found.terms_of(found.cap(3)).items == best


def test_each_of_the_three_cities_also_hosts(loaded: LoadedPolicies) -> None:
    assert {scenario.host_city for scenario in loaded.policies.scenarios.values()} >= {"fuzhou", "xiamen", "quanzhou"}


def test_synthetic_operators_say_so(loaded: LoadedPolicies) -> None:
    for operator in loaded.policies.operators.values():
        assert operator.contact.endswith(".example.invalid") == operator.illustrative


def test_the_bundle_holds_all_of_it(loaded: LoadedPolicies) -> None:
    bundle = read_bundle(build_bundle(loaded, 1, date(2027, 12, 31)))
    assert bundle.scenarios == loaded.policies.scenarios
    assert bundle.concordances == loaded.policies.concordances
    assert bundle.operators == loaded.policies.operators


def test_the_notice_tells_what_the_law_asks_for(loaded: LoadedPolicies) -> None:
    policies = loaded.policies
    for scenario in policies.scenarios.values():
        for name in scenario.operators:
            operator = policies.operators[name]
            best = at_best(policies, scenario, CityId("fuzhou"))
            notice = render_notice(
                policies.notice, operator, scenario, "福州", "Fuzhou",
                lifetime_s=30 * 86_400, uses=None, bound="operator", best=best,
            )  # fmt: skip
            assert ("示意数据" in notice.zh) == ("illustrative:" in notice.en) == best.illustrative
            zh = (operator.name_zh, scenario.purpose_zh, "30 天", "不限次数", "不必在场", "撤回", "拒绝", "不会提供")
            en = (operator.name_en, scenario.purpose_en, "30 days", "any number", "being there", "Withdrawal", "refuse")
            for text, words in ((notice.zh, zh), (notice.en, en)):
                assert operator.contact in text
                for terms in (scenario.base, best.terms):  # without consent, and with it
                    assert (terms.text_zh if text is notice.zh else terms.text_en) in text
                assert all(word in text for word in words)
                assert "{" not in text
