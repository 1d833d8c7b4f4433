"""Everything that Fuzhou and Xiamen have published, as collected with its sources, is in the policies, and no other."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.domain.ids import CityId, ScenarioId
from gateway.domain.scenario import (
    DepositWaiver,
    ExtraQuota,
    FreePeriod,
    Included,
    PapersLater,
    PayLater,
    PercentageOff,
    Priority,
    Scenario,
    SupersededOffer,
    Term,
)
from gateway.domain.tier import Band, Source
from gateway.policy.load import load_policies
from tests.vectors.conftest import vectors_dir

POLICIES = load_policies(Path(__file__).resolve().parents[2] / "policies").policies
CITIES = ("fuzhou", "xiamen")


@cache
def collected() -> Mapping[str, Any]:
    """What was collected, by city: it lies beside the test vectors, and like them it may be absent but in CI."""
    path = vectors_dir().parent / "data" / "city_scores.yaml"
    if not path.is_file():
        reason = "collected data not found beside the test vectors: set TIERGATE_VECTORS to their folder"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {city["id"]: city for city in document["cities"] if city["id"] in CITIES}


@dataclass(frozen=True)
class Kept:
    """Where a published offer stands. ``base`` and ``best``: terms that its benefit states, of everybody and of a rung.

    ``chosen``: the benefit states no figures, so that the policy's are marked as illustrative.
    """

    scenario: str
    best: tuple[Term, ...]
    base: tuple[Term, ...] = ()
    chosen: bool = False
    level: str | None = None


RENTAL = (FreePeriod(180),)
OFFERS: Mapping[str, tuple[Kept, ...]] = {
    "fuzhou.transit": (Kept("fuzhou-transit", (PercentageOff(20),), (PercentageOff(10),)),),
    "fuzhou.rental.sanfang": tuple(Kept(f"fuzhou-{what}", RENTAL) for what in ("power-bank", "scooter", "umbrella")),
    "fuzhou.medical": (Kept("fuzhou-medical-pay-later", (PayLater(30),), chosen=True),),
    "fuzhou.library": (Kept("fuzhou-library", (DepositWaiver(),), chosen=True),),
    "fuzhou.scenic": (
        Kept("fuzhou-scenic-spot", (Included("site-shuttle"), DepositWaiver()), chosen=True, level="优秀"),
    ),
    "xiamen.library": (Kept("xiamen-library", (DepositWaiver(), ExtraQuota("books", 40))),),
    "xiamen.parking.roadside": (Kept("xiamen-roadside-parking", (PayLater(7),), chosen=True),),
    "xiamen.parking.ichewei": (Kept("xiamen-car-park", (PayLater(7),), chosen=True),),
    "xiamen.parking.haicang": (Kept("xiamen-haicang-parking", (FreePeriod(30), PercentageOff(10)), (FreePeriod(15),)),),
    "xiamen.bike": (Kept("xiamen-bike", (DepositWaiver(),)),),
    "xiamen.service_hall": (Kept("xiamen-service-hall", (Priority(), PapersLater()), chosen=True),),
    "xiamen.ferry": (Kept("xiamen-ferry", (Priority(),), chosen=True),),
}
SUPERSEDED: Mapping[str, str] = {
    "fuzhou.transit.2018": "fuzhou-transit",
    "xiamen.parking.haicang.2018": "xiamen-haicang-parking",
}
LEFT_OUT = {"finance"}
"""Sectors that lie outside a public-service gateway."""


def scenario(name: str) -> Scenario:
    return POLICIES.scenarios[ScenarioId(name)]


def facts() -> dict[str, Mapping[str, Any]]:
    return {
        item["id"]: item
        for city in collected().values()
        for item in city["scenarios"]
        if item["sector"] not in LEFT_OUT
    }


def require_source(source: Source, fact: Mapping[str, Any], confidence: str) -> None:
    """The same source and confidence, with a date; a copy on a stranger's site is told in words, not linked."""
    if fact.get("mirror_copy"):
        assert source.url == ""
        assert source.note
    else:
        assert source.url == fact["source"]
    assert source.confidence == confidence
    assert source.published == dated(fact["source"], fact.get("note", ""))


def dated(address: str, note: str) -> str:
    """The day of a source, from what was noted of it or from its address; else the year in which it announced."""
    found = re.search(r"dated (\d{4}-\d\d-\d\d)", note) or re.search(r"(20\d\d)-?(\d\d)[-/]?(\d\d)", address)
    if found is not None:
        return "-".join(found.groups())
    announced = re.search(r"announced (20\d\d)", note)
    return "undated" if announced is None else announced.group(1)


@pytest.mark.parametrize(
    ("address", "note", "day"),
    [
        ("http://x.invalid/fj/201808/03/1.shtml", "", "2018-08-03"),
        ("http://x.invalid/html/2018-06/14/c.htm", "June 2018", "2018-06-14"),
        ("https://x.invalid/201806/t20180601_22.htm", "", "2018-06-01"),
        ("https://x.invalid/t20230113_27.html", "official page dated 2023-01-13", "2023-01-13"),
        ("https://x.invalid/68153677/", "announced 2018 as planned", "2018"),
        ("https://x.invalid/2076", "undated forum reprint", "undated"),
    ],
)
def test_the_day_of_a_source_is_read_from_what_is_known_of_it(address: str, note: str, day: str) -> None:
    assert dated(address, note) == day


