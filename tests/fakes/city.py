"""One city, whole but for its sockets: the real store, attester, authority and pusher around a scripted platform."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from adapters.erasure import Erasures
from adapters.events import EventPusher, EventSink
from adapters.handles import HandleDesk, IssuedHandle, Presentations
from adapters.question import Question
from adapters.receipts import ConsentReceipts
from adapters.reports import UseReports
from adapters.store.city_store import CityStore
from adapters.terms import ConsentTerms
from adapters.unreported import Unreported
from gateway.crypto.attestation import Attestation, request_binding
from gateway.crypto.consent import new_id
from gateway.domain.handle import HandleForm
from gateway.domain.ids import CityId, RequestId, ResidentRef
from gateway.errors import TiergateError
from gateway.rates import KeyRates
from gateway.services.ask_cities import AttestQuestion, Redeemed
from tests.fakes.city_peers import DECOY, FakeGateway, ScriptedSource
from tests.fakes.clock import FakeClock
from tests.fakes.network import FUZHOU, LIBRARY_LOAN, XIAMEN_LIBRARY, Network

RESIDENT = ResidentRef("synthetic-1")
RETENTION_DAYS = 1096
_TERMS: dict[str, Any] = {
    "operator": XIAMEN_LIBRARY,
    "scenario": LIBRARY_LOAN,
    "lifetime_s": 86_400,
    "uses": 3,
}


def terms_of(**changes: Any) -> ConsentTerms:
    """Three uses at the library but for the changes; with the operator's key where nobody else's is needed."""
    wanted = {**_TERMS, **changes}
    return ConsentTerms(**{"bound": wanted["uses"] != 1 and wanted.get("device_key") is None, **wanted})


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
        self.directory_ends = math.inf
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
        self.erasures = Erasures(
            store=self.store,
            announcer=self.announcer,
            clock=self.clock,
            retention_days=RETENTION_DAYS,
            until_s=lambda: self.directory_ends,
        )
        self.receipts = ConsentReceipts(
            keys=self.keys, reference=lambda: self.reference, store=self.store, clock=self.clock
        )
        self.unreported = Unreported(self.store, self.alarms, self.clock)
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
        wanted = terms_of(**changes)
        return await self.authority.grant(resident, wanted, self.authority.preview(wanted).notice.digest)

    async def issue(
        self, resident: ResidentRef = RESIDENT, *, form: HandleForm = "typed", **changes: Any
    ) -> IssuedHandle:
        """A code from the city's counter: for one loan, unless ``changes`` of the terms differ."""
        wanted = terms_of(**{"uses": 1, "lifetime_s": 900, **changes})
        return await self.counter.issue(resident, wanted, self.authority.preview(wanted).notice.digest, form)

    def question(self, token: str, **changes: Any) -> Question:
        """The library's question about a token, under a request id of its own, with the proof that it takes."""
        members: dict[str, Any] = {
            "request_id": RequestId(new_id()),
            "operator": XIAMEN_LIBRARY,
            "scenario": LIBRARY_LOAN,
            "bundle": self.reference.bundle.digest,
            "token": token,
        }
        asked = {**members, **changes}
        if "proof" not in asked:
            asked["proof"] = self.network.proof_if_bound(
                token, now_s=self.now_s, operator=asked["operator"], scenario=asked["scenario"]
            )
        return Question(**asked)

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

    async def redeem_many(self, questions: Sequence[AttestQuestion]) -> list[Redeemed | TiergateError]:
        """Several answers about handles, in order."""
        results = await self.presentations.answer_many([_question(item) for item in questions])
        return [
            item if isinstance(item, TiergateError) else Redeemed(item.redeemed_token, item.attestation)
            for item in results
        ]


def _question(asked: AttestQuestion) -> Question:
    return Question(
        asked.request_id, asked.operator, asked.scenario, asked.bundle, asked.token, asked.proof, asked.handle
    )
