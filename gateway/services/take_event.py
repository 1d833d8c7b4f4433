"""Take a home city's signed event: a withdrawal or a correction (I7).

1 Verify it as the sender's. 2 Log it and make it effective in one transaction. 3 Drop live attestations where the
event calls for it. 4 Only then acknowledge, with the log's receipt. A withdrawal needs no dropping: the decision's own
transaction reads it, so a withdrawn consent keeps the path, and the timing, of a live one until its attestation would
have ended (I3).

- An event MUST be in force and in a signed checkpoint before it is acknowledged, and MUST be acknowledged with a
  receipt that leads from its entry to that checkpoint (``test_withdrawal_crashes.py``, ``test_small_services.py``).
- An event that is repeated, after whatever failure, MUST be acknowledged with the entry that it had, and MUST NOT make
  another (``test_withdrawal_crashes.py``).
- Once an event is acknowledged no decision that is asked for later MUST be entitled (``test_withdrawal_race.py``).
- Without any event exposure MUST end with the attestation's lifetime (``test_withdrawal_lost.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from gateway.crypto.event import event_digest
from gateway.crypto.trusted import TrustedKeys
from gateway.domain.consent import Contested
from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError
from gateway.ports import Clock, ConsentEvent, DecisionStore, LogReader, ReceiptParts, consent_key
from gateway.rates import KeyRates
from gateway.services.attestation_cache import AttestationCache

CORRECTION_EVERY_S = 10.0
CORRECTION_BURST = 6
"""A city may empty its part of the cache six times at once, and then every ten seconds. What it cannot tell yet it has
already done itself, and live attestations end by themselves within 300 s."""


@dataclass(frozen=True, slots=True)
class TakenEvent:
    """An acknowledgement: the event's id and the receipt of its log entry."""

    event_id: str
    receipt: ReceiptParts

    @property
    def log_index(self) -> int:
        """Index of the entry."""
        return self.receipt.index


class TakeEvent:
    """Idempotent: an event taken before is acknowledged with the index that it had."""

    def __init__(
        self,
        *,
        clock: Clock,
        keys: Callable[[], TrustedKeys],
        store: DecisionStore,
        log: LogReader,
        cache: AttestationCache,
    ) -> None:
        self._clock = clock
        self._keys = keys
        self._store = store
        self._log = log
        self._cache = cache
        self._corrections = KeyRates(per_h=3600 / CORRECTION_EVERY_S, burst=CORRECTION_BURST, max_keys=1024)

    async def take(self, city: CityId, text: str) -> TakenEvent:
        """Take one event that ``city`` has sent. Raises EVENT_INVALID, EVENT_DEFERRED, LOG_UNAVAILABLE or BUSY.

        When it raises anything else than the first the event may be in the log all the same: it is to be sent again.
        """
        now_ms = self._clock.now_ms()
        event = self._keys().events.verify(text, sender=city, now_s=now_ms / 1000)
        if event.kind == "correction":  # else every check would be a round trip to the city
            wait_s = self._corrections.take(city.encode(), self._clock.monotonic())
            if wait_s:
                raise TiergateError(Reason.EVENT_DEFERRED, "corrections come too fast", retry_after_s=wait_s)
        index = await self._store.record_event(
            ConsentEvent(
                city=city,
                event_id=event.id,
                kind=event.kind,
                consent=consent_key(city, event.consent_id) if event.consent_id is not None else None,
                contested=event.subject if isinstance(event.subject, Contested) else None,
                digest=event_digest(text),
                received_at_ms=now_ms,
            )
        )
        if event.kind == "correction":
            self._cache.flush(city)
        return TakenEvent(event.id, await asyncio.to_thread(self._log.receipt, index))
