"""An acknowledgement is worth its receipt: what does not verify leaves the event where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from adapters.events import Ack
from adapters.store.erasing import Order
from gateway.consentlog.note import SignerKey
from gateway.consentlog.proof import LogProof
from gateway.consentlog.receipt import prove_event
from gateway.crypto.event import reissue_event
from gateway.crypto.keys import generate_signing_key
from gateway.errors import Reason
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.log import FakeLog
from tests.fakes.network import ORIGIN
from tests.unit.adapters.conftest import refuses
from tests.unit.adapters.test_registrations import Used

Forge = Callable[[FakeCity, Ack], Ack]


async def _withdrawn(city: FakeCity) -> str:
    granted = await city.grant()
    await city.authority.change(RESIDENT, granted.id, "withdraw")
    return granted.id


def _kept(city: FakeCity, consent: str) -> tuple[str, int | None, bytes | None, bytes | None]:
    found: tuple[str, int | None, bytes | None, bytes | None] = city.store._reader.execute(
        "SELECT event, log_index, entry, proof FROM events WHERE consent_id = ?", (consent,)
    ).fetchone()
    return found


async def test_the_receipt_is_kept_with_the_event_and_verifies_offline(city: FakeCity) -> None:
    consent = await _withdrawn(city)
    await city.pusher.push_once()
    event, index, entry, proof = _kept(city, consent)
    assert entry is not None
    assert proof is not None
    found = prove_event(event, city.id, entry, proof, city.reference.log)
    assert (found.log_index, found.entry.type, found.size) == (index, "consent_withdrawn", 2)
    view = await city.authority.change(RESIDENT, consent, "withdraw")
    assert (view.log_index, view.checkpoint_size) == (index, 2)


def _flipped(data: bytes, at: int) -> bytes:
    return bytes([*data[:at], data[at] ^ 1, *data[at + 1 :]])


def _of_another_log(city: FakeCity, ack: Ack) -> Ack:
    log = FakeLog(SignerKey.generate(ORIGIN))
    log.entries = list(city.gateway.log.entries)
    return ack._replace(proof=log.receipt(ack.log_index or 0)[1])


def _of_another_entry(city: FakeCity, ack: Ack) -> Ack:
    log = city.gateway.log
    entry, proof = log.receipt(log.take_event("e.another-event.e"))
    return ack._replace(entry=entry, proof=proof)


def _of_another_kind(city: FakeCity, ack: Ack) -> Ack:
    (pending,) = city.store.pending_events(1)
    log = city.gateway.log
    index = log.take_event(pending.event, "correction")
    entry, proof = log.receipt(index)
    return Ack(ack.event_id, index, None, entry, proof)


def _of_another_city(city: FakeCity, ack: Ack) -> Ack:
    (pending,) = city.store.pending_events(1)
    log = city.gateway.log
    index = log.take_event(pending.event, city="xiamen")
    entry, proof = log.receipt(index)
    return Ack(ack.event_id, index, None, entry, proof)


def _of_no_event(city: FakeCity, ack: Ack) -> Ack:
    log = city.gateway.log
    index = log.decide(1)
    entry, proof = log.receipt(index)
    return Ack(ack.event_id, index, None, entry, proof)


def _at_another_place(city: FakeCity, ack: Ack) -> Ack:
    parsed = LogProof.parse(ack.proof)
    return ack._replace(proof=replace(parsed, index=0).to_bytes())


FORGERIES: dict[str, Forge] = {
    "none": lambda city, ack: ack._replace(entry=b"", proof=b""),
    "no proof": lambda city, ack: ack._replace(proof=b""),
    "another index": lambda city, ack: ack._replace(log_index=7),
    "a changed entry": lambda city, ack: ack._replace(entry=_flipped(ack.entry, -10 % len(ack.entry))),
    "a changed checkpoint": lambda city, ack: ack._replace(proof=_flipped(ack.proof, len(ack.proof) - 10)),
    "of another log": _of_another_log,
    "of another entry": _of_another_entry,
    "of another kind of entry": _of_another_kind,
    "of another city": _of_another_city,
    "of no event": _of_no_event,
    "at another place": _at_another_place,
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_receipt_that_does_not_verify_leaves_the_event_pending(city: FakeCity, forgery: str) -> None:
    consent = await _withdrawn(city)
    city.gateway.forge = lambda ack: FORGERIES[forgery](city, ack)
    with refuses(Reason.PEER_UNREACHABLE):
        await city.pusher.push_once()
    assert city.store.count_pending() == 1
    assert city.alarms.raised["event_receipt_invalid"] == 1
    assert _kept(city, consent)[1:] == (None, None, None)
    assert (await city.authority.change(RESIDENT, consent, "withdraw")).log_index is None
    city.gateway.forge = lambda ack: ack
    await city.pusher.push_once()
    assert city.store.count_pending() == 0
    assert (await city.authority.change(RESIDENT, consent, "withdraw")).log_index == 1


async def test_a_bad_receipt_holds_up_no_other_event(city: FakeCity) -> None:
    bad, good = await _withdrawn(city), await _withdrawn(city)
    (first, _) = city.store.pending_events(2)
    city.gateway.forge = lambda ack: ack._replace(proof=b"") if ack.event_id == first.id else ack
    assert await city.pusher.push_once()  # something was settled: the next run follows at once
    assert _kept(city, bad)[1] is None
    assert _kept(city, good)[1] is not None
    with refuses(Reason.PEER_UNREACHABLE):
        await city.pusher.push_once()


async def test_an_event_that_is_signed_again_is_still_the_one_that_the_log_has(city: FakeCity) -> None:
    """Its key was retired before the acknowledgement came: what the log names is what the event says."""
    consent = await _withdrawn(city)
    await city.pusher.push_once()
    event, index, entry, proof = _kept(city, consent)
    assert entry is not None
    assert proof is not None
    again = reissue_event(generate_signing_key("ES256"), "a-newer-key", event)
    assert again != event
    assert prove_event(again, city.id, entry, proof, city.reference.log).log_index == index


async def _used_and_withdrawn(city: FakeCity) -> Used:
    """A consent that was used, which the city does not know of yet, and its withdrawal."""
    granted = await city.grant()
    used = Used(city, granted.token, granted.id, (await city.answer(granted.token)).id)
    await city.authority.change(RESIDENT, granted.id, "withdraw")
    return used


@pytest.mark.parametrize("named", [None, 0])
async def test_a_withdrawal_whose_entry_does_not_name_the_registration_is_not_settled(
    city: FakeCity, named: int | None
) -> None:
    used = await _used_and_withdrawn(city)
    report = used.report()
    await used.take(report)
    assert report.registration is not None
    if named is not None:
        city.gateway.registered[used.consent] = named
    with refuses(Reason.PEER_UNREACHABLE):
        await city.pusher.push_once()
    assert city.alarms.raised["event_unlinked"] == 1
    _, index, entry, proof = _kept(city, used.consent)
    assert (index, entry is None, proof is None) == (None, False, False)  # evidence, and no place in the log
    assert (await city.authority.change(RESIDENT, used.consent, "withdraw")).checkpoint_size is None
    kept = city.store.kept_of(RESIDENT, used.consent)
    assert kept is not None
    assert [(change.entry, change.proof) for change in kept.changes] == [(None, None)]
    city.gateway.indices.clear()  # the gateway logs it as it should
    city.gateway.registered[used.consent] = report.registration.log_index
    await city.pusher.push_once()
    assert city.store.count_pending() == 0
    assert city.alarms.raised["event_unlinked"] == 1


@pytest.mark.parametrize("linked", [True, False])
async def test_a_registration_that_is_told_after_the_withdrawal_is_held_against_it(
    city: FakeCity, linked: bool
) -> None:
    """Kept back until the withdrawal was settled, it would hide that the entry names nothing."""
    used = await _used_and_withdrawn(city)
    report = used.report()
    assert report.registration is not None
    if linked:
        city.gateway.registered[used.consent] = report.registration.log_index
    await city.pusher.push_once()
    assert city.store.count_pending() == 0
    await used.take(used.again(report.registration.log_index, report.log_index))
    assert city.alarms.raised["event_unlinked"] == (0 if linked else 1)


async def test_what_was_logged_before_the_first_check_names_nothing(city: FakeCity) -> None:
    used = await _used_and_withdrawn(city)
    await city.pusher.push_once()
    await used.take(used.report())
    assert city.alarms.raised["event_unlinked"] == 0


async def test_an_entry_before_the_registration_that_names_another_is_alarmed(city: FakeCity) -> None:
    used = await _used_and_withdrawn(city)
    city.gateway.registered[used.consent] = 0
    await city.pusher.push_once()
    await used.take(used.report())
    assert city.alarms.raised["event_unlinked"] == 1


async def test_what_the_gateway_has_erased_before_holds_up_no_erasure_here(city: FakeCity) -> None:
    """By order, it knows no registration any more that its entry could name."""
    used = await _used_and_withdrawn(city)
    await used.take(used.report())
    await city.erasures.erase(RESIDENT)
    with refuses(Reason.CONSENT_STATE):  # nothing is acknowledged yet
        await city.erasures.erase(RESIDENT, Order("fuzhou-court", "0d" * 32))
    with refuses(Reason.PEER_UNREACHABLE):
        await city.pusher.push_once()
    assert (await city.erasures.erase(RESIDENT, Order("fuzhou-court", "0d" * 32))).deleted == 1
    assert city.store.count_pending() == 0


async def test_after_a_settled_end_nothing_more_has_to_be_named(city: FakeCity) -> None:
    used = await _used_and_withdrawn(city)
    report = used.report()
    await used.take(report)
    assert report.registration is not None
    city.gateway.registered[used.consent] = report.registration.log_index
    await city.pusher.push_once()
    city.gateway.registered.clear()  # its key was dropped long after the end
    await city.erasures.erase(RESIDENT)
    await city.pusher.push_once()
    assert (city.store.count_pending(), city.alarms.raised["event_unlinked"]) == (0, 0)


async def test_a_change_after_the_tokens_end_need_not_name_the_registration(city: FakeCity) -> None:
    granted = await city.grant()
    used = Used(city, granted.token, granted.id, (await city.answer(granted.token)).id)
    await used.take(used.report())
    city.clock.advance(86_400.0)
    await city.erasures.erase(RESIDENT)
    await city.pusher.push_once()
    assert (city.store.count_pending(), city.alarms.raised["event_unlinked"]) == (0, 0)
