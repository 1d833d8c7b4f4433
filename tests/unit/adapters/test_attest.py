"""What an attestation says, and when there is none."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.attest import MAX_BATCH, AnswerSettings
from gateway.crypto.consent import new_id
from gateway.domain.ids import RequestId, ResidentRef
from gateway.errors import Reason, TiergateError
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.city_peers import DECOY
from tests.fakes.network import FUZHOU_METRO, LIBRARY_LOAN, PARKING, TRANSIT, XIAMEN, XIAMEN_PARKING, Network, going_by
from tests.unit.adapters.conftest import refuses


@pytest.mark.parametrize(("points", "rung"), [(1000, 1), (850, 1), (650, 1), (649, 0), (0, 0)])
async def test_the_rung_is_the_level_capped_to_what_the_scenario_distinguishes(
    city: FakeCity, points: int, rung: int
) -> None:
    city.source.know(RESIDENT, points)
    granted = await city.grant()
    assert (await city.answer(granted.token)).rung == rung


async def test_a_stricter_scenario_asks_for_more(network: Network, tmp_path: Path) -> None:
    async with FakeCity(network, tmp_path, city=XIAMEN) as city:
        granted = await city.grant(operator=FUZHOU_METRO, scenario=TRANSIT)
        asked = {"operator": FUZHOU_METRO, "scenario": TRANSIT}
        city.source.know(RESIDENT, 719)
        assert (await city.answer(granted.token, **asked)).rung == 0
        city.source.know(RESIDENT, 720)
        assert (await city.answer(granted.token, **asked)).rung == 1


async def test_a_counted_tokens_attestation_is_bound_to_its_request(city: FakeCity) -> None:
    granted = await city.grant()
    question = city.question(granted.token)
    text = await city.attester.answer(question)
    city.verified(text, question)
    with refuses(Reason.ATTESTATION_INVALID):
        city.verified(text, replace(question, request_id=RequestId(new_id())))


async def test_each_of_several_uses_needs_a_proof_by_whom_the_token_is_bound_to(city: FakeCity) -> None:
    granted = await city.grant(uses=2, bound=True)
    with refuses(Reason.PROOF_REQUIRED):  # a gateway that has seen it cannot ask on its own (I4)
        await city.answer(granted.token, proof="")
    for _ in range(2):
        proof = city.network.proof(granted.token, now_s=city.now_s)
        assert (await city.answer(granted.token, proof=proof)).rung == 1
    with refuses(Reason.USES_EXHAUSTED):
        await city.answer(granted.token, proof=city.network.proof(granted.token, now_s=city.now_s))
    (view,) = city.authority.list(RESIDENT, 0)
    assert (view.listed.row.bound, view.listed.life.spent) == ("operator", 2)


async def test_an_unlimited_token_needs_the_operators_proof_and_spends_nothing(city: FakeCity) -> None:
    granted = await city.grant(uses=0, bound=True)
    for _ in range(5):
        proof = city.network.proof(granted.token, now_s=city.now_s)
        attestation = await city.answer(granted.token, proof=proof)
        assert attestation.rung == 1
        assert attestation.request is None
    (view,) = city.authority.list(RESIDENT, 0)
    assert view.listed.life.spent == 0


async def test_an_attestation_lives_no_longer_than_its_settings_or_its_token(network: Network, tmp_path: Path) -> None:
    async with FakeCity(network, tmp_path, settings=AnswerSettings(lifetime_s=120, grid_s=0)) as city:
        granted = await city.grant(lifetime_s=300)
        first = await city.answer(granted.token)
        assert first.expires_at - first.issued_at == 120
        city.clock.advance(240)
        last = await city.answer(granted.token)
        assert last.expires_at == granted.expires_at


async def test_a_batch_is_answered_in_order_each_alone(city: FakeCity) -> None:
    granted = await city.grant(uses=2)
    good = [city.question(granted.token) for _ in range(3)]
    bad = city.question("not.a.token-at-all")
    results = await city.attester.answer_many([good[0], bad, good[1], good[2]])
    assert isinstance(results[0], str)
    assert isinstance(results[1], TiergateError)
    assert results[1].reason is Reason.TOKEN_MALFORMED
    assert isinstance(results[2], str)
    city.verified(results[0], good[0])
    city.verified(results[2], good[1])
    assert isinstance(results[3], TiergateError)
    assert results[3].reason is Reason.USES_EXHAUSTED


async def test_a_batch_that_is_too_large_is_refused(city: FakeCity) -> None:
    with refuses(Reason.BATCH_TOO_LARGE):
        await city.attester.answer_many([city.question("x")] * (MAX_BATCH + 1))


async def test_a_platform_that_is_silent_meets_the_deadline(city: FakeCity) -> None:
    granted = await city.grant()
    city.source.gate = asyncio.Event()
    city.platform._deadline_s = 0.01
    with refuses(Reason.PLATFORM_UNAVAILABLE):
        await city.answer(granted.token)


@pytest.mark.parametrize("what", ["no concordance", "bundle ended", "directory ended"])
async def test_without_rules_in_force_nobody_is_attested(city: FakeCity, what: str) -> None:
    granted = await city.grant()
    question = city.question(granted.token)
    reference, bundle = city.reference, city.reference.bundle
    match what:
        case "no concordance":
            city.reference = going_by(reference, replace(bundle, concordances={}))
        case "bundle ended":
            ended = (bundle.expires - timedelta(days=1000)).replace(year=2026, month=10)
            city.reference = going_by(reference, replace(bundle, expires=ended))
        case _:
            city.reference = replace(reference, directory=replace(reference.directory, expires=city.now_s))
    with refuses(Reason.HOME_CITY_UNAVAILABLE):
        await city.attester.answer(question)
    assert city.source.reads == []


async def test_answers_leave_on_the_grid(network: Network, tmp_path: Path) -> None:
    async with FakeCity(network, tmp_path, settings=AnswerSettings(grid_s=0.5)) as city:
        granted = await city.grant(uses=5)
        await city.answer(granted.token)
        assert city.sleeps == [0.5]

        gate = city.source.gate = asyncio.Event()
        asking = asyncio.create_task(city.answer(granted.token))
        await city.source.asked(2)
        city.clock.mono += 0.7
        gate.set()
        await asking
        assert city.sleeps[1] == pytest.approx(0.3)

        city.source.gate = None
        await city.attester.answer_many([city.question(granted.token), city.question(granted.token)])
        assert city.sleeps[2:] == [0.5]  # one for the whole batch
        city.source.fault = TiergateError(Reason.PLATFORM_UNAVAILABLE)
        with refuses(Reason.PLATFORM_UNAVAILABLE):
            await city.answer(granted.token)
        assert len(city.sleeps) == 3


async def test_the_person_is_read_only_while_her_consent_is_active(city: FakeCity) -> None:
    granted = await city.grant()
    await city.answer(granted.token)
    await city.authority.change(RESIDENT, granted.id, "withdraw")
    await city.answer(granted.token)
    assert city.source.reads == [RESIDENT, DECOY]


async def test_another_residents_record_is_never_read(city: FakeCity) -> None:
    other = ResidentRef("synthetic-2")
    city.source.know(other, 100)
    one, two = await city.grant(), await city.grant(other)
    assert (await city.answer(two.token)).rung == 0
    assert (await city.answer(one.token)).rung == 1
    assert city.source.reads == [other, RESIDENT]


async def test_a_journal_entry_is_as_coarse_as_its_scenario_asks(city: FakeCity) -> None:
    city.clock.advance(12_345)
    library = await city.grant()
    parking = await city.grant(operator=XIAMEN_PARKING, scenario=PARKING)
    await city.answer(library.token)
    await city.answer(parking.token, operator=XIAMEN_PARKING, scenario=PARKING)
    rows = city.store._reader.execute("SELECT scenario, at FROM attestations").fetchall()
    times = dict(rows)
    assert times[LIBRARY_LOAN] % 60 == 0
    assert times[LIBRARY_LOAN] % 86_400 != 0
    assert times[PARKING] % 86_400 == 0
    kept = city.store._reader.execute("SELECT keep_until FROM requests ORDER BY keep_until").fetchall()
    assert kept[0][0] == city.now_s + 86_400
    assert kept[1][0] % 86_400 == 0
