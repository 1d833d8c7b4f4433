"""The check service with a real store and a scripted home city around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gateway.consentlog.entry import Entry, decode
from gateway.crypto.trusted import TrustedKeys
from gateway.domain.ids import CityId, OperatorId, RequestId, ScenarioId
from gateway.domain.scenario import Terms
from gateway.errors import Reason, TiergateError
from gateway.rates import KeyRates
from gateway.services.ask_cities import AttestQuestion, Redeemed
from gateway.services.attestation_cache import AttestationCache
from gateway.services.check import CheckAnswer, CheckQuestion
from gateway.services.check_eligibility import CheckEligibility
from gateway.services.limit_checks import LimitChecks
from gateway.services.take_event import TakeEvent
from gateway.storage.sqlite_store import SqliteStore
from tests.fakes.clock import FakeClock
from tests.fakes.world import FUZHOU, LIBRARY, XIAMEN_LIBRARY, World

REMEMBERED = 16
"""Tokens and proofs that the verifiers remember, so that every case meets remembered ones."""
PER_H, BURST = 6.0, 30
"""How often one consent may be asked about."""


@dataclass
class ScriptedCity:
    """A home city that attests what it is told to; it counts its questions."""

    world: World
    clock: FakeClock
    rung: int = 1
    lifetime_s: int = 300
    asked: list[AttestQuestion] = field(default_factory=list)
    handles: dict[str, str] = field(default_factory=dict)
    fails: TiergateError | None = None
    forge: Callable[[str], str] = field(default=str)
    during: Callable[[], None] = field(default=lambda: None)

    async def attest(self, question: AttestQuestion) -> str:
        """See ``HomeCity``."""
        self.asked.append(question)
        self.during()
        if self.fails is not None:
            raise self.fails
        token = self.world.read(question.token, question.operator)
        return self.forge(
            self.world.attestation(
                token,
                self.rung,
                now_s=self.clock.now_ms() // 1000,
                request_id=question.request_id,
                scenario=question.scenario,
                lifetime_s=self.lifetime_s,
            )
        )

    async def redeem(self, question: AttestQuestion) -> Redeemed:
        """See ``HomeCity``. ``handles`` are the tokens of those that can be redeemed."""
        token = self.handles.get(question.handle)
        if token is None:
            self.asked.append(question)
            raise TiergateError(Reason.HANDLE_INVALID)
        return Redeemed(token, await self.attest(replace(question, token=token)))

    async def attest_many(self, questions: Sequence[AttestQuestion]) -> list[str | TiergateError]:
        """See ``HomeCity``."""
        results: list[str | TiergateError] = []
        for question in questions:
            try:
                results.append(await self.attest(question))
            except TiergateError as error:
                results.append(error)
        return results

    async def redeem_many(self, questions: Sequence[AttestQuestion]) -> list[Redeemed | TiergateError]:
        """See ``HomeCity``."""
        results: list[Redeemed | TiergateError] = []
        for question in questions:
            try:
                results.append(await self.redeem(question))
            except TiergateError as error:
                results.append(error)
        return results


@dataclass
class Bench:
    """The service with everything around it."""

    world: World
    clock: FakeClock
    store: SqliteStore
    city: ScriptedCity
    cache: AttestationCache
    checks: CheckEligibility
    events: TakeEvent
    keys: list[TrustedKeys]
    caching: dict[CityId, bool] = field(default_factory=dict)

    def reload(self) -> None:
        """Take the world's directory of now, as the gateway does at a reload."""
        self.keys[0] = self.world.trusted(remember=REMEMBERED)
        self.cache.follow(self.world.directory)

    async def check(
        self,
        token: str,
        number: int = 1,
        *,
        proof: str | None = None,
        operator: OperatorId = LIBRARY,
        scenario: ScenarioId = XIAMEN_LIBRARY,
    ) -> CheckAnswer:
        """One check; an operator-bound token gets a proof unless one is given."""
        return await self.checks.check(self.question(token, number, proof=proof, operator=operator, scenario=scenario))

    def question(
        self,
        token: str,
        number: int = 1,
        *,
        proof: str | None = None,
        operator: OperatorId = LIBRARY,
        scenario: ScenarioId = XIAMEN_LIBRARY,
    ) -> CheckQuestion:
        if proof is None:
            bound = self.world.read(token, operator).key_thumbprint is not None
            proof = self.world.proof(token, operator=operator, scenario=scenario) if bound else ""
        return CheckQuestion(operator, RequestId(f"request-{number:010d}"), scenario, token, proof)

    def log(self) -> list[Entry]:
        return [decode(raw) for raw in self.store.entries(0, self.store.size())]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    clock = FakeClock()
    world = World(clock.now_ms() // 1000)
    store = SqliteStore(tmp_path / "gateway.db", tmp_path / "log.mark", world.log_key, clock)
    await store.start("fujian")
    city = ScriptedCity(world, clock)
    cache = AttestationCache(1000)
    cache.follow(world.directory)
    keys = [world.trusted(remember=REMEMBERED)]
    caching: dict[CityId, bool] = {}
    checks = CheckEligibility(
        clock=clock,
        bundle=lambda: world.bundle,
        keys=lambda: keys[0],
        cities={FUZHOU: city},
        store=store,
        cache=cache,
        may_cache=lambda name: caching.get(name, True),
        limits=LimitChecks(clock=clock, store=store, rates=KeyRates(per_h=PER_H, burst=BURST, max_keys=1000)),
    )
    events = TakeEvent(clock=clock, keys=lambda: keys[0], store=store, log=store, cache=cache)
    yield Bench(world, clock, store, city, cache, checks, events, keys, caching)
    await store.close()


async def refused(bench: Bench, reason: Reason, token: str, **how: object) -> TiergateError:
    """Ask and expect a refusal that writes nothing."""
    size = bench.store.size()
    with pytest.raises(TiergateError) as caught:
        await bench.check(token, **how)  # type: ignore[arg-type]  # passed through by name
    assert caught.value.reason is reason
    assert bench.store.size() == size
    return caught.value


def terms_of(bench: Bench, rung: int) -> Terms:
    return bench.world.bundle.scenarios[XIAMEN_LIBRARY].terms_of(rung)
