from __future__ import annotations

from dataclasses import fields
from datetime import date, timedelta
from itertools import product
from pathlib import Path

import pytest

from gateway.domain.compare import compare, measure
from gateway.domain.effects import Effect, bands_of, difference
from gateway.domain.ids import CityId, ScenarioId
from gateway.domain.matrix import Rules, cell_of
from gateway.domain.scenario import (
    ConsentLimits,
    DepositWaiver,
    ExtraQuota,
    FreePeriod,
    Included,
    PapersLater,
    PayLater,
    PercentageOff,
    Priority,
    Scenario,
    Term,
)
from gateway.domain.stated import stated_otherwise
from gateway.domain.tier import Concordance
from gateway.policy.documents import Policies
from gateway.policy.load import load_policies
from tests.unit.policy.files import DAY, spoil, valid, write

LOANS = ScenarioId("loans")
CITY, OFFER, ACCEPTANCE = "cities/alpha.toml", "scenarios/loans.toml", "acceptance/alpha.toml"


def load(root: Path, files: dict[str, str]) -> Policies:
    return load_policies(write(root, files)).policies


@pytest.fixture
def old(tmp_path: Path) -> Policies:
    return load(tmp_path / "old", valid())


def lasting(text: str) -> str:
    return f"effective_from = 2026-01-01\neffective_until = {text}\n"


CHANGES = {
    "a cut": [(CITY, "minimum = 60", "minimum = 65")],
    "a lower cut": [(CITY, "minimum = 80", "minimum = 70")],
    "terms": [(OFFER, "percent = 20", "percent = 30"), (OFFER, "percent = 20", "percent = 40")],
    "a base offer": [(OFFER, "percent = 10", "percent = 15")],
    "one better, one worse": [(OFFER, "percent = 20 }]", "percent = 15 }]")],
    "an end of the offer": [(OFFER, "effective_from = 2026-01-01\n", lasting("2026-07-01"))],
    "an end of the city's tiers": [(CITY, "effective_from = 2026-01-01\n", lasting("2026-06-30"))],
    "a home city left out": [(ACCEPTANCE, '"alpha", "beta"', '"alpha"')],
    "a later day": [(ACCEPTANCE, "effective_from = 2026-01-01", "effective_from = 2026-07-01")],
    "a larger range": [(CITY, "score_max = 100", "score_max = 200")],
}
WORDS = [(OFFER, "八折，免押金", "打八折，免押金")]


@pytest.mark.parametrize("name", CHANGES)
def test_effects_are_what_every_score_gets_on_every_day(old: Policies, tmp_path: Path, name: str) -> None:
    """By brute force: each point, home city and day is evaluated on its own, and compared."""
    files = valid()
    for change in CHANGES[name]:
        files = spoil(files, *change)
    new = load(tmp_path / "new", files)
    found = difference(old, new, DAY).effects
    assert found
    days = [DAY + timedelta(days=number) for number in (0, 29, 30, 31)]
    for home, points, day in product(map(CityId, ("alpha", "beta")), (None, *range(201)), days):
        if points is not None and points > max(rules.concordances[home].score_max for rules in (old, new)):
            continue
        terms = [items(rules, home, points, day) for rules in (old, new)]
        verdict = compare(*terms)
        told = [item for item in found if covers(item, home, points, day)]
        assert [item.verdict for item in told] == ([] if verdict == "same" else [verdict]), (home, points, day)
        for item in told:
            assert [given.terms.items if given.terms else () for given in (item.before, item.after)] == terms


def items(rules: Rules, home: CityId, points: int | None, day: date) -> tuple[Term, ...]:
    scenario = rules.scenarios[LOANS]
    cell = cell_of(rules, home, scenario, day)
    if cell.state == "not-in-force":
        return ()
    concordance = rules.concordances[home]
    if points is None or points > concordance.score_max or cell.state != "open":
        return scenario.base.items
    return scenario.terms_of(scenario.cap(concordance.level_of(points))).items


def covers(item: Effect, home: CityId, points: int | None, day: date) -> bool:
    band = item.band
    if points is None or band.low is None or band.high is None:
        inside = points == band.low
    else:
        inside = band.low <= points <= band.high
    return band.home == home and inside and item.since <= day and (item.until is None or day <= item.until)


def test_the_same_policies_have_no_effects(old: Policies) -> None:
    assert difference(old, old, DAY) == ((), ())
    assert not list(stated_otherwise(old, old, old.scale))


def test_other_words_are_told_apart_from_other_terms(old: Policies, tmp_path: Path) -> None:
    new = load(tmp_path / "new", spoil(valid(), *WORDS[0]))
    found = difference(old, new, DAY).effects
    assert {item.verdict for item in found} == {"same"}
    assert {item.band.after for item in found} == {2}


def test_bands_are_split_where_either_side_has_a_cut(old: Policies, tmp_path: Path) -> None:
    new = load(tmp_path / "new", spoil(valid(), CITY, "minimum = 60", "minimum = 65"))
    found = [band[1:] for band in bands_of(old, new, CityId("alpha"))]
    assert found == [(None, None, None, None), (0, 59, 0, 0), (60, 64, 1, 0), (65, 79, 1, 1), (80, 100, 2, 2)]


def test_a_pair_that_opens_later_is_told_with_its_days(old: Policies, tmp_path: Path) -> None:
    new = load(tmp_path / "new", spoil(valid(), *CHANGES["a later day"][0]))
    assert {
        (item.home, item.since, item.until, item.before, item.after) for item in difference(old, new, DAY).access
    } == {
        ("alpha", DAY, date(2026, 6, 30), "open", "not-honoured"),
        ("beta", DAY, date(2026, 6, 30), "open", "not-honoured"),
    }


