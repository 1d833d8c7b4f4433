"""One city, whole but for its sockets: the real store, attester, authority and pusher around a scripted platform."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from prometheus_client import CollectorRegistry

from adapters.alarms import Alarms, Metrics
from adapters.announce import Announcer
from adapters.attest import AnswerSettings, Attester
from adapters.authority import ConsentAuthority, Granted
from adapters.casework import Deadlines
from adapters.consult import Platform
from adapters.desk import ResidentDesk
from adapters.events import Ack, EventPusher, EventSink
from adapters.handles import HandleDesk, IssuedHandle, Presentations
from adapters.question import Question
from adapters.receipts import ConsentReceipts
from adapters.reports import UseReports
from adapters.score import RawScore, ScoreRecord
from adapters.store.city_store import CityStore
from adapters.terms import ConsentTerms
from gateway.consentlog.receipt import ENTRY_OF
from gateway.crypto.attestation import Attestation, request_binding
from gateway.crypto.consent import new_id
from gateway.crypto.event import SecurityEvent
from gateway.domain.consent import Contested
from gateway.domain.handle import HandleForm
from gateway.domain.ids import CityId, RequestId, ResidentRef
from gateway.errors import Reason, TiergateError
from gateway.ports import AttestQuestion, Redeemed
from gateway.rates import KeyRates
from tests.fakes.clock import FakeClock
from tests.fakes.log import FakeLog
from tests.fakes.network import FUZHOU, LIBRARY_LOAN, XIAMEN_LIBRARY, Network

DECOY = ResidentRef("decoy")
RESIDENT = ResidentRef("synthetic-1")
_TERMS: dict[str, Any] = {
    "operator": XIAMEN_LIBRARY,
    "scenario": LIBRARY_LOAN,
    "lifetime_s": 86_400,
    "uses": 3,
    "bound": False,
}


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


class FakeCity:
    """``async with`` starts it. ``sleeps`` collects every pause that the attester asks for instead of making it."""

    def __init__(
        self,
        network: Network,
        folder: Path,
        *,
        city: CityId = FUZHOU,
        clock: FakeClock | None = None,
        settings: AnswerSettings | None = None,
        ack_wait_s: float = 0.0,
        pushing: bool = False,
        rates: KeyRates | None = None,
    ) -> None:
        self.network = network
        self.folder = folder
        self.id = city
        self.clock = clock or FakeClock()
        self.keys = network.keys[city]
        self.reference = network.reference(city)
        self.source = ScriptedSource(self.clock)
        self.gateway = FakeGateway(network, city, self.clock)
        self.sleeps: list[float] = []
        self.registry = CollectorRegistry()
        self.alarms = Alarms(self.registry, self.clock)
        self.metrics = Metrics(self.registry)
        self.store = CityStore(folder)
        self._pushing = pushing
        self.platform = Platform(
            self.source, decoy=DECOY, deadline_s=5.0, alarms=self.alarms, metrics=self.metrics, clock=self.clock
        )
        self.attester = Attester(
            keys=self.keys,
            reference=lambda: self.reference,
            store=self.store,
            platform=self.platform,
            clock=self.clock,
            metrics=self.metrics,
            settings=settings or AnswerSettings(grid_s=0),
            rates=KeyRates(per_h=12.0, burst=1000, max_keys=1000) if rates is None else rates,
            sleep=self._sleep,
        )
        self.pusher = self.pusher_to(self.gateway)
        self.announcer = Announcer(
            keys=self.keys,
            reference=lambda: self.reference,
            store=self.store,
            pusher=self.pusher,
            clock=self.clock,
            attestation_lifetime_s=300,
            ack_wait_s=ack_wait_s,
        )
        self.authority = ConsentAuthority(
            keys=self.keys,
            reference=lambda: self.reference,
            store=self.store,
            announcer=self.announcer,
            clock=self.clock,
        )
        secret = self.keys.pairwise
        self.counter = HandleDesk(secret, lambda: self.reference, self.store, self.authority, self.clock)
        self.presentations = Presentations(self.attester, secret, self.store, self.clock, self.alarms, self.metrics)
        self.desk = ResidentDesk(
            reference=lambda: self.reference,
            store=self.store,
            platform=self.platform,
            announcer=self.announcer,
            clock=self.clock,
            alarms=self.alarms,
            deadlines=Deadlines(),
        )
        self.receipts = ConsentReceipts(
            keys=self.keys, reference=lambda: self.reference, store=self.store, clock=self.clock
        )
        self.reports = UseReports(
            reference=lambda: self.reference, store=self.store, alarms=self.alarms, metrics=self.metrics
        )

    def pusher_to(self, sink: EventSink, **more: Any) -> EventPusher:
        """Another pusher on the same outbox."""
        return EventPusher(
            self.store, sink, reference=lambda: self.reference, alarms=self.alarms, metrics=self.metrics, **more
        )

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)

    async def __aenter__(self) -> Self:
        self.store.start()
        if self._pushing:
            self.pusher.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.pusher.close()
        await self.store.close()

    @property
    def now_s(self) -> int:
        """Unix seconds of the city's clock."""
        return self.clock.now_ms() // 1000

    async def grant(self, resident: ResidentRef = RESIDENT, **changes: Any) -> Granted:
        """A consent given in the city's app: three uses at the library unless ``changes`` of the terms differ."""
        wanted = ConsentTerms(**{**_TERMS, **changes})
        return await self.authority.grant(resident, wanted, self.authority.preview(wanted).notice.digest)

    async def issue(
        self, resident: ResidentRef = RESIDENT, *, form: HandleForm = "typed", **changes: Any
    ) -> IssuedHandle:
        """A code from the city's counter: for one loan, unless ``changes`` of the terms differ."""
        wanted = ConsentTerms(**{**_TERMS, "uses": 1, "lifetime_s": 900, **changes})
        return await self.counter.issue(resident, wanted, self.authority.preview(wanted).notice.digest, form)

    def question(self, token: str, **changes: Any) -> Question:
        """The library's question about a token, under a request id of its own."""
        members: dict[str, Any] = {
            "request_id": RequestId(new_id()),
            "operator": XIAMEN_LIBRARY,
            "scenario": LIBRARY_LOAN,
            "bundle": self.reference.bundle.digest,
            "token": token,
            "proof": "",
        }
        return Question(**{**members, **changes})

    async def answer(self, token: str, **changes: Any) -> Attestation:
        """The attestation for a question, verified as the gateway does."""
        question = self.question(token, **changes)
        return self.verified(await self.attester.answer(question), question)

    def verified(self, text: str, question: Question) -> Attestation:
        """An attestation, if it answers exactly this question."""
        trusted = self.network.trusted()
        now_s = self.clock.now_ms() / 1000
        return trusted.attestations.verify(
            text,
            trusted.consents.verify(question.token, operator=question.operator, now_s=now_s),
            scenario=question.scenario,
            bundle=question.bundle,
            rungs=len(self.reference.bundle.scenarios[question.scenario].rungs),
            request=request_binding(question.operator, question.request_id),
            now_s=now_s,
        )

    # the gateway's port ``HomeCity``

    async def attest(self, question: AttestQuestion) -> str:
        """One answer."""
        return await self.attester.answer(_question(question))

    async def redeem(self, question: AttestQuestion) -> Redeemed:
        """One answer about a handle."""
        result = await self.presentations.answer(_question(question))
        return Redeemed(result.redeemed_token, result.attestation)

    async def attest_many(self, questions: Sequence[AttestQuestion]) -> list[str | TiergateError]:
        """Several answers, in order."""
        return await self.attester.answer_many([_question(item) for item in questions])


def _question(asked: AttestQuestion) -> Question:
    return Question(
        asked.request_id, asked.operator, asked.scenario, asked.bundle, asked.token, asked.proof, asked.handle
    )
