"""What a gateway could do to its log, and which of an auditor's four tools, or the city, finds it. Each one is found.

The city alarms at what it is told and what it is not told.
The gateway signs whatever it has made of the log; ``verify`` and ``replay`` have the export, and root and bundle of the
authorities, ``reconcile`` also the city's journal, ``watch`` also what it saw before, what it knows of its own
decisions and what others were given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.cli.watch_sources import ExportSource
from gateway.consentlog.entry import decode
from gateway.crypto.consent import token_hash
from gateway.errors import Reason
from tests.fakes.audited import Audited
from tests.fakes.city import RESIDENT, FakeCity
from tests.unit.adapters.conftest import refuses
from tests.unit.adapters.tampering import CITY, MINUTE_MS, RECONCILE, REPLAY, VERIFY, WATCH, Scene
from tests.unit.adapters.test_registrations import Used

ALL = {VERIFY, REPLAY, RECONCILE, WATCH}


@pytest.fixture
async def scene(city: FakeCity, tmp_path: Path) -> Scene:
    folder = tmp_path / "auditor"
    folder.mkdir()
    made = Scene(Audited(city), folder)
    await made.decided()
    await made.decided()
    before = made.audited.export(folder / "before")
    assert await made.watcher().poll(ExportSource(before)) == []
    return made


async def _nothing(scene: Scene) -> None:
    await scene.decided()


async def _a_byte_of_the_export(scene: Scene) -> None:
    export = scene.audited.export(scene.folder / "shown")
    path = next(item for item in (export / "tile" / "entries").rglob("*") if item.is_file())
    path.write_bytes(path.read_bytes().replace(b'"rung":1', b'"rung":2', 1))


async def _entries_taken_away(scene: Scene) -> None:
    scene.shown = scene.audited.log.entries[:-2]


async def _a_decision_rewritten(scene: Scene) -> None:
    last = len(scene.audited.log.entries) - 1
    scene.shown = scene.changed(last, id="ab" * 16)


async def _a_decision_hidden_and_the_log_made_longer(scene: Scene) -> None:
    last = len(scene.audited.log.entries) - 1
    hidden = scene.audited.log.entries[last]
    scene.audited.log.refuse()
    refusal = scene.audited.log.entries[-1]
    assert hidden != refusal
    scene.shown = [*scene.audited.log.entries[:last], refusal, refusal]


async def _a_decision_invented(scene: Scene) -> None:
    last = len(scene.audited.log.entries) - 1
    scene.audited.again(last - 1)


async def _a_decision_invented_under_a_known_id(scene: Scene) -> None:
    last = len(scene.audited.log.entries) - 1
    scene.audited.again(last - 1, id=decode(scene.audited.log.entries[last]).text("id"))


async def _a_decision_invented_and_reported(scene: Scene) -> None:
    last = len(scene.audited.log.entries) - 1
    await scene.audited.report(scene.audited.again(last - 1), "N" * 22)


async def _a_decision_not_reported(scene: Scene) -> None:
    token, _ = await scene.audited.attest()
    scene.know(scene.audited.decide(token))


async def _a_report_left_out(scene: Scene) -> None:
    last = len(scene.audited.log.entries) - 1
    scene.know(scene.audited.again(last - 1))
    await scene.decided()


async def _attested_and_never_decided(scene: Scene) -> None:
    await scene.audited.attest()


async def _lower_than_attested(scene: Scene) -> None:
    await scene.decided(rung=0)


async def _a_rung_that_the_scenario_does_not_have(scene: Scene) -> None:
    await scene.decided(rung=3)


async def _a_time_finer_than_its_grain(scene: Scene) -> None:
    token, attestation = await scene.audited.attest()
    index = scene.audited.decide(token, time=1_793_491_200_001)
    await scene.audited.report(index, attestation)
    scene.know(index)


async def _an_old_rule_gone_on_with(scene: Scene) -> None:
    """Under a scenario that the bundle does not have."""
    token, attestation = await scene.audited.attest()
    index = scene.audited.decide(token, scenario="nowhere")
    await scene.audited.report(index, attestation)
    scene.know(index)


async def _decided_under_a_bundle_that_no_authority_has_signed(scene: Scene) -> None:
    token, attestation = await scene.audited.attest()
    index = scene.audited.decide(token, bundle=scene.audited.publish_unsigned())
    await scene.audited.report(index, attestation)
    scene.know(index)


async def _a_bundle_published_that_no_authority_has_signed(scene: Scene) -> None:
    scene.audited.publish_unsigned()


async def _entitled_after_a_withdrawal(scene: Scene) -> None:
    last = len(scene.audited.log.entries) - 1
    scene.audited.log.change("consent_withdrawn", consent=last - 1)
    scene.know(scene.audited.again(last - 1))


async def _registered(scene: Scene) -> tuple[Used, int]:
    """A consent that was used and reported with its registration, and where that is in the log."""
    city = scene.audited.city
    city.gateway.log = scene.audited.log
    granted = await city.grant()
    used = Used(city, granted.token, granted.id, (await city.answer(granted.token)).id)
    report = used.report()
    scene.know(report.log_index)
    await used.take(report)
    return used, decode(report.entry).number("consent")


async def _entitled_after_a_withdrawal_logged_without_its_link(scene: Scene) -> None:
    used, consent = await _registered(scene)
    await used.city.authority.change(RESIDENT, used.consent, "withdraw")
    with refuses(Reason.PEER_UNREACHABLE):  # the gateway's word on it is not taken
        await used.city.pusher.push_once()
    again = scene.audited.again(consent)
    scene.know(again)
    await scene.audited.report(again, used.attestation)


async def _entitled_on_a_second_registration_of_a_withdrawn_consent(scene: Scene) -> None:
    """Under a new key nothing in the log says that it is the consent which the city withdrew."""
    used, consent = await _registered(scene)
    used.city.gateway.registered[used.consent] = consent
    await used.city.authority.change(RESIDENT, used.consent, "withdraw")
    await used.city.pusher.push_once()
    again = scene.audited.again(scene.audited.log.register(token_hash(used.token), b"2" * 32))
    scene.know(again)
    await scene.audited.report(again, used.attestation)


async def _decided_before_it_was_attested(scene: Scene) -> None:
    token, attestation = await scene.audited.attest()
    index = scene.audited.decide(token)
    early = decode(scene.audited.log.entries[index]).time - 10 * MINUTE_MS
    again = scene.audited.again(index - 1, time=early, valid_until=early + 5 * MINUTE_MS)
    for made in (index, again):
        scene.know(made)
        await scene.audited.report(made, attestation)


async def _an_attestation_used_after_its_end(scene: Scene) -> None:
    token, attestation = await scene.audited.attest()
    index = scene.audited.decide(token)
    late = decode(scene.audited.log.entries[index]).time + 10 * MINUTE_MS
    again = scene.audited.again(index - 1, time=late, valid_until=late + 5 * MINUTE_MS)
    for made in (index, again):
        scene.know(made)
        await scene.audited.report(made, attestation)


async def _a_decision_without_a_consent(scene: Scene) -> None:
    scene.known.add("cd" * 16)
    scene.audited.log.decide(1, id="cd" * 16, bundle=scene.audited.city.reference.bundle.digest)


async def _another_history_shown_to_somebody_else(scene: Scene) -> None:
    last = len(scene.audited.log.entries) - 1
    other = scene.audited.log.fork()
    other.entries = scene.changed(last, rung=0, outcome="ordinary")
    entry, proof = other.receipt(last)
    (scene.gossip / "theirs.entry").write_bytes(entry)
    (scene.gossip / "theirs.proof").write_bytes(proof)


CASES: dict[Callable[[Scene], Awaitable[None]], set[str]] = {
    _nothing: set(),
    _a_byte_of_the_export: ALL,
    _entries_taken_away: {WATCH},
    _a_decision_rewritten: {RECONCILE, WATCH},
    _a_decision_hidden_and_the_log_made_longer: {RECONCILE, WATCH},
    _a_decision_invented: {RECONCILE, WATCH},
    _a_decision_invented_under_a_known_id: {RECONCILE, WATCH},
    _a_decision_invented_and_reported: {RECONCILE, WATCH, CITY},
    _a_decision_not_reported: {RECONCILE, CITY},
    _a_report_left_out: {RECONCILE},
    _attested_and_never_decided: {RECONCILE, CITY},
    _lower_than_attested: {RECONCILE, CITY},
    _a_rung_that_the_scenario_does_not_have: {REPLAY, RECONCILE, CITY},
    _a_time_finer_than_its_grain: {REPLAY},
    _an_old_rule_gone_on_with: {REPLAY, RECONCILE, CITY},
    _decided_under_a_bundle_that_no_authority_has_signed: {VERIFY, REPLAY, RECONCILE, CITY},
    _a_bundle_published_that_no_authority_has_signed: {VERIFY, REPLAY},
    _entitled_after_a_withdrawal: ALL,
    _entitled_after_a_withdrawal_logged_without_its_link: {CITY},
    _entitled_on_a_second_registration_of_a_withdrawn_consent: {CITY},
    _an_attestation_used_after_its_end: {RECONCILE, CITY},
    _decided_before_it_was_attested: {RECONCILE, CITY},
    _a_decision_without_a_consent: ALL,
    _another_history_shown_to_somebody_else: {WATCH},
}


@pytest.mark.parametrize(("tamper", "tools"), CASES.items(), ids=[case.__name__.strip("_") for case in CASES])
async def test_which_tool_finds_what(scene: Scene, tamper: Callable[[Scene], Awaitable[None]], tools: set[str]) -> None:
    await tamper(scene)
    assert await scene.found_by() == tools


def test_every_tool_finds_something_and_every_tampering_is_found() -> None:
    assert set().union(*CASES.values()) == ALL | {CITY}
    assert [case for case, tools in CASES.items() if not tools] == [_nothing]
    alone = {next(iter(tools)) for tools in CASES.values() if len(tools) == 1}
    assert alone == {REPLAY, RECONCILE, WATCH, CITY}
