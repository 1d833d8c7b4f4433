"""What becomes of a consent after it was given: refused, paused, resumed, narrowed, renewed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.ids import ScenarioId
from gateway.errors import Reason, TiergateError
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.network import LIBRARY_LOAN, XIAMEN_LIBRARY, XIAMEN_PARKING
from tests.unit.adapters.conftest import refuses
from tests.unit.adapters.test_authority import OTHER, TERMS, pushing

__all__ = ["pushing"]  # a fixture


async def test_who_has_refused_is_not_asked_again_for_a_while(city: FakeCity) -> None:
    until = await city.authority.decline(RESIDENT, XIAMEN_LIBRARY, LIBRARY_LOAN)
    assert until == city.now_s + 30 * 86_400
    with pytest.raises(TiergateError) as caught:
        city.authority.preview(TERMS, asked_of=RESIDENT)
    assert (caught.value.reason, caught.value.retry_after_s) == (Reason.CONSENT_DECLINED, 30 * 86_400)
    city.authority.preview(TERMS, asked_of=OTHER)
    city.authority.preview(TERMS)  # it is she who asks
    city.clock.advance(30 * 86_400)
    city.authority.preview(TERMS, asked_of=RESIDENT)


async def test_who_has_changed_her_mind_may_be_asked(city: FakeCity) -> None:
    await city.authority.decline(RESIDENT, XIAMEN_LIBRARY, LIBRARY_LOAN)
    await city.grant()
    city.authority.preview(TERMS, asked_of=RESIDENT)


async def test_a_pause_and_a_resumption_are_told_in_order(pushing: FakeCity) -> None:
    granted = await pushing.grant()
    for act in ("pause", "pause", "resume", "withdraw"):
        assert (await pushing.authority.change(RESIDENT, granted.id, act)).log_index is not None
    kinds = [(event.kind, event.subject) for event in pushing.gateway.events]
    assert kinds == [(kind, granted.id) for kind in ("pause", "resumption", "withdrawal")]


async def test_a_narrower_consent_takes_the_others_place(pushing: FakeCity) -> None:
    pushing.source.know(RESIDENT, 900)
    granted = await pushing.grant(uses=3)
    await pushing.answer(granted.token)
    terms = replace(TERMS, uses=2, lifetime_s=3600)
    digest = pushing.authority.preview(terms).notice.digest
    narrower, ended = await pushing.authority.replace(RESIDENT, granted.id, "narrow", terms, digest)
    assert ended.log_index is not None
    assert (await pushing.answer(granted.token)).rung == 0
    assert (await pushing.answer(narrower.token)).rung == 1
    assert [view.state for view in pushing.authority.list(RESIDENT, 0)] == ["active", "replaced"]
    (event,) = pushing.gateway.events
    assert (event.kind, event.subject) == ("withdrawal", granted.id)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"uses": 3}, id="more uses than are left"),
        pytest.param({"lifetime_s": 2 * 86_400}, id="longer"),
        pytest.param({"uses": 2}, id="the same"),
    ],
)
async def test_a_wider_consent_is_not_a_narrower_one(city: FakeCity, changes: dict[str, Any]) -> None:
    granted = await city.grant(uses=3)
    await city.answer(granted.token)  # two are left
    terms = replace(TERMS, uses=2)
    terms = replace(terms, **changes)
    with refuses(Reason.CONSENT_LIMITS):
        await city.authority.replace(RESIDENT, granted.id, "narrow", terms, city.authority.preview(terms).notice.digest)
    (view,) = city.authority.list(RESIDENT, 0)
    assert view.state == "active"
    assert city.store.count_pending() == 0


async def test_a_renewed_consent_is_of_the_same_operator_and_scenario(city: FakeCity) -> None:
    granted = await city.grant(uses=1)
    await city.answer(granted.token)
    other = replace(TERMS, operator=XIAMEN_PARKING, scenario=ScenarioId("xiamen-roadside-parking"))
    with refuses(Reason.CONSENT_LIMITS):
        await city.authority.replace(RESIDENT, granted.id, "renew", other, city.authority.preview(other).notice.digest)
    digest = city.authority.preview(TERMS).notice.digest
    renewed, _ = await city.authority.replace(RESIDENT, granted.id, "renew", TERMS, digest)
    assert (await city.answer(renewed.token)).rung == 1
    with refuses(Reason.CONSENT_STATE):  # what was replaced has ended
        await city.authority.replace(RESIDENT, granted.id, "renew", TERMS, digest)
