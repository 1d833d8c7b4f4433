"""Preview, grant, withdraw, list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.authority import Granted
from adapters.terms import ConsentTerms, span
from gateway.crypto.consent import ConsentToken
from gateway.domain.bundle import Bundle
from gateway.domain.ids import OperatorId, ResidentRef, ScenarioId
from gateway.errors import Reason
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.network import (
    CITIES,
    DEPLOYMENT,
    FUZHOU,
    LIBRARY_LOAN,
    XIAMEN,
    XIAMEN_LIBRARY,
    XIAMEN_PARKING,
    Network,
)
from tests.unit.adapters.conftest import refuses

TERMS = ConsentTerms(XIAMEN_LIBRARY, LIBRARY_LOAN, lifetime_s=86_400, uses=3, bound=True)
OTHER = ResidentRef("synthetic-2")


@pytest.fixture
async def pushing(network: Network, tmp_path: Path) -> AsyncIterator[FakeCity]:
    """A city whose withdrawals reach the gateway."""
    async with FakeCity(network, tmp_path, ack_wait_s=30, pushing=True) as running:
        yield running


def _verified(city: FakeCity, granted: Granted) -> ConsentToken:
    return city.network.trusted().consents.verify(granted.token, operator=XIAMEN_LIBRARY, now_s=city.now_s)


async def test_a_preview_says_what_is_given_and_what_it_brings(city: FakeCity) -> None:
    offer = city.authority.preview(TERMS)
    zh, en = CITIES[FUZHOU]
    assert zh in offer.notice.zh
    assert en in offer.notice.en
    assert city.reference.bundle.operators[XIAMEN_LIBRARY].contact in offer.notice.en
    assert "at most 3 times" in offer.notice.en
    assert not offer.illustrative
    assert city.store.consents_of(RESIDENT, 10) == []


async def test_figures_that_nobody_has_published_are_shown_as_such(network: Network, tmp_path: Path) -> None:
    async with FakeCity(network, tmp_path, city=XIAMEN) as city:  # whose concordance is illustrative
        assert city.authority.preview(TERMS).illustrative


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scenario": ScenarioId("nowhere")}, Reason.SCENARIO_UNKNOWN),
        ({"scenario": ScenarioId("fuzhou-transit")}, Reason.SCENARIO_NOT_OPEN),
        ({"operator": OperatorId("stranger")}, Reason.SCENARIO_NOT_OPEN),
        ({"lifetime_s": 59}, Reason.CONSENT_LIMITS),
        ({"lifetime_s": 180 * 86_400 + 1}, Reason.CONSENT_LIMITS),
        ({"uses": 51}, Reason.CONSENT_LIMITS),
        ({"uses": 0, "bound": False}, Reason.CONSENT_LIMITS),
        ({"uses": 2, "bound": False}, Reason.CONSENT_LIMITS),
        ({"bound": True, "device_key": {"kty": "OKP"}}, Reason.CONSENT_LIMITS),
        ({"uses": -1}, Reason.CONSENT_LIMITS),
    ],
)
async def test_terms_outside_the_scenarios_limits_are_refused(
    city: FakeCity, changes: dict[str, Any], reason: Reason
) -> None:
    with refuses(reason):
        city.authority.preview(replace(TERMS, **changes))
    with refuses(reason):
        await city.authority.grant(RESIDENT, replace(TERMS, **changes), "00" * 32)


async def test_an_unlimited_consent_needs_a_scenario_that_allows_it(network: Network, tmp_path: Path) -> None:
    terms = ConsentTerms(OperatorId("fuzhou-sanfang-rental"), ScenarioId("fuzhou-scooter"), 86_400, 0, bound=True)
    async with FakeCity(network, tmp_path, city=XIAMEN) as city:
        with refuses(Reason.CONSENT_LIMITS):
            city.authority.preview(terms)


async def test_an_unlimited_consent_needs_an_operator_with_a_key(city: FakeCity) -> None:
    directory = city.reference.directory
    without = replace(directory.operators[XIAMEN_LIBRARY], keys=())
    city.reference = replace(
        city.reference, directory=replace(directory, operators={**directory.operators, XIAMEN_LIBRARY: without})
    )
    with refuses(Reason.CONSENT_LIMITS):
        city.authority.preview(replace(TERMS, uses=0, bound=True))


@pytest.mark.parametrize(("uses", "bound"), [(3, True), (1, True), (1, False)])
async def test_a_counted_token_names_what_was_agreed(city: FakeCity, uses: int, bound: bool) -> None:
    terms = replace(TERMS, uses=uses, bound=bound)
    offer = city.authority.preview(terms)
    granted = await city.authority.grant(RESIDENT, terms, offer.notice.digest)
    token = _verified(city, granted)
    assert token.id == granted.id
    assert token.audience == DEPLOYMENT
    assert dict(token.scenarios) == {LIBRARY_LOAN: "library-loan"}
    key = city.network.operator_keys[XIAMEN_LIBRARY].kid if bound else None
    assert (token.uses, token.key_thumbprint, token.notice) == (uses, key, offer.notice.digest)
    assert token.expires_at == granted.expires_at


async def test_an_unlimited_token_names_the_operators_key_and_no_count(city: FakeCity) -> None:
    token = _verified(city, await city.grant(uses=0, bound=True))
    assert token.uses is None
    assert token.key_thumbprint == city.network.operator_keys[XIAMEN_LIBRARY].kid


async def test_two_operators_see_two_identifiers_of_one_resident(city: FakeCity) -> None:
    library = await city.grant()
    again = await city.grant()
    parking = await city.grant(operator=XIAMEN_PARKING, scenario=ScenarioId("xiamen-roadside-parking"))
    verifier = city.network.trusted().consents
    subjects = [_verified(city, item).subject for item in (library, again)]
    elsewhere = verifier.verify(parking.token, operator=XIAMEN_PARKING, now_s=city.now_s).subject
    assert len(set(subjects)) == 1
    assert elsewhere not in subjects
    assert RESIDENT not in "".join([*subjects, elsewhere])


def _new_version(bundle: Bundle) -> Bundle:
    return replace(bundle, notice=replace(bundle.notice, version=bundle.notice.version + 1))


def _another_base_offer(bundle: Bundle) -> Bundle:
    scenario = bundle.scenarios[LIBRARY_LOAN]
    dearer = replace(scenario, base=replace(scenario.base, text_zh="押金加倍"))
    return replace(bundle, scenarios={**bundle.scenarios, LIBRARY_LOAN: dearer})


@pytest.mark.parametrize("change", [_new_version, _another_base_offer])
async def test_a_notice_that_has_changed_must_be_shown_again(
    city: FakeCity, change: Callable[[Bundle], Bundle]
) -> None:
    seen = city.authority.preview(TERMS).notice.digest
    city.reference = replace(city.reference, bundle=change(city.reference.bundle))
    with refuses(Reason.CONSENT_STATE):
        await city.authority.grant(RESIDENT, TERMS, seen)
    with refuses(Reason.CONSENT_STATE):  # the notice of other terms
        await city.authority.grant(RESIDENT, replace(TERMS, uses=4), city.authority.preview(TERMS).notice.digest)
    assert city.store.consents_of(RESIDENT, 10) == []


@pytest.mark.parametrize("late", [0, 1, 59])
@pytest.mark.parametrize("lifetime", [60, 90, 86_400])
def test_times_are_on_whole_minutes_and_no_shorter_than_agreed(late: int, lifetime: int) -> None:
    now = 1_793_491_200 + late
    held = span(now, lifetime)
    assert held.start % 60 == held.end % 60 == 0
    assert held.start <= now
    assert now + lifetime <= held.end < now + lifetime + 60


async def test_a_consent_of_a_minute_works_for_a_minute(city: FakeCity) -> None:
    city.clock.advance(59)
    granted = await city.grant(lifetime_s=60)
    city.clock.advance(59)
    assert (await city.answer(granted.token)).rung == 1


async def test_a_consent_of_the_longest_lifetime_is_accepted_at_once(city: FakeCity) -> None:
    city.clock.advance(59)
    granted = await city.grant(lifetime_s=180 * 86_400)
    assert (await city.answer(granted.token)).rung == 1


async def test_a_withdrawal_is_in_force_when_it_returns_and_is_acknowledged(pushing: FakeCity) -> None:
    granted = await pushing.grant()
    withdrawn = await pushing.authority.change(RESIDENT, granted.id, "withdraw")
    assert withdrawn.at_ms == pushing.clock.now_ms()
    assert (withdrawn.log_index, withdrawn.checkpoint_size) == (1, 2)
    (event,) = pushing.gateway.events
    assert (event.kind, event.consent_id, event.issued_at) == ("withdrawal", granted.id, pushing.now_s)
    assert (await pushing.answer(granted.token)).rung == 0


async def test_a_withdrawal_that_the_gateway_has_not_heard_of_says_until_when_answers_stand(city: FakeCity) -> None:
    granted = await city.grant()
    withdrawn = await city.authority.change(RESIDENT, granted.id, "withdraw")
    assert withdrawn.log_index is None
    assert withdrawn.exposed_until_ms == city.clock.now_ms() + 300_000


async def test_a_second_withdrawal_is_the_first(pushing: FakeCity) -> None:
    granted = await pushing.grant()
    first = await pushing.authority.change(RESIDENT, granted.id, "withdraw")
    pushing.clock.advance(3600)
    assert await pushing.authority.change(RESIDENT, granted.id, "withdraw") == first
    assert len(pushing.gateway.events) == 1


@pytest.mark.parametrize("whose", ["hers, unknown", "somebody else's"])
async def test_nobody_withdraws_a_consent_that_is_not_hers(city: FakeCity, whose: str) -> None:
    granted = await city.grant(OTHER)
    with refuses(Reason.CONSENT_UNKNOWN):
        await city.authority.change(RESIDENT, granted.id if whose == "somebody else's" else "A" * 22, "withdraw")
    (view,) = city.authority.list(OTHER, 0)
    assert view.state == "active"
    assert city.store.count_pending() == 0


async def test_a_list_is_of_her_consents_newest_first(city: FakeCity) -> None:
    await city.grant(OTHER)
    ids = [(await city.grant()).id for _ in range(3)]
    assert [view.listed.row.id for view in city.authority.list(RESIDENT, 0)] == ids[::-1]
    assert [view.listed.row.id for view in city.authority.list(RESIDENT, 2)] == ids[:0:-1]
    assert city.authority.list(ResidentRef("nobody"), 0) == []
    assert city.authority.reported_index() is None


async def test_a_list_says_what_has_become_of_each_consent(city: FakeCity) -> None:
    short = await city.grant(lifetime_s=60)
    spent = await city.grant(uses=1)
    ended = await city.grant()
    await city.grant()
    await city.answer(spent.token)
    await city.authority.change(RESIDENT, ended.id, "withdraw")
    withdrawn_at = city.now_s
    city.clock.advance(120)
    active_view, ended_view, spent_view, short_view = city.authority.list(RESIDENT, 0)
    assert (active_view.state, ended_view.state, spent_view.state, short_view.state) == (
        "active",
        "withdrawn",
        "spent",
        "expired",
    )
    assert ended_view.ends_at == withdrawn_at
    assert short_view.ends_at == short.expires_at
    assert (spent_view.listed.life.spent, active_view.listed.life.spent) == (1, 0)


async def test_consents_and_withdrawals_outlive_the_process(network: Network, tmp_path: Path) -> None:
    async with FakeCity(network, tmp_path) as before:
        kept, ended = await before.grant(), await before.grant()
        await before.authority.change(RESIDENT, ended.id, "withdraw")
    async with FakeCity(network, tmp_path) as after:
        after.source.know(RESIDENT, 900)
        assert (await after.answer(kept.token)).rung == 1
        assert (await after.answer(ended.token)).rung == 0
        assert [view.state for view in after.authority.list(RESIDENT, 0)] == ["withdrawn", "active"]


async def test_what_is_granted_shows_neither_token_nor_person(city: FakeCity) -> None:
    granted = await city.grant()
    (view,) = city.authority.list(RESIDENT, 0)
    for shown in (repr(granted), repr(view), repr(view.listed), repr(view.listed.row)):
        assert granted.token not in shown
        assert RESIDENT not in shown
