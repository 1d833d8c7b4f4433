"""The pusher: sends the outbox to the gateway, in order, until every event is acknowledged or refused for good.

- An event MUST stay in the outbox until the log's receipt of it has verified here, under this city's own trust in the
  log, and the receipt MUST be kept with it; an acknowledgement without one is an alarm, and so is one whose entry does
  not name the consent's registration (``test_event_receipts.py``).
- An event MUST survive the end of either side at any moment, and MUST reach the log once
  (``test_withdrawal_crashes.py``, over processes ``test_withdrawals.py``).
- Events of one consent, and steps of one case, MUST reach the log in the order in which they were recorded
  (``test_outbox.py``, ``test_cases.py``).
- An event that the gateway puts off MUST be sent again, and MUST NOT hold up those of other consents
  (``test_events.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

import structlog

from adapters.alarms import Alarms, Metrics
from adapters.reference import Reference
from adapters.store.city_store import CityStore
from adapters.store.outbox import MarkSent, PendingEvent, Settled, SettleEvents
from gateway.consentlog.receipt import prove_event
from gateway.errors import CATALOGUE, Reason, TiergateError
from gateway.process import kept_running

RUN = 64
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 30.0
_PUT_OFF = Reason.EVENT_DEFERRED.value

_log = structlog.get_logger(__name__)


class Ack(NamedTuple):
    """The gateway's word on one event: a log index with its receipt, or a reason code of a refusal.

    ``entry``: exact bytes of the log entry. ``proof``: C2SP tlog-proof text. Neither has been verified.
    """

    event_id: str
    log_index: int | None
    refused: str | None
    entry: bytes = b""
    proof: bytes = b""


class EventSink(Protocol):
    """The gateway, as far as events go."""

    async def push(self, events: Sequence[str]) -> Sequence[Ack]:
        """Hand over signed events; one word on each, in order. Raises TiergateError when it cannot be reached."""
        ...


class EventPusher:
    """One task that empties the outbox. ``sleep`` pauses between attempts (seconds), doubling up to 30.

    ``signed`` gives an event as the city's key of today signs it; it may raise SIGNING_KEY_UNLISTED, to try later.
    """

    def __init__(
        self,
        store: CityStore,
        sink: EventSink,
        *,
        reference: Callable[[], Reference],
        alarms: Alarms,
        metrics: Metrics,
        signed: Callable[[str], str] = str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._sink = sink
        self._reference = reference
        self._alarms = alarms
        self._metrics = metrics
        self._signed = signed
        self._sleep = sleep
        self._wake = asyncio.Event()
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start sending, with whatever a former run of this process left behind."""
        self._wake.set()
        self._task = asyncio.create_task(kept_running("events", self._run), name="event-pusher")

    async def close(self) -> None:
        """Stop sending; what is not settled stays in the outbox."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def wake(self) -> None:
        """Look into the outbox soon."""
        self._wake.set()

    async def wait_settled(self, event_id: str, timeout_s: float) -> None:
        """Wake the pusher and wait until an event is settled, or for ``timeout_s`` seconds."""
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(event_id, set()).add(settled)
        self._wake.set()
        try:
            if not self._store.is_pending(event_id):  # settled before anybody waited
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await settled
        finally:
            waiting = self._waiting.get(event_id, set())
            waiting.discard(settled)
            if not waiting:
                self._waiting.pop(event_id, None)

    async def push_once(self) -> bool:
        """Send one run of events; whether there may be more to send at once. Raises TiergateError to try later."""
        events = self._store.pending_events(RUN)
        self._metrics.events_pending.set(self._store.count_pending())
        if not events:
            return False
        if held := [item.seq for item in events if item.held]:
            await self._store.submit(MarkSent(held))
        acks = await self._sink.push([self._signed(item.event) for item in events])
        # a refusal is by position alone: what could not be read has no id
        matching = [ack.refused is not None or ack.event_id == item.id for item, ack in zip(events, acks, strict=False)]
        if len(acks) != len(events) or not all(matching):
            raise TiergateError(Reason.PEER_UNREACHABLE, "acknowledgements do not match the events")
        # off the loop: a run is dozens of signatures and proofs
        settled, blocked, unproved = await asyncio.to_thread(_settled, events, acks, self._reference())
        for detail in unproved:
            self._alarms.alarm("event_receipt_invalid")
            _log.error("event_receipt_invalid", detail=detail)
        unlinked, entitled = await self._store.submit(SettleEvents(settled)) if settled else ([], 0)
        for _ in range(entitled):
            self._alarms.alarm("report_entitled_though_silent")
        done = {item.seq for item in settled}.difference(unlinked)
        # at its first try nothing came of it, and corrections may join it again; later on nobody knows
        tried = [item.seq for item, ack in zip(events, acks, strict=True) if item.held and ack.refused == _PUT_OFF]
        if tried:
            await self._store.submit(MarkSent(tried, sent=False))
        for _ in unlinked:
            self._alarms.alarm("event_unlinked")
            blocked = blocked or "an entry does not name the consent's registration"
        for item, ack in zip(events, acks, strict=True):
            if item.seq in done:
                self._settle(item, ack)
        left = self._store.count_pending()
        self._metrics.events_pending.set(left)
        if blocked is not None and not done:  # else the next run may settle more
            raise TiergateError(Reason.PEER_UNREACHABLE, f"events are to be sent again: {blocked}")
        return left > 0

    def _settle(self, item: PendingEvent, ack: Ack) -> None:
        if ack.refused is not None:
            self._alarms.alarm("event_refused")
            _log.error("event_refused", code=ack.refused)
        for future in self._waiting.pop(item.id, set()):
            if not future.done():
                future.set_result(None)

    async def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while await self.push_once():
                    pass
            except TiergateError as error:
                _log.warning("events_not_sent", reason=error.reason.value, detail=error.detail, retry_after_s=pause)
                await self._rest(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            except Exception:  # noqa: BLE001  # a fault here must not end the task that withdrawals need
                _log.exception("events_failed")
                await self._rest(LONGEST_PAUSE_S)
            else:
                pause = FIRST_PAUSE_S

    async def _rest(self, pause_s: float) -> None:
        """Pause after a failure, but a new withdrawal ends it: its way out may be open again."""
        await self._sleep(FIRST_PAUSE_S)
        sleeping = asyncio.ensure_future(self._sleep(pause_s - FIRST_PAUSE_S))
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({sleeping, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            woken.cancel()
        self._wake.set()


def _settled(
    events: Sequence[PendingEvent], acks: Sequence[Ack], reference: Reference
) -> tuple[list[Settled], str | None, list[str]]:
    """What is settled for good, why the first of the others is to be sent again, and what is wrong with receipts."""
    settled: list[Settled] = []
    later: str | None = None
    unproved: list[str] = []
    for item, ack in zip(events, acks, strict=True):
        if ack.refused is not None and _temporary(ack.refused):
            later = later or ack.refused
        elif ack.refused is not None:
            settled.append(Settled(item.seq, None, ack.refused))
        else:
            try:
                settled.append(_proved(item, ack, reference))
            except TiergateError as error:
                unproved.append(f"{error.reason}: {error.detail}")
                later = later or "a receipt does not verify"
    return settled, later, unproved


def _proved(item: PendingEvent, ack: Ack, reference: Reference) -> Settled:
    """An acknowledged event, if the receipt is its own. Raises what ``prove_event`` raises."""
    found = prove_event(item.event, reference.city.id, ack.entry, ack.proof, reference.log)
    if found.log_index != ack.log_index:
        raise TiergateError(Reason.PROOF_OF_LOG_INVALID, "the receipt is of another index")
    return Settled(item.seq, found.log_index, None, ack.entry, ack.proof, found.size)


def _temporary(code: str) -> bool:
    """Whether a refusal is of the moment and not of the event. An unknown code is not of the moment."""
    try:
        return CATALOGUE[Reason(code)].status in {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL"}
    except ValueError:
        return False
