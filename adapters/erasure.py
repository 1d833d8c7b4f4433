"""A resident's erasure: locked at once, deleted when retention ends or an authority orders it (PIPL 47, 56)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from adapters.announce import Announced, Announcer
from adapters.clock import DAY_S, Clock
from adapters.store.city_store import CityStore
from adapters.store.consents import Changed
from adapters.store.erasing import DeleteResident, LockResident, Order
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason, TiergateError

_TRIES = 4
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Erasure:
    """A lock in force, and how many consents were deleted; None while they are stored."""

    lock: Announced
    deleted: int | None


class Erasures:
    """Of one city. ``retention_days``: how long what was recorded is kept after the request (PIPL 56: three years).

    ``until_s``: the end of the directory in force (Unix seconds). After it nothing is deleted by age: to a clock that
    runs ahead everything would be due.
    ``hour``: UTC hour in which what is due is deleted, because nothing can be written while the file is written anew.
    """

    def __init__(
        self,
        *,
        store: CityStore,
        announcer: Announcer,
        clock: Clock,
        retention_days: int,
        until_s: Callable[[], float],
        hour: int = 19,
    ) -> None:
        self._store = store
        self._announcer = announcer
        self._clock = clock
        self._until_s = until_s
        self._hour = hour
        self._kept_ms = retention_days * DAY_S * 1000

    async def erase(self, resident: ResidentRef, order: Order | None = None) -> Erasure:
        """Lock her; with an order also delete everything, now. Repeating a lock changes nothing.

        Raises CONSENT_STATE where an order cannot be carried out yet: the gateway has not taken every event about her
        consents, or a case of hers is open. She is locked then, and the same call may be made again.
        """
        lock = await self._announcer.settled(await self._lock(resident))
        if order is None:
            return Erasure(lock, None)
        deleted = await self._store.submit(DeleteResident(resident, self._clock.now_ms(), order))
        await self._store.scrub()
        return Erasure(lock, deleted)

    async def delete_due(self) -> int:
        """Within the hour for it, delete those whose retention has ended; how many. Raises what the store raises.

        One with an open case, or whose events the gateway has not taken, waits for the next day.
        """
        now_ms, count = self._clock.now_ms(), 0
        if now_ms // HOUR_MS % 24 != self._hour or now_ms >= self._until_s() * 1000:
            return 0
        for resident in self._store.due_for_deletion(now_ms - self._kept_ms):
            try:
                await self._store.submit(DeleteResident(resident, now_ms))
                count += 1
            except TiergateError as error:
                if error.reason is not Reason.CONSENT_STATE:
                    raise
        await self._store.scrub()
        return count

    async def _lock(self, resident: ResidentRef) -> Changed:
        for _ in range(_TRIES):
            events = {
                consent: self._announcer.event("erasure", consent) for consent in self._store.consents_to_lock(resident)
            }
            try:
                return await self._store.submit(LockResident(resident, self._clock.now_ms, events))
            except TiergateError as error:
                if error.reason is not Reason.BUSY:
                    raise
        raise TiergateError(Reason.BUSY, "consents are given as fast as they are locked", retry_after_s=1)
