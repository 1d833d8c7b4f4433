"""What a city in memory talks to: a scripted platform, and a gateway that verifies and logs its events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.events import Ack
from adapters.score import RawScore, ScoreRecord
from gateway.consentlog.receipt import ENTRY_OF
from gateway.crypto.event import SecurityEvent
from gateway.domain.consent import Contested
from gateway.domain.ids import CityId, ResidentRef
from gateway.errors import Reason, TiergateError
from tests.fakes.clock import FakeClock
from tests.fakes.log import FakeLog
from tests.fakes.network import Network

DECOY = ResidentRef("decoy")


class ScriptedSource:
    """A score platform that knows what it is told, and remembers whom it was asked about.

    ``fault``, where set, is raised for everybody. ``gate``, where set, keeps readers waiting until it is set.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._known: dict[str, tuple[int, datetime] | TiergateError] = {}
        self.reads: list[str] = []
        self.fault: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.closed = False
        self._arrival = asyncio.Event()
        self.know(DECOY, 900)

    def know(self, resident: str, points: int, *, age: timedelta = timedelta(days=1)) -> None:
        """From now on the resident has these points, computed ``age`` before now."""
        self._known[resident] = (points, datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC) - age)

    def spoil(self, resident: str) -> None:
        """From now on the resident's record cannot be used."""
        self._known[resident] = TiergateError(Reason.SOURCE_INVALID, "scripted")

    def forget(self, resident: str) -> None:
        """From now on nobody knows the resident."""
        self._known.pop(resident, None)

    async def asked(self, times: int) -> None:
        """Return when the platform has been asked this many times."""
        while len(self.reads) < times:
            self._arrival.clear()
            await self._arrival.wait()

    async def read(self, resident: ResidentRef) -> ScoreRecord | None:
        self.reads.append(resident)
        self._arrival.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        found = self._known.get(resident)
        if isinstance(found, TiergateError):
            raise found
        return None if found is None else ScoreRecord(RawScore(found[0]), found[1])

    async def ping(self) -> None:
        if self.fault is not None:
            raise self.fault

    async def close(self) -> None:
        self.closed = True


class FakeGateway:
    """Where events go. It verifies and logs them as the gateway does; ``down`` and ``refusing`` are its bad moods.

    ``refusing`` gives a reason code by event id; the key ``*`` is for every event. ``forge`` spoils acknowledgements.
    """

    def __init__(self, network: Network, city: CityId, clock: FakeClock) -> None:
        self._verifier = network.trusted().events
        self._city = city
        self._clock = clock
        self.down = False
        self.refusing: dict[str, str] = {}
        self.events: list[SecurityEvent] = []
        self.log = FakeLog(network.log)
        self.indices: dict[str, int] = {}
        self.registered: dict[str | None, int] = {}
        self.forge: Callable[[Ack], Ack] = lambda ack: ack
        self.pushes = 0

    async def push(self, events: Sequence[str]) -> Sequence[Ack]:
        self.pushes += 1
        if self.down:
            raise TiergateError(Reason.PEER_UNREACHABLE, "scripted")
        return [self._take(event) for event in events]

    def _take(self, text: str) -> Ack:
        event = self._verifier.verify(text, sender=self._city, now_s=self._clock.now_ms() / 1000)
        refused = self.refusing.get(event.id) or self.refusing.get("*")
        if refused is not None:
            return Ack(event.id, None, refused)
        if event.id not in self.indices:
            self.events.append(event)
            kind = ENTRY_OF[event.kind]
            names: dict[str, Any] = {}
            if isinstance(event.subject, Contested):
                names = event.subject._asdict()
            elif event.subject in self.registered:
                names = {"consent": self.registered[event.subject]}
            self.indices[event.id] = self.log.take_event(text, kind, self._city, **names)
        index = self.indices[event.id]
        return self.forge(Ack(event.id, index, None, *self.log.receipt(index)))
