"""A withdrawal on its way from a city's outbox into the gateway's log, with a fault at each step and either side ended.

Both sides are the real ones with their real stores; between them is what the wire carries.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from adapters.events import Ack
from adapters.rpc import _ack
from adapters.store.outbox import SettleEvents
from gateway.api.peer.v1 import peer_pb2 as pb
from gateway.consentlog.entry import decode
from gateway.consentlog.merkle import leaf_hash, root_of
from gateway.consentlog.receipt import prove_event
from gateway.crypto.event import event_digest
from gateway.domain.ids import PeerIdentity
from gateway.errors import Reason, TiergateError
from gateway.rpc.events import ConsentEventServicer
from gateway.services.attestation_cache import AttestationCache
from gateway.services.take_event import TakeEvent
from gateway.storage.sqlite_store import SqliteStore
from gateway.transport.identity import Caller
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_commit import next_commit_lies
from tests.fakes.network import DEPLOYMENT, DOMAIN, FUZHOU, Network

COUNT = 3
CALLER = Caller(PeerIdentity(DOMAIN, "city", FUZHOU))


class Ended(Exception):  # noqa: N818 - what happened, and no error of anybody's
    """A side has ended at this step."""


class Both:
    """A gateway and a city on files that outlive them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = Network()
        self.clock = FakeClock()
        self.lost = ""
        self._gateway, self._city = AsyncExitStack(), AsyncExitStack()

    async def start_gateway(self) -> None:
        """A new process on the same log."""
        await self._gateway.aclose()
        self.store = SqliteStore(self.folder / "gateway.db", self.folder / "log.mark", self.network.log, self.clock)
        self._gateway.push_async_callback(self.store.close)
        await self.store.start(DEPLOYMENT)
        trusted = self.network.trusted()
        self.take = TakeEvent(
            clock=self.clock, keys=lambda: trusted, store=self.store, log=self.store, cache=AttestationCache(8)
        )

    async def start_city(self) -> None:
        """A new process on the same outbox."""
        await self._city.aclose()
        (self.folder / "city").mkdir(exist_ok=True)
        self.city = await self._city.enter_async_context(FakeCity(self.network, self.folder / "city", clock=self.clock))
        self.city.source.know(RESIDENT, 900)
        self.pusher = self.city.pusher_to(self)

    async def stop(self) -> None:
        """End both."""
        await self._city.aclose()
        await self._gateway.aclose()

    async def push(self, events: Sequence[str]) -> Sequence[Ack]:
        """The wire."""
        if self.lost == "request":
            raise Ended
        request = pb.PushConsentEventsRequest.FromString(pb.PushConsentEventsRequest(events=events).SerializeToString())
        answer = await ConsentEventServicer(self.take).PushConsentEvents(request, CALLER)
        if self.lost == "answer":
            raise Ended
        return [_ack(item) for item in pb.PushConsentEventsResponse.FromString(answer.SerializeToString()).acks]


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    made = Both(tmp_path)
    await made.start_gateway()
    await made.start_city()
    yield made
    await made.stop()


def _ends(*_arguments: Any, **_named: Any) -> Any:
    raise Ended


def _lose_request(both: Both, _patch: pytest.MonkeyPatch) -> None:
    both.lost = "request"


def _lose_answer(both: Both, _patch: pytest.MonkeyPatch) -> None:
    both.lost = "answer"


