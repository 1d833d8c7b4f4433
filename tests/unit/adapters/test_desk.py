"""The resident's desk: corrections, uses, explanations."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from adapters.authority import Granted
from adapters.explain import DISTANCES, REASONS
from adapters.reports import Report
from gateway.consentlog.note import VerifierKey
from gateway.consentlog.proof import LogProof
from gateway.consentlog.trust import NONE, TrustPolicy
from gateway.domain.bundle import Timeline
from gateway.domain.consent import Act
from gateway.domain.decision import Outcome
from gateway.domain.ids import BundleDigest, ResidentRef, ScenarioId
from gateway.errors import Reason
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.city_peers import DECOY
from tests.fakes.log import FakeLog
from tests.fakes.network import Network
from tests.unit.adapters.conftest import refuses

OTHER = ResidentRef("synthetic-2")


@pytest.fixture
def log(network: Network) -> FakeLog:
    return FakeLog(network.log)


async def use(city: FakeCity, log: FakeLog, granted: Granted, *, rung: int | None = None, **changes: Any) -> int:
    """One check of a consent, decided, logged and reported; its log index."""
    attested = await city.answer(granted.token)
    given = attested.rung if rung is None else rung
    index = log.decide(given, **{"bundle": city.reference.bundle.digest, **changes})
    report = Report(attested.id, Outcome.of(given), index, log.entries[index], log.inclusion(index))
    await city.reports.take([report], log.checkpoint())
    return index


# -- corrections -----------------------------------------------------------------------------------------------------


async def test_a_frozen_resident_is_answered_for_as_one_unknown_and_thawed_again(city: FakeCity) -> None:
    granted = await city.grant(uses=5)
    assert (await city.answer(granted.token)).rung == 1
    await city.desk.correct(RESIDENT, "freeze")
    reads = len(city.source.reads)
    assert (await city.answer(granted.token)).rung == 0
    assert city.source.reads[reads:] == [DECOY]  # her record is not opened
    await city.desk.correct(RESIDENT, "unfreeze")
    assert (await city.answer(granted.token)).rung == 1


async def test_a_correction_names_nobody_and_ends_what_was_attested(city: FakeCity) -> None:
    granted = await city.grant()
    question = city.question(granted.token)
    assert city.verified(await city.attester.answer(question), question).rung == 1
    city.source.know(RESIDENT, 100)
    repeated = await city.attester.answer(question)
    assert city.verified(repeated, question).rung == 1  # a repeated request has the same answer
    await city.desk.correct(RESIDENT, "correct")
    assert city.verified(await city.attester.answer(question), question).rung == 0  # but not after a correction
    await city.pusher.push_once()
    (event,) = city.gateway.events
    assert (event.kind, event.subject) == ("correction", None)


async def test_a_level_read_before_a_correction_is_read_again(city: FakeCity) -> None:
    granted = await city.grant()
    city.source.gate = asyncio.Event()
    asked = asyncio.ensure_future(city.answer(granted.token))
    await city.source.asked(1)  # the old record is on its way
    await city.desk.correct(RESIDENT, "correct")
    city.source.gate.set()
    answered = await asked
    assert len(city.source.reads) == 2
    assert answered.rung == 1
    (view,) = city.authority.list(RESIDENT, 0)
    assert view.listed.life.spent == 1


async def test_corrections_that_wait_are_one_event_and_one_that_was_sent_is_not_joined(city: FakeCity) -> None:
    for _ in range(3):
        await city.desk.correct(RESIDENT, "correct")
    assert city.store.count_pending() == 1
    city.gateway.refusing["*"] = Reason.EVENT_DEFERRED
    with refuses(Reason.PEER_UNREACHABLE):
        await city.pusher.push_once()  # put off: nothing has come of it
    await city.desk.correct(OTHER, "correct")
    assert city.store.count_pending() == 1
    city.gateway.refusing["*"] = Reason.LOG_UNAVAILABLE
    with refuses(Reason.PEER_UNREACHABLE):
        await city.pusher.push_once()  # sent, and who knows what came of it
    city.gateway.refusing["*"] = Reason.EVENT_DEFERRED
    with refuses(Reason.PEER_UNREACHABLE):
        await city.pusher.push_once()  # nor does this say that nothing came of it before
    await city.desk.correct(OTHER, "correct")
    assert city.store.count_pending() == 2  # the gateway may have asked again since the first was sent
    city.gateway.refusing.clear()
    while await city.pusher.push_once():
        pass
    assert [event.kind for event in city.gateway.events] == ["correction", "correction"]


# -- uses and explanations -------------------------------------------------------------------------------------------


async def test_uses_are_hers_newest_first_with_proofs(city: FakeCity, log: FakeLog) -> None:
    city.source.know(OTHER, 900)
    mine, others = await city.grant(uses=5), await city.grant(OTHER)
    second = await city.grant()
    indices = [await use(city, log, mine), await use(city, log, others), await use(city, log, second)]
    found = city.desk.uses(RESIDENT, None, None, 0)
    assert [view.held.log_index for view in found] == [indices[2], indices[0]]
    assert [view.held.consent_id for view in found] == [second.id, mine.id]
    assert [view.held.log_index for view in city.desk.uses(RESIDENT, mine.id, None, 0)] == [indices[0]]
    assert [view.held.log_index for view in city.desk.uses(RESIDENT, None, indices[2], 0)] == [indices[0]]
    assert city.desk.uses(RESIDENT, others.id, None, 0) == []
    assert city.desk.reported_index() == indices[2]
    trust = TrustPolicy((VerifierKey.parse(city.reference.directory.gateway.log_vkey),), {}, {}, NONE)
    for view in found:
        scenario = city.reference.bundle.scenarios[ScenarioId(view.entry.text("scenario"))]
        assert view.evaluated is not None
        assert view.evaluated.terms == scenario.terms_of(1)
        LogProof.parse(view.proof).verify(view.held.entry, trust)


async def test_terms_stay_those_of_their_time_while_their_bundle_is_held(city: FakeCity, log: FakeLog) -> None:
    await use(city, log, await city.grant())
    (before,) = city.desk.uses(RESIDENT, None, None, 0)
    old = city.reference.bundle
    scenario = old.scenarios[ScenarioId(before.entry.text("scenario"))]
    new = replace(
        old,
        digest=BundleDigest("cd" * 32),
        version=old.version + 1,
        scenarios={**old.scenarios, scenario.id: replace(scenario, rungs=())},
    )
    city.reference = replace(city.reference, bundle=new, timeline=Timeline((old, new)))
    assert before.evaluated is not None
    assert [view.evaluated for view in city.desk.uses(RESIDENT, None, None, 0)] == [before.evaluated]
    city.reference = replace(city.reference, timeline=Timeline((new,)))
    assert [view.evaluated for view in city.desk.uses(RESIDENT, None, None, 0)] == [None]


async def test_terms_of_a_bundle_that_is_gone_are_not_made_up(city: FakeCity, log: FakeLog) -> None:
    await use(city, log, await city.grant(), bundle="ef" * 32)
    (view,) = city.desk.uses(RESIDENT, None, None, 0)
    assert view.evaluated is None


async def _explained(city: FakeCity, log: FakeLog, granted: Granted, **changes: Any) -> str:
    return (await city.desk.explain(RESIDENT, await use(city, log, granted, **changes))).code


async def test_an_explanation_says_why(city: FakeCity, log: FakeLog) -> None:
    granted = await city.grant(uses=20)
    assert await _explained(city, log, granted) == "entitled"
    assert await _explained(city, log, granted, rung=0) == "lowered"  # she did nothing: it is not told as her act
    city.source.know(RESIDENT, 100)
    assert await _explained(city, log, granted) == "score"
    city.source.forget(RESIDENT)
    assert await _explained(city, log, granted) == "no_score"
    city.source.know(RESIDENT, 5000)
    assert await _explained(city, log, granted) == "bad_record"
    city.source.know(RESIDENT, 900)
    await city.desk.correct(RESIDENT, "freeze")
    assert await _explained(city, log, granted) == "frozen"
    await city.desk.correct(RESIDENT, "unfreeze")
    await city.authority.change(RESIDENT, granted.id, "pause")
    assert await _explained(city, log, granted) == "paused"
    await city.authority.change(RESIDENT, granted.id, "withdraw")
    assert await _explained(city, log, granted) == "ended"


@pytest.mark.parametrize(("act", "code"), [("pause", "paused"), ("withdraw", "ended")])
async def test_what_she_did_between_attestation_and_decision_is_the_reason(
    city: FakeCity, log: FakeLog, act: Act, code: str
) -> None:
    granted = await city.grant()
    attested = await city.answer(granted.token)
    await city.authority.change(RESIDENT, granted.id, act)
    index = log.decide(0, bundle=city.reference.bundle.digest)
    report = Report(attested.id, Outcome.of(0), index, log.entries[index], log.inclusion(index))
    await city.reports.take([report], log.checkpoint())
    assert (await city.desk.explain(RESIDENT, index)).code == code


@pytest.mark.parametrize("short_of", [1, 60, 400])
async def test_a_distance_is_a_word(city: FakeCity, log: FakeLog, short_of: int) -> None:
    concordance = city.reference.concordance(city.now_s)
    level = city.reference.bundle.scenarios[city.question("").scenario].rungs[0].level
    cut = next(item.minimum for item in concordance.cuts if item.level == level)
    city.source.know(RESIDENT, cut - short_of)
    found = await city.desk.explain(RESIDENT, await use(city, log, await city.grant()))
    share = short_of / (concordance.score_max - concordance.score_min)
    word = "near" if share <= 0.05 else "some way" if share <= 0.15 else "far"
    assert found.distance == DISTANCES[word]  # type: ignore[index]
    texts = [text for words in (found.reason, found.distance, found.contest) for text in words]
    assert not any(character.isdigit() for text in texts for character in text)


async def test_no_text_holds_a_number() -> None:
    for words in (*REASONS.values(), *DISTANCES.values()):
        assert not any(character.isdigit() for text in words for character in text)


@pytest.mark.parametrize("which", ["of somebody else", "not reported"])
async def test_nobody_is_told_about_a_decision_that_is_not_hers(city: FakeCity, log: FakeLog, which: str) -> None:
    city.source.know(OTHER, 900)
    index = await use(city, log, await city.grant(OTHER))
    asked = index if which == "of somebody else" else index + 1
    with refuses(Reason.DECISION_UNKNOWN):
        await city.desk.explain(RESIDENT, asked)
    with refuses(Reason.DECISION_UNKNOWN):
        await city.desk.contest(RESIDENT, asked)
    assert city.store.count_pending() == 0