def test_every_value_that_differs_is_listed_by_its_sort(old: Policies, tmp_path: Path) -> None:
    files = valid()
    for change in (*CHANGES["a cut"], *CHANGES["a base offer"], *CHANGES["a home city left out"], *WORDS):
        files = spoil(files, *change)
    files = spoil(files, CITY, 'label_zh = "一"', 'label_zh = "甲"')
    files = spoil(files, CITY, 'published = "2026-01"', 'published = "2026-02"')
    new = load(tmp_path / "new", files)
    found = {
        (item.name, item.key, item.sort, item.before, item.after) for item in stated_otherwise(old, new, new.scale)
    }
    assert found == {
        ("alpha", "cuts.good.minimum", "cut", "60", "65"),
        ("alpha", "cuts.good.label_zh", "label", "一", "甲"),
        ("alpha", "source.published", "source", "2026-01", "2026-02"),
        ("alpha", "range_source.published", "source", "2026-01", "2026-02"),
        ("alpha", "cuts.good.source.published", "source", "2026-01", "2026-02"),
        ("alpha", "cuts.excellent.source.published", "source", "2026-01", "2026-02"),
        ("alpha", "honours.0.cities", "rule", "alpha, beta", "alpha"),
        ("loans", "base.items", "rule", "percentage_off 10", "percentage_off 15"),
        ("loans", "rungs.excellent.terms.text_zh", "words", "八折，免押金", "打八折，免押金"),
    }


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ((), (), "same"),
        ((), (DepositWaiver(),), "better"),
        ((Priority(),), (), "worse"),
        ((PercentageOff(10),), (PercentageOff(20),), "better"),
        ((PayLater(10),), (PayLater(7),), "worse"),
        ((FreePeriod(30), PercentageOff(10)), (FreePeriod(15), PercentageOff(20)), "mixed"),
        ((ExtraQuota("books", 10),), (ExtraQuota("discs", 10),), "mixed"),
        ((Included("shuttle"),), (Included("locker"),), "mixed"),
        ((Priority(),), (Priority(), PapersLater()), "better"),
        ((DepositWaiver(), Priority()), (Priority(), DepositWaiver()), "same"),
    ],
)
def test_offers_are_compared_item_by_item(before: tuple[Term, ...], after: tuple[Term, ...], verdict: str) -> None:
    assert compare(before, after) == verdict


def test_a_quota_is_comparable_with_its_own_unit_alone() -> None:
    assert measure(ExtraQuota("books", 3))[0] != measure(ExtraQuota("discs", 3))[0]
    assert str(measure(ExtraQuota("books", 3))[0]) == "extra_quota books"


DECIDES_NOTHING = {"version", "source", "history", "bands", "range_source", "illustrative", "local_threshold", "design"}
SAID = {"name_zh", "name_en", "score_name_zh", "score_name_en", "purpose_zh", "purpose_en", "sector"}
EVALUATED = {"city", "id", "host_city", "score_min", "score_max", "cuts", "base", "rungs", "effective_from"}
CONDITIONS = {"max_age_days", "consent", "purpose", "time_grain"}


def test_every_setting_of_an_offer_or_a_concordance_is_known_to_matter_or_not() -> None:
    """A new one has to be put somewhere: where it can make anybody worse off, the difference has to tell it."""
    known = DECIDES_NOTHING | SAID | EVALUATED | CONDITIONS | {"effective_until", "operators"}
    assert {field.name for kind in (Scenario, Concordance) for field in fields(kind)} == known
    assert {field.name for field in fields(ConsentLimits)} == {"max_lifetime_s", "max_uses", "unlimited"}


TIGHTER = {
    "a younger score": (CITY, "max_age_days = 30", "max_age_days = 29", ("alpha",)),
    "fewer uses": (OFFER, "max_uses = 5", "max_uses = 4", ("alpha", "beta")),
    "shorter": (OFFER, "max_lifetime_days = 30", "max_lifetime_days = 29", ("alpha", "beta")),
    "counted": (OFFER, "unlimited = true", "unlimited = false", ("alpha", "beta")),
}


@pytest.mark.parametrize("name", TIGHTER)
def test_conditions_are_compared_where_the_pair_is_open_on_both_sides(old: Policies, tmp_path: Path, name: str) -> None:
    file, before, after, homes = TIGHTER[name]
    spoilt = spoil(valid(), file, before, after)
    new = load(tmp_path / "new", spoilt)
    for one, other, verdict in ((old, new, "worse"), (new, old, "better")):
        found = difference(one, other, DAY).effects
        assert {item.verdict for item in found} == {verdict}
        assert {item.band.home for item in found} == set(homes)
        assert all(len(item.conditions) == 1 for item in found)
        assert all(item.since == DAY and item.until is None for item in found)
    with_scores = {item.band.after or 0 for item in difference(old, new, DAY).effects}
    assert with_scores == ({1, 2} if file == CITY else {0, 1, 2})
    closed = load(tmp_path / "closed", spoil(spoilt, ACCEPTANCE, '"alpha", "beta"', '"alpha"'))
    assert not [item for item in difference(old, closed, DAY).effects if item.band.home == "beta" and item.conditions]


def test_better_terms_under_a_tighter_condition_are_both(old: Policies, tmp_path: Path) -> None:
    files = spoil(spoil(valid(), OFFER, "percent = 10", "percent = 15"), OFFER, "max_uses = 5", "max_uses = 1")
    found = difference(old, load(tmp_path / "new", files), DAY).effects
    assert {item.verdict for item in found if (item.band.after or 0) == 0} == {"mixed"}
