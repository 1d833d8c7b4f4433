"""Notices in operation what the city attested and got no decision reported for: an answer lost, or a report withheld.

- Each attestation MUST be looked at once, when no report of an honest gateway can be on its way any more; one that no
  report names MUST be alarmed and shown to its resident (``test_unreported.py``).

The journal's times are as coarse as its scenarios ask, so that how old an attestation is follows from when this process
first saw it: later than it was made, never earlier. What the log has besides is an auditor's to find
(``audit reconcile``).
"""

from __future__ import annotations

from collections import deque
from typing import Final

from adapters.alarms import Alarms
from adapters.clock import Clock
from adapters.store.city_store import CityStore
from adapters.store.unreported import FindUnreported, Place
from gateway.consentlog.reconcile import REPORT_DEADLINE_MS

DEADLINE_S: Final = REPORT_DEADLINE_MS / 1000
RUN: Final = 500  # attestations per transaction, so that none is long


class Unreported:
    """Looks over the journal, again and again. ``run``: attestations per transaction."""

    def __init__(self, store: CityStore, alarms: Alarms, clock: Clock, *, run: int = RUN) -> None:
        self._store = store
        self._alarms = alarms
        self._clock = clock
        self._run = run
        self._places: deque[tuple[float, Place]] = deque()

    async def look(self) -> None:
        """Note how far the journal has come, and look at what is due. Raises BUSY, STORE_BUSY, STORE_FAILED."""
        now = self._clock.monotonic()
        self._places.append((now, self._store.journal_place()))
        while self._places and now - self._places[0][0] >= DEADLINE_S:
            done = False
            while not done:
                found, done = await self._store.submit(FindUnreported(self._places[0][1], self._run))
                for _ in range(found):
                    self._alarms.alarm("attested_not_reported")
            self._places.popleft()
