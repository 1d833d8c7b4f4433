"""The outbox is emptied in order, whatever the gateway does, and nothing in it is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from adapters.events import FIRST_PAUSE_S, LONGEST_PAUSE_S, RUN, Ack
from adapters.store.outbox import MarkSent
from gateway.crypto.event import event_claims
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason, TiergateError
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.network import Network
from tests.unit.adapters.conftest import refuses


async def _withdraw(city: FakeCity, count: int) -> list[str]:
    """Grant and withdraw; the consents' ids in order."""
    ids = []
    for _ in range(count):
        granted = await city.grant()
        await city.authority.change(RESIDENT, granted.id, "withdraw")
        ids.append(granted.id)
    return ids


def _received(city: FakeCity) -> list[str | None]:
    return [event.consent_id for event in city.gateway.events]


async def test_events_are_sent_in_order_a_run_at_a_time(city: FakeCity) -> None:
    ids = await _withdraw(city, RUN + 3)
    assert await city.pusher.push_once()
    assert _received(city) == ids[:RUN]
    assert not await city.pusher.push_once()
    assert _received(city) == ids
    assert city.store.count_pending() == 0
    assert not await city.pusher.push_once()
    assert city.gateway.pushes == 2


async def test_a_gateway_that_is_down_gets_them_later(city: FakeCity) -> None:
    ids = await _withdraw(city, 2)
    city.gateway.down = True
    with refuses(Reason.PEER_UNREACHABLE):
        await city.pusher.push_once()
    assert city.store.count_pending() == 2
    city.gateway.down = False
    await city.pusher.push_once()
    assert _received(city) == ids


async def test_nothing_is_lost_by_a_restart(network: Network, tmp_path: Path) -> None:
    async with FakeCity(network, tmp_path) as before:
        ids = await _withdraw(before, 2)
    async with FakeCity(network, tmp_path, pushing=True) as after:
        for event in after.store.pending_events(RUN):
            await after.pusher.wait_settled(event.id, 30)
        assert _received(after) == ids


async def test_an_acknowledgement_lost_on_the_way_is_asked_for_again(city: FakeCity) -> None:
    (consent,) = await _withdraw(city, 1)
    (pending,) = city.store.pending_events(RUN)
    await city.gateway.push([pending.event])  # taken, but the answer never came back
    await city.pusher.push_once()
    assert _received(city) == [consent]
    assert city.store.event_place(pending.id).log_index == 1


async def test_a_refused_event_is_kept_and_alarmed_and_holds_nobody_up(city: FakeCity) -> None:
    first, second = await _withdraw(city, 2)
    bad = city.store.pending_events(RUN)[0]
    city.gateway.refusing[bad.id] = "EVENT_INVALID"
    await city.pusher.push_once()
    assert _received(city) == [second]
    assert city.alarms.raised["event_refused"] == 1
    assert city.store.count_pending() == 0
    kept = city.store._reader.execute("SELECT refused FROM events WHERE consent_id = ?", (first,)).fetchone()
    assert kept == ("EVENT_INVALID",)


@pytest.mark.parametrize("reason", ["LOG_UNAVAILABLE", "BUSY", "RATE_LIMITED"])
async def test_a_refusal_of_the_moment_is_tried_again(city: FakeCity, reason: str) -> None:
    ids = await _withdraw(city, 1)
    city.gateway.refusing["*"] = reason
    with refuses(Reason.PEER_UNREACHABLE):
        await city.pusher.push_once()
    assert city.alarms.raised["event_refused"] == 0
    city.gateway.refusing.clear()
    await city.pusher.push_once()
    assert _received(city) == ids


async def test_an_unknown_refusal_is_final(city: FakeCity) -> None:
    await _withdraw(city, 1)
    city.gateway.refusing["*"] = "SOMETHING_NEW"
    await city.pusher.push_once()
    assert city.store.count_pending() == 0
    assert city.alarms.raised["event_refused"] == 1


@pytest.mark.parametrize("acks", [[], [Ack("A" * 22, 1, None)]])
async def test_acknowledgements_of_something_else_settle_nothing(city: FakeCity, acks: list[Ack]) -> None:
    await _withdraw(city, 1)

    class Confused:
        async def push(self, events: Sequence[str]) -> Sequence[Ack]:
            return acks

    pusher = city.pusher_to(Confused())
    with refuses(Reason.PEER_UNREACHABLE):
        await pusher.push_once()
    assert city.store.count_pending() == 1


class Pauses:
    """Makes every pause end at once, and keeps what was asked for; ``limit`` pauses, then it never returns."""

    def __init__(self, limit: int) -> None:
        self.asked: list[float] = []
        self.limit = limit
        self.done = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        if len(self.asked) >= self.limit:
            self.done.set()
            await asyncio.Event().wait()