def _gateway_cannot_commit(both: Both, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(both.store._group, "_sign", _ends)


def _gateway_commits_and_ends(both: Both, _patch: pytest.MonkeyPatch) -> None:
    next_commit_lies(both.store._writer)


def _gateway_ends_between_two_events(both: Both, patch: pytest.MonkeyPatch) -> None:
    take = both.take.take
    taken: list[object] = []

    async def ends(*arguments: Any) -> Any:
        if taken:
            raise Ended
        taken.append(arguments)
        return await take(*arguments)

    patch.setattr(both.take, "take", ends)


def _gateway_ends_before_its_receipt(both: Both, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(both.store, "receipt", _ends)


def _city_ends_before_it_settles(both: Both, patch: pytest.MonkeyPatch) -> None:
    submit = both.city.store.submit

    async def ends(operation: Any) -> Any:
        if isinstance(operation, SettleEvents):
            raise Ended
        return await submit(operation)

    patch.setattr(both.city.store, "submit", ends)


def _city_settles_and_ends(both: Both, _patch: pytest.MonkeyPatch) -> None:
    next_commit_lies(both.city.store._writer)


def _nothing(_both: Both, _patch: pytest.MonkeyPatch) -> None:
    """Everything has been settled; only nobody was told."""


FAULTS = {
    "request lost": _lose_request,
    "gateway cannot commit": _gateway_cannot_commit,
    "gateway commits and ends": _gateway_commits_and_ends,
    "gateway ends between two events": _gateway_ends_between_two_events,
    "gateway ends before its receipt": _gateway_ends_before_its_receipt,
    "answer lost": _lose_answer,
    "city ends before it settles": _city_ends_before_it_settles,
    "city settles and ends": _city_settles_and_ends,
    "all done": _nothing,
}


@pytest.mark.parametrize("ended", ["city", "gateway", "both", "neither"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_every_withdrawal_arrives_once_in_order_and_is_proved(both: Both, fault: str, ended: str) -> None:
    granted = [await both.city.grant() for _ in range(COUNT)]
    for item in granted:
        await both.city.authority.change(RESIDENT, item.id, "withdraw")
        assert (await both.city.answer(item.token)).rung == 0  # at home it is in force whatever happens next
    sent = [event.event for event in both.city.store.pending_events(COUNT)]

    with pytest.MonkeyPatch.context() as patch:
        FAULTS[fault](both, patch)
        try:
            await both.pusher.push_once()
        except (Ended, TiergateError):
            assert fault != "all done"
    both.lost = ""
    if ended in ("gateway", "both"):
        await both.start_gateway()
    if ended in ("city", "both"):
        await both.start_city()

    while await both.pusher.push_once():
        pass
    entries = [decode(raw) for raw in both.store.entries(0, both.store.size())]
    assert [entry.type for entry in entries] == ["genesis", *["consent_withdrawn"] * COUNT]
    digests = [event_digest(event).hex() for event in sent]
    assert [entry.text("event") for entry in entries[1:]] == digests
    check = both.city.store._reader.execute("SELECT event, entry, proof, log_index FROM events ORDER BY seq").fetchall()
    for event, entry, proof, index in check:
        assert prove_event(event, FUZHOU, entry, proof, both.city.reference.log).log_index == index
    assert [index for *_, index in check] == [1, 2, 3]
    assert both.city.store.count_pending() == 0
    assert both.city.alarms.raised["event_receipt_invalid"] == 0


async def test_a_withdrawal_that_is_not_committed_is_not_announced(both: Both) -> None:
    """The city ends before its own commit: nothing is withdrawn and nothing is sent."""
    item = await both.city.grant()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adapters.store.consents.Changed", _ends)
        with pytest.raises(TiergateError) as caught:
            await both.city.authority.change(RESIDENT, item.id, "withdraw")
    assert caught.value.reason is Reason.INTERNAL
    await both.start_city()
    assert both.city.store.count_pending() == 0
    assert (await both.city.answer(item.token)).rung == 1


async def test_a_withdrawal_whose_commit_nobody_was_told_of_is_found_by_the_next_call(both: Both) -> None:
    item = await both.city.grant()
    next_commit_lies(both.city.store._writer)
    with pytest.raises(TiergateError):
        await both.city.authority.change(RESIDENT, item.id, "withdraw")
    assert both.city.store.count_pending() == 1
    await both.city.authority.change(RESIDENT, item.id, "withdraw")
    assert both.city.store.count_pending() == 1
    await both.pusher.push_once()
    assert (await both.city.authority.change(RESIDENT, item.id, "withdraw")).log_index == 1


async def test_the_logs_tree_holds_after_all_of_it(both: Both) -> None:
    for fault in FAULTS.values():
        item = await both.city.grant()
        await both.city.authority.change(RESIDENT, item.id, "withdraw")
        with pytest.MonkeyPatch.context() as patch:
            fault(both, patch)
            try:
                await both.pusher.push_once()
            except (Ended, TiergateError):
                await both.start_gateway()
        both.lost = ""
    while await both.pusher.push_once():
        pass
    raw = list(both.store.entries(0, both.store.size()))
    assert [decode(item).type for item in raw].count("consent_withdrawn") == len(FAULTS)
    head = both.city.reference.log.verify(both.store.checkpoint().encode()).checkpoint
    assert (head.size, head.root) == (len(raw), root_of(leaf_hash(item) for item in raw))
