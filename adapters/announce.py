"""Tells the gateway what changed here: signs the event, and after the commit waits a moment for its acknowledgement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from adapters.clock import Clock
from adapters.custody import CitySigner
from adapters.events import EventPusher
from adapters.reference import Reference
from adapters.store.city_store import CityStore
from adapters.store.consents import Changed
from adapters.store.outbox import NewEvent
from gateway.crypto.consent import new_id
from gateway.crypto.event import SecurityEvent
from gateway.domain.consent import Contested, EventKind


@dataclass(frozen=True, slots=True)
class Announced:
    """A change in force. ``log_index`` is None until the log's receipt of it is held.

    ``checkpoint_size`` is of the signed checkpoint in that receipt. While there is none, answers given before may stand
    until ``exposed_until_ms`` (Unix milliseconds): one attestation's lifetime.
    """

    at_ms: int
    log_index: int | None
    exposed_until_ms: int
    checkpoint_size: int | None = None


class Announcer:
    """Makes events of this city. ``ack_wait_s``: how long a change waits for the gateway's acknowledgement."""

    def __init__(
        self,
        *,
        keys: CitySigner,
        reference: Callable[[], Reference],
        store: CityStore,
        pusher: EventPusher,
        clock: Clock,
        attestation_lifetime_s: int,
        ack_wait_s: float,
    ) -> None:
        self._keys = keys
        self._reference = reference
        self._store = store
        self._pusher = pusher
        self._clock = clock
        self._lifetime_ms = attestation_lifetime_s * 1000
        self._ack_wait_s = ack_wait_s

    def event(self, kind: EventKind, subject: str | Contested | None = None) -> NewEvent:
        """A signed event, to be put into the outbox in the transaction of the change that it tells of."""
        reference = self._reference()
        event = SecurityEvent(
            new_id(),
            reference.city.id,
            reference.directory.gateway.deployment,
            kind,
            subject,
            self._clock.now_ms() // 1000,
        )
        return NewEvent(event.id, kind, event.consent_id, self._keys.sign_event(event))

    async def settled(self, change: Changed) -> Announced:
        """A committed change, with the gateway's acknowledgement if it comes in time."""
        if self._store.is_pending(change.event_id):
            await self._pusher.wait_settled(change.event_id, self._ack_wait_s)
        place = self._store.event_place(change.event_id)
        return Announced(change.at_ms, place.log_index, change.at_ms + self._lifetime_ms, place.checkpoint_size)

    def wake(self) -> None:
        """Have what was put into the outbox sent soon; nobody waits for it."""
        self._pusher.wake()
