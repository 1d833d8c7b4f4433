"""The pusher: sends the outbox to the gateway, in order, until every event is acknowledged or refused for good."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

import structlog

from adapters.alarms import Alarms, Metrics
from adapters.store.city_store import CityStore
from adapters.store.outbox import MarkSent, PendingEvent, Settled, SettleEvents
from gateway.errors import CATALOGUE, Reason, TiergateError

RUN = 64
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 30.0

_log = structlog.get_logger(__name__)


class Ack(NamedTuple):
    """The gateway's word on one event: a log index, or a reason code of a refusal."""

    event_id: str
    log_index: int | None
    refused: str | None


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
        alarms: Alarms,
        metrics: Metrics,
        signed: Callable[[str], str] = str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._sink = sink
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
        self._task = asyncio.create_task(self._run(), name="event-pusher")

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
        settled, blocked = _settled(events, acks)
        if settled:
            await self._store.submit(SettleEvents(settled))
        for item, ack in zip(events, acks, strict=True):
            if any(item.seq == done.seq for done in settled):
                self._settle(item, ack)
        self._metrics.events_pending.set(self._store.count_pending())
        if blocked is not None:
            raise TiergateError(Reason.PEER_UNREACHABLE, f"the gateway put events off: {blocked}")
        return len(events) == RUN

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


def _settled(events: Sequence[PendingEvent], acks: Sequence[Ack]) -> tuple[list[Settled], str | None]:
    """What is settled for good, and the reason code of the first event that the gateway wants again later."""
    settled: list[Settled] = []
    later: str | None = None
    for item, ack in zip(events, acks, strict=True):
        if ack.refused is not None and _temporary(ack.refused):
            later = later or ack.refused
        else:
            settled.append(Settled(item.seq, ack.log_index, ack.refused))
    return settled, later


def _temporary(code: str) -> bool:
    """Whether a refusal is of the moment and not of the event. An unknown code is not of the moment."""
    try:
        return CATALOGUE[Reason(code)].status in {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL"}
    except ValueError:
        return False