def test_whatever_is_not_marked_as_illustrative_has_been_published() -> None:
    published = {kept.scenario for offer in OFFERS.values() for kept in offer if not kept.chosen}
    assert {name for name, found in POLICIES.scenarios.items() if not found.illustrative} == published
    assert [city for city, found in POLICIES.concordances.items() if not found.illustrative] == ["fuzhou"]
    assert all(item.illustrative for item in POLICIES.operators.values()), "no operator has joined"
    assert all(item.illustrative for item in POLICIES.acceptance.values()), "no city has decided"


def test_an_illustrative_scenario_says_so_by_its_name_in_both_languages() -> None:
    for found in POLICIES.scenarios.values():
        assert ("示例" in found.name_zh, "illustrative" in found.name_en) == (found.illustrative, found.illustrative)


def test_every_published_offer_has_its_place_here() -> None:
    assert set(facts()) == set(OFFERS) | set(SUPERSEDED)


@pytest.mark.parametrize("name", sorted(OFFERS))
def test_an_offer_stands_with_threshold_benefit_source_date_confidence_and_dates(name: str) -> None:
    fact = facts()[name]
    for kept in OFFERS[name]:
        found = scenario(kept.scenario)
        assert found.host_city == name.split(".", maxsplit=1)[0]
        assert found.local_threshold == threshold_of(fact, kept)
        assert set(kept.base) <= set(found.base.items)
        assert any(set(kept.best) <= set(rung.terms.items) for rung in found.rungs)
        assert found.illustrative is kept.chosen
        require_source(found.source, fact, fact["confidence"])
        if not kept.chosen:
            assert set(found.rungs[-1].terms.items) == set(kept.best), "no figure beyond those published"


def threshold_of(fact: Mapping[str, Any], kept: Kept) -> int | None:
    if kept.level is None:
        threshold: int | None = fact["threshold"]
        return threshold
    assert fact["threshold"] == kept.level
    bands = POLICIES.concordances[scenario(kept.scenario).host_city].bands
    return next(band.minimum for band in bands if band.label_zh == kept.level)


@pytest.mark.parametrize("name", sorted(SUPERSEDED))
def test_a_superseded_condition_is_kept_with_its_dates(name: str) -> None:
    fact, found = facts()[name], scenario(SUPERSEDED[name])
    (old,) = (item for item in found.history if item.local_threshold == fact["threshold"])
    assert isinstance(old, SupersededOffer)
    assert old.since is not None
    assert old.since.startswith(name.rpartition(".")[2])
    assert old.source.published.startswith(old.since), "since the month of the report, no earlier"
    assert old.until or "day could not be found" in old.source.note or "day could not be found" in found.source.note
    assert found.local_threshold != old.local_threshold
    assert str(fact["threshold"]) in old.text_zh
    assert str(fact["threshold"]) in old.text_en
    require_source(old.source, fact, fact["confidence"])


def in_words(band: Mapping[str, Any]) -> tuple[str, int | None, int | None]:
    return band["name_zh"], band["min"], band["max"]


def as_kept(band: Band) -> tuple[str, int | None, int | None]:
    return band.label_zh, band.minimum, band.maximum


@pytest.mark.parametrize("city", CITIES)
def test_every_published_table_of_levels_is_kept_now_or_as_history(city: str) -> None:
    fact, found = collected()[city], POLICIES.concordances[CityId(city)]
    published = [in_words(band) for band in fact["bands"]]
    renamed = fact.get("bands_aliases")
    if renamed is None:
        assert [as_kept(band) for band in found.bands] == published
        sources = [band.source for band in found.bands]
    else:
        assert [band.label_zh for band in found.bands] == renamed["order"]
        for band in found.bands:
            assert band.source.url == renamed["source"].split(" ")[0]
            assert band.source.confidence == renamed["confidence"]
            assert band.source.published in renamed["source"]
        (before,) = found.history
        assert [as_kept(band) for band in before.bands] == published
        assert before.since == before.source.published
        assert before.until == found.bands[0].source.published
        sources = [before.source]
    for source in sources:
        assert source.url == fact["bands_source"]
        assert fact["bands_confidence"].startswith(source.confidence)
        assert source.published == dated(fact["bands_source"], "")
    assert found.range_source.url == fact["range"]["source"]
    assert found.range_source.published == dated(fact["range"]["source"], "")
    assert found.range_source.confidence == fact["range"]["confidence"]
    assert (found.score_name_zh, found.score_min, found.score_max) == (
        fact["score_name_zh"],
        fact["range"]["min"],
        fact["range"]["max"],
    )


@pytest.mark.parametrize("city", CITIES)
def test_cuts_that_no_city_has_published_are_marked(city: str) -> None:
    edges = {band["min"] for band in collected()[city]["bands"]} - {None}
    found = POLICIES.concordances[CityId(city)]
    assert found.illustrative == any(cut.minimum not in edges for cut in found.cuts)
