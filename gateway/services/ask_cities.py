"""Steps 7 and 8 of a check: the home cities are asked, and what they answer is taken or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.crypto.trusted import TrustedKeys
from gateway.domain.ids import BundleDigest, CityId, OperatorId, RequestId, ScenarioId
from gateway.errors import TiergateError
from gateway.ports import Clock
from gateway.services.accept_answer import accept
from gateway.services.attestation_cache import AttestationCache
from gateway.services.check import Asked, Check, CheckAnswer, city_at_fault


@dataclass(frozen=True, slots=True)
class AttestQuestion:
    """One question to a home city, with the exact token and proof that were presented, or the handle."""

    request_id: RequestId
    operator: OperatorId
    scenario: ScenarioId
    bundle: BundleDigest
    token: str
    proof: str
    handle: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Redeemed:
    """A city's answer about a handle: the token that it stands for, and the attestation. Neither is verified yet."""

    token: str
    attestation: str


class HomeCity(Protocol):
    """A home city's attestation service."""

    async def attest(self, question: AttestQuestion) -> str:
        """The city's signed attestation (JWS compact), not yet verified.

        Raises HOME_CITY_UNAVAILABLE (with a retry time) for every platform-wide fault, a missed deadline included; the
        city's caller errors (USES_EXHAUSTED, REQUEST_CONFLICT, PROOF_*, TOKEN_*, BUNDLE_MISMATCH) as they are; BUSY for
        an operator of whom as many questions wait for the city as may.
        """
        ...

    async def redeem(self, question: AttestQuestion) -> Redeemed:
        """Have the city redeem a handle for this operator, scenario and request.

        Raises what ``attest`` raises; HANDLE_INVALID for whatever cannot be redeemed; RATE_LIMITED with a retry time.
        """
        ...

    async def attest_many(self, questions: Sequence[AttestQuestion]) -> list[str | TiergateError]:
        """Several of one operator at once; answers in order, each a JWS or the error that ``attest`` would raise."""
        ...

    async def redeem_many(self, questions: Sequence[AttestQuestion]) -> list[Redeemed | TiergateError]:
        """As ``attest_many``, for handles."""
        ...


class AskCities:
    """Has checks attested and handles redeemed; those of a batch that are one city's leave in one call."""

    def __init__(
        self,
        *,
        clock: Clock,
        keys: Callable[[], TrustedKeys],
        cities: Mapping[CityId, HomeCity],
        end: Callable[[], int],
        cache: AttestationCache,
    ) -> None:
        """``end``: of the log, for now."""
        self._clock = clock
        self._keys = keys
        self._cities = cities
        self._end = end
        self._cache = cache

    def reaches(self, city: CityId) -> bool:
        """Whether there is a channel to the city."""
        return city in self._cities

    def before(self, city: CityId) -> Asked:
        """To be taken before the city is asked, and given to :meth:`accept`."""
        return Asked(self._clock.monotonic(), self._cache.epoch(city), self._end())

    def accept(self, check: Check, answer: str, asked: Asked) -> None:
        """Step 8. Raises HOME_CITY_UNAVAILABLE."""
        accept(check, answer, asked, keys=self._keys(), cache=self._cache, now_s=self._clock.now_ms() / 1000)

    async def attest(self, check: Check) -> None:
        """Have one check attested. Raises what ``HomeCity.attest`` raises."""
        asked = self.before(check.token.issuer)
        self.accept(check, await self._city(check).attest(_question(check)), asked)

    async def redeem(self, city: CityId, question: AttestQuestion) -> Redeemed:
        """Have a city that is reached redeem a handle. Raises what ``HomeCity.redeem`` raises."""
        return await self._cities[city].redeem(question)

    async def redeem_many(self, city: CityId, questions: Sequence[AttestQuestion]) -> list[Redeemed | TiergateError]:
        """Several handles of one city; each answered or refused in its place."""
        try:
            return await self._cities[city].redeem_many(questions)
        except TiergateError as error:
            return [error] * len(questions)

    async def attest_missing(
        self, checks: Mapping[int, Check], results: list[CheckAnswer | TiergateError | None]
    ) -> None:
        """Have those of a batch attested that need it; both by position. What fails becomes a result."""
        by_city: dict[CityId, list[int]] = {}
        for position, check in checks.items():
            if check.live is None and check.known is None:
                by_city.setdefault(check.token.issuer, []).append(position)
        asking = (self._attest_city(city, positions, checks, results) for city, positions in by_city.items())
        await asyncio.gather(*asking)

    async def _attest_city(
        self,
        city: CityId,
        positions: Sequence[int],
        checks: Mapping[int, Check],
        results: list[CheckAnswer | TiergateError | None],
    ) -> None:
        asked = self.before(city)
        try:
            peer = self._city(checks[positions[0]])
            answers = await peer.attest_many([_question(checks[position]) for position in positions])
        except TiergateError as error:
            for position in positions:
                results[position] = error
            return
        for position, answer in zip(positions, answers, strict=True):
            if isinstance(answer, TiergateError):
                results[position] = answer
                continue
            try:
                self.accept(checks[position], answer, asked)
            except TiergateError as error:
                results[position] = error

    def _city(self, check: Check) -> HomeCity:
        found = self._cities.get(check.token.issuer)
        if found is None:
            raise city_at_fault("no channel to the city")
        return found


def _question(check: Check) -> AttestQuestion:
    question = check.question
    return AttestQuestion(
        question.request_id, question.operator, check.scenario.id, check.bundle.digest, question.token, question.proof
    )
