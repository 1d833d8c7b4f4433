"""Policies that the tests of this folder start from; made up, with the shapes of real ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import MappingProxyType
from typing import Any, Final

from gateway.domain.acceptance import ANY, Acceptance, AcceptanceRule, AcceptanceRules
from gateway.domain.bundle import Bundle, NoticeTemplate
from gateway.domain.ids import BundleDigest, CityId, OperatorId, ScenarioId, TierId
from gateway.domain.scenario import ConsentLimits, DepositWaiver, ExtraQuota, Operator, Rung, Scenario, Terms
from gateway.domain.tier import Concordance, Cut, Source, Tier, TierScale

FUZHOU: Final = CityId("fuzhou")
XIAMEN: Final = CityId("xiamen")
LIBRARY: Final = OperatorId("xiamen-library")
TRANSIT: Final = OperatorId("xiamen-transit")
BORROWING: Final = ScenarioId("xiamen-library-borrowing")
SOURCE: Final = Source("https://example.org/", "2024-05", "medium")
BASE: Final = Terms((), "凭押金借阅", "With a deposit")
SOME: Final = Terms((DepositWaiver(),), "免押金", "No deposit")
MORE: Final = Terms((DepositWaiver(), ExtraQuota("books", 40)), "免押金,可借 40 册", "No deposit, 40 books")


def concordance(**changes: Any) -> Concordance:
    base = Concordance(
        city=CityId("fuzhou"),
        version=1,
        score_name_zh="示例分",
        score_name_en="Sample score",
        score_min=-100,
        score_max=1000,
        design="band",
        cuts=(Cut(1, 600, "良好", SOURCE), Cut(2, 700, "优秀", SOURCE), Cut(3, 760, "卓越", SOURCE)),
        max_age_days=60,
        effective_from=date(2026, 1, 1),
        effective_until=None,
        illustrative=True,
        source=SOURCE,
        range_source=SOURCE,
    )
    return replace(base, **changes)


def scenario(**changes: Any) -> Scenario:
    base = Scenario(
        id=BORROWING,
        version=1,
        host_city=CityId("xiamen"),
        sector="library",
        purpose="borrowing-without-deposit",
        name_zh="免押金借书",
        name_en="Borrowing without a deposit",
        operators=(LIBRARY,),
        base=BASE,
        rungs=(Rung(1, SOME), Rung(3, MORE)),
        consent=ConsentLimits(max_lifetime_s=86_400, max_uses=10, unlimited=True),
        time_grain="minute",
        effective_from=date(2026, 3, 1),
        effective_until=date(2026, 3, 31),
        illustrative=True,
        local_threshold=None,
        source=SOURCE,
    )
    return replace(base, **changes)


def operator(**changes: Any) -> Operator:
    base = Operator(LIBRARY, CityId("xiamen"), "示例图书馆", "Sample Library", "privacy@library.example", True)
    return replace(base, **changes)


def acceptance(city: CityId, **changes: Any) -> Acceptance:
    """A city that honours Fuzhou's residents, and vouches for its own in Xiamen."""
    rules = (AcceptanceRule(frozenset({home}), frozenset({ANY}), date(2026, 1, 1), None) for home in (FUZHOU, XIAMEN))
    honours, vouches = (AcceptanceRules([rule]) for rule in rules)
    return replace(Acceptance(city, 1, honours, vouches, True), **changes)


NAMED = (
    *("operator_name", "operator_contact", "scenario_name", "purpose", "city_name"),
    *("lifetime", "uses", "present", "without", "at_best"),
)


def template(**changes: Any) -> NoticeTemplate:
    text = " ".join(f"{{{name}}}" for name in NAMED)
    return replace(NoticeTemplate("notice", 1, f"同意 {text}", f"Consent {text}"), **changes)


def bundle(**changes: Any) -> Bundle:
    levels = (("ordinary", "普通"), ("good", "良好"), ("fine", "优秀"), ("best", "卓越"))
    base = Bundle(
        digest=BundleDigest("ab" * 32),
        version=1,
        expires=date(2027, 1, 1),
        scale=TierScale(tuple(Tier(TierId(name), n, zh, name) for n, (name, zh) in enumerate(levels))),
        concordances=MappingProxyType({CityId("fuzhou"): concordance()}),
        scenarios=MappingProxyType({BORROWING: scenario()}),
        operators=MappingProxyType({LIBRARY: operator()}),
        acceptance=MappingProxyType({XIAMEN: acceptance(XIAMEN), FUZHOU: acceptance(FUZHOU)}),
        notice=template(),
    )
    return replace(base, **changes)