@pytest.mark.parametrize("fault", ["down", "bug"])
async def test_the_pauses_grow_up_to_a_limit_and_the_task_lives_on(city: FakeCity, fault: str) -> None:
    await _withdraw(city, 1)
    city.gateway.down = fault == "down"

    class Broken:
        async def push(self, events: Sequence[str]) -> Sequence[Ack]:
            raise RuntimeError("scripted")

    pauses = Pauses(20)
    sink = city.gateway if fault == "down" else Broken()
    pusher = city.pusher_to(sink, sleep=pauses)
    pusher.start()
    await pauses.done.wait()
    await pusher.close()
    whole = [first + rest for first, rest in zip(pauses.asked[::2], pauses.asked[1::2], strict=True)]
    assert set(pauses.asked[::2]) == {FIRST_PAUSE_S}
    assert whole == sorted(whole)
    assert whole[-1] == pytest.approx(LONGEST_PAUSE_S)
    assert city.store.count_pending() == 1


async def test_a_new_withdrawal_ends_the_pause(city: FakeCity) -> None:
    await _withdraw(city, 1)
    city.gateway.down = True
    pauses = Pauses(2)  # the second pause, the long one, never ends by itself
    pusher = city.pusher_to(city.gateway, sleep=pauses)
    pusher.start()
    await pauses.done.wait()
    city.gateway.down = False
    await _withdraw(city, 1)
    (event, *_) = city.store.pending_events(RUN)
    await pusher.wait_settled(event.id, 30)
    await pusher.close()
    assert city.store.count_pending() == 0


async def test_waiting_for_an_event_that_never_settles_ends(city: FakeCity) -> None:
    await _withdraw(city, 1)
    (event,) = city.store.pending_events(RUN)
    await city.pusher.wait_settled(event.id, 0.0)
    assert city.pusher._waiting == {}


async def test_waiting_for_an_event_that_is_settled_ends_at_once(city: FakeCity) -> None:
    await city.pusher.wait_settled("A" * 22, 30)
    assert city.pusher._waiting == {}


async def test_a_refusal_of_what_could_not_be_read_is_known_by_its_place(city: FakeCity) -> None:
    await _withdraw(city, 1)

    class Unreading:
        async def push(self, events: Sequence[str]) -> Sequence[Ack]:
            return [Ack("", None, "EVENT_INVALID")]

    await city.pusher_to(Unreading()).push_once()
    assert city.store.count_pending() == 0
    assert city.alarms.raised["event_refused"] == 1


class Slow:
    """A gateway that takes so many corrections, and puts off the others."""

    def __init__(self, city: FakeCity, takes: int) -> None:
        self.city = city
        self.takes = takes
        self.put_off = 0

    async def push(self, events: Sequence[str]) -> Sequence[Ack]:
        acks: list[Ack] = []
        for event in events:
            claims = event_claims(event)
            correction = "correction" in str(claims["events"])
            if correction and not self.takes:
                self.put_off += 1
                acks.append(Ack(str(claims["jti"]), None, "EVENT_DEFERRED"))
                continue
            self.takes -= correction
            acks += await self.city.gateway.push([event])
        return acks


async def test_corrections_that_are_put_off_hold_up_no_withdrawal(city: FakeCity) -> None:
    slow = Slow(city, 6)
    pusher = city.pusher_to(slow)
    granted = await city.grant()
    for number in range(RUN + 10):
        await city.desk.correct(ResidentRef(f"synthetic-{number}"), "correct")
        with contextlib.suppress(TiergateError):
            await pusher.push_once()
    assert city.store.count_pending() == 1  # those after the sixth joined the one that waits
    await city.authority.change(RESIDENT, granted.id, "withdraw")
    assert await pusher.push_once()
    with pytest.raises(TiergateError):
        await pusher.push_once()
    assert [event.consent_id for event in city.gateway.events] == [None] * 6 + [granted.id]
    slow.takes = 1
    await pusher.push_once()
    assert city.store.count_pending() == 0


async def test_of_many_corrections_one_is_sent_at_a_time(city: FakeCity) -> None:
    slow = Slow(city, 0)
    for _ in range(3):  # each on its way when the next one was made
        await city.desk.correct(RESIDENT, "correct")
        (first, *_) = city.store.pending_events(RUN)
        await city.store.submit(MarkSent([first.seq + number for number in range(3)]))
    assert city.store.count_pending() == 3
    with pytest.raises(TiergateError):
        await city.pusher_to(slow).push_once()
    assert slow.put_off == 1
    slow.takes = 3
    while await city.pusher_to(slow).push_once():
        pass
    assert city.store.count_pending() == 0
