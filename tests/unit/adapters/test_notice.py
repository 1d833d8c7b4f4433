"""What a resident is shown before she agrees stands in the notice, whose digest her token carries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.terms import ConsentTerms
from gateway.domain.bundle import Bundle
from gateway.domain.ids import ResidentRef
from gateway.domain.scenario import Scenario
from gateway.domain.tier import Concordance
from gateway.errors import Reason
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.device import Device
from tests.fakes.network import FUZHOU, LIBRARY_LOAN, XIAMEN, XIAMEN_LIBRARY, Network
from tests.unit.adapters.conftest import refuses
from tests.unit.adapters.test_authority import OTHER, TERMS


def _offering(bundle: Bundle, change: Callable[[Scenario], Scenario]) -> Bundle:
    return replace(bundle, scenarios={**bundle.scenarios, LIBRARY_LOAN: change(bundle.scenarios[LIBRARY_LOAN])})


def _mapping(bundle: Bundle, change: Callable[[Concordance], Concordance]) -> Bundle:
    return replace(bundle, concordances={**bundle.concordances, FUZHOU: change(bundle.concordances[FUZHOU])})


def _other_best_terms(scenario: Scenario) -> Scenario:
    *lower, top = scenario.rungs
    return replace(scenario, rungs=(*lower, replace(top, terms=replace(top.terms, text_en="Fewer books"))))


CHANGES: dict[str, Callable[[Bundle], Bundle]] = {
    "other best terms": lambda bundle: _offering(bundle, _other_best_terms),
    "terms that nobody has published": lambda bundle: _offering(bundle, lambda it: replace(it, illustrative=True)),
    "cuts that nobody has published": lambda bundle: _mapping(bundle, lambda it: replace(it, illustrative=True)),
    "tiers that do not reach so far": lambda bundle: _mapping(bundle, lambda it: replace(it, cuts=())),
}


def test_the_notice_says_what_consent_brings_at_best(city: FakeCity) -> None:
    offer = city.authority.preview(TERMS)
    best = offer.scenario.rungs[-1].terms
    assert offer.best == best
    assert (best.text_zh in offer.notice.zh, best.text_en in offer.notice.en) == (True, True)
    assert "示意数据" not in offer.notice.zh
    assert "(illustrative:" not in offer.notice.en


async def test_the_notice_says_so_when_figures_are_unpublished(network: Network, tmp_path: Path) -> None:
    async with FakeCity(network, tmp_path, city=XIAMEN) as city:  # whose concordance is illustrative
        notice = city.authority.preview(TERMS).notice
    assert ("示意数据" in notice.zh, "(illustrative:" in notice.en) == (True, True)


async def test_the_notice_is_the_same_whomever_it_is_shown_to(city: FakeCity) -> None:
    shown = city.authority.preview(TERMS)
    city.source.know(RESIDENT, 900)
    city.source.know(OTHER, 1)
    for resident in (RESIDENT, OTHER, ResidentRef("unheard-of")):
        assert city.authority.preview(TERMS, asked_of=resident) == shown


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_no_consent_is_recorded_under_a_notice_that_the_policies_have_changed(
    city: FakeCity, change: Callable[[Bundle], Bundle]
) -> None:
    granted = await city.grant(uses=3)
    terms = replace(TERMS, uses=1)
    seen = city.authority.preview(terms).notice.digest
    city.reference = replace(city.reference, bundle=change(city.reference.bundle))
    with refuses(Reason.CONSENT_STATE):
        await city.authority.grant(RESIDENT, terms, seen)
    with refuses(Reason.CONSENT_STATE):
        await city.authority.replace(RESIDENT, granted.id, "narrow", terms, seen)
    with refuses(Reason.CONSENT_STATE):
        await city.authority.replace(RESIDENT, granted.id, "renew", terms, seen)
    with refuses(Reason.CONSENT_STATE):
        await city.counter.issue(RESIDENT, replace(terms, bound=False), seen, "typed")
    assert [view.state for view in city.authority.list(RESIDENT, 0)] == ["active"]
    await city.authority.replace(RESIDENT, granted.id, "renew", terms, city.authority.preview(terms).notice.digest)


async def test_two_consents_that_are_not_the_same_have_two_notices(city: FakeCity) -> None:
    device = Device().jwk
    asked = [
        ConsentTerms(XIAMEN_LIBRARY, LIBRARY_LOAN, lifetime_s=seconds, uses=1, bound=bound, device_key=key)
        for seconds in (60, 3600, 5400, 86_400, 2 * 86_400)
        for bound, key in ((True, None), (False, None), (False, device))
    ]
    shown = [city.authority.preview(terms).notice for terms in asked]
    assert len({notice.digest for notice in shown}) == len(asked)
    assert len({notice.zh for notice in shown} | {notice.en for notice in shown}) == 2 * len(asked)
    seen, other = shown[0].digest, asked[1]
    with refuses(Reason.CONSENT_STATE):
        await city.authority.grant(RESIDENT, other, seen)


@pytest.mark.parametrize("lifetime_s", [61, 86_399])
def test_a_lifetime_that_the_notice_cannot_tell_exactly_is_refused(city: FakeCity, lifetime_s: int) -> None:
    with refuses(Reason.CONSENT_LIMITS):
        city.authority.preview(replace(TERMS, lifetime_s=lifetime_s))


async def test_policies_that_change_nothing_that_she_saw_ask_for_no_new_look(city: FakeCity) -> None:
    seen = city.authority.preview(TERMS).notice.digest
    city.reference = replace(city.reference, bundle=replace(city.reference.bundle, version=99))
    await city.authority.grant(RESIDENT, TERMS, seen)


async def test_a_consent_under_an_older_notice_stays_good(city: FakeCity) -> None:
    now = city.reference.bundle
    older = replace(now.notice, version=2, text_zh=f"{now.notice.text_zh}。")
    city.reference = replace(city.reference, bundle=replace(now, notice=older))
    city.source.know(RESIDENT, 900)
    granted = await city.grant()
    city.reference = replace(city.reference, bundle=now)
    assert (await city.answer(granted.token)).rung == 1
