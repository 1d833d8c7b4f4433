"""The heart of an adapter: one attestation, or one typed error.

1  The caller's role is settled by the transport. 2 The bundle is one in force or in grace. 3 The token is
   verified from scratch, the scenario and the proof too. 4 A request seen before is answered as before, its proof need
   not be fresh, and ten minutes after its first answer no more; a new one's device proof must not have been taken.
5  The consent is looked up by id and token hash; unless it is active, a decoy's record takes the person's place.
6  Questions per hour and uses are counted, whatever the consent's state. 7 The platform is read, 8 the level capped to
   the scenario's rungs.
9  One transaction re-reads state and count, spends the use, signs, and records request and journal.
10 The answer leaves on the time grid, the same for every reason.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final

from adapters.alarms import Metrics
from adapters.clock import DAY_S, Clock
from adapters.consult import Platform
from adapters.custody import CitySigner
from adapters.question import Examined, Question, coarse, examine
from adapters.reference import Reference
from adapters.store.attestations import Asked, Attest, Read, require_same, require_unused, require_uses
from adapters.store.city_store import CityStore
from gateway.crypto.attestation import MAX_LIFETIME_S, Attestation, request_binding
from gateway.domain.ids import REQUEST_KEPT_S
from gateway.errors import Reason, TiergateError
from gateway.rates import KeyRates

MAX_BATCH: Final = 256
MAX_READS: Final = 4
RETRY_AFTER_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """``lifetime_s``: of an attestation, at most 300. ``grid_s``: answers leave at multiples of it; 0 = at once."""

    lifetime_s: int = MAX_LIFETIME_S
    grid_s: float = 0.005


def require_batch(questions: Sequence[object]) -> None:
    """Return unless there are more questions than are answered at once. Raises BATCH_TOO_LARGE."""
    if len(questions) > MAX_BATCH:
        raise TiergateError(Reason.BATCH_TOO_LARGE)


class Attester:
    """Answers for one city. ``reference`` gives the directory and bundle in force now."""

    def __init__(
        self,
        *,
        keys: CitySigner,
        reference: Callable[[], Reference],
        store: CityStore,
        platform: Platform,
        clock: Clock,
        metrics: Metrics,
        settings: AnswerSettings,
        rates: KeyRates,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """``sleep``: pauses for seconds, and no coarser than what it is to hide (see ``punctual``)."""
        self._keys = keys
        self._reference = reference
        self._store = store
        self._platform = platform
        self._clock = clock
        self._metrics = metrics
        self._settings = settings
        self._rates = rates
        self._sleep = sleep

    async def answer(self, question: Question) -> str:
        """The signed attestation (JWS compact) for one question.

        Raises what the caller can see from what it holds (BUNDLE_MISMATCH, TOKEN_*, PROOF_*, SCENARIO_*,
        REQUEST_CONFLICT, REQUEST_ENDED, RATE_LIMITED, USES_EXHAUSTED), or that the city cannot answer anybody now
        (PLATFORM_UNAVAILABLE, HOME_CITY_UNAVAILABLE, STORE_*, BUSY). Nothing about the person is ever an error.
        """
        started = self._clock.monotonic()
        attestation = await self._counted(question)
        await self.keep_grid(started)
        return attestation

    async def answer_many(self, questions: Sequence[Question]) -> list[str | TiergateError]:
        """Several questions at once, in order, each answered or refused alone. Raises BATCH_TOO_LARGE."""
        require_batch(questions)
        started = self._clock.monotonic()
        answers = await asyncio.gather(*(self._or_error(question) for question in questions))
        await self.keep_grid(started)
        return answers

    async def _or_error(self, question: Question) -> str | TiergateError:
        try:
            return await self._counted(question)
        except TiergateError as error:
            return error

    async def _counted(self, question: Question) -> str:
        try:
            attestation = await self._attest(question)
        except TiergateError as error:
            self._metrics.refused.labels(error.reason.value).inc()
            raise
        self._metrics.attested.inc()
        return attestation

    async def keep_grid(self, started: float) -> None:
        """Wait for the next time at which an answer may leave; ``started`` is the monotonic time of its beginning."""
        grid = self._settings.grid_s
        if grid > 0:
            elapsed = self._clock.monotonic() - started
            await self._sleep(max(1, math.ceil(elapsed / grid)) * grid - elapsed)

    async def _attest(self, question: Question) -> str:
        now_s = self._clock.now_ms() / 1000
        reference = self._reference().under(question.bundle, now_s)
        examined = examine(question, reference, now_s)
        concordance = reference.concordance(now_s)
        token = examined.token
        found = self._store.standing(Asked(examined.request, token.id, token.hash))
        require_same(found.known, examined.body, now_s)
        if found.known is None and examined.stale is not None:
            raise examined.stale
        stands = found.known is not None and found.known.stands(question.bundle, now_s)
        with nullcontext() if stands else self._rates.counting(token.hash, self._clock.monotonic()):
            require_unused(found.known, used=examined.proof is not None and self._store.proof_used(examined.proof))
            require_uses(found.known, token.uses, found.spent)  # before the read: no record is opened for nothing
            operation = self._operation(question, examined, reference, int(now_s))
            for _ in range(MAX_READS):
                if not stands:
                    level, reason = await self._platform.level(found.resident, concordance, now_s)
                    operation = replace(operation, read=Read(examined.scenario.cap(level), reason, found.corrections))
                attestation = await self._store.submit(operation)
                if attestation is not None:
                    return attestation
                stands = False  # what seemed to stand does not any more, or a correction came between read and commit
                found = self._store.standing(Asked(examined.request, token.id, token.hash))
            detail = "corrected faster than read"
            raise TiergateError(Reason.HOME_CITY_UNAVAILABLE, detail, retry_after_s=RETRY_AFTER_S)

    def _operation(self, question: Question, examined: Examined, reference: Reference, now_s: int) -> Attest:
        token, scenario = examined.token, examined.scenario
        journal_at = coarse(now_s, scenario.time_grain)
        # no finer than the journal: else the day's grain of a journey would show in what is kept of its request
        keep_until = (now_s if scenario.time_grain == "minute" else journal_at + DAY_S) + REQUEST_KEPT_S
        return Attest(
            request=examined.request,
            body=examined.body,
            consent_id=token.id,
            uses=token.uses,
            draft=Attestation(
                id="",
                issuer=reference.city.id,
                audience=reference.directory.gateway.deployment,
                subject=token.subject,
                operator=token.operator,
                token_hash=token.hash,
                scenario=scenario.id,
                bundle=reference.bundle.digest,
                rung=0,
                issued_at=now_s,
                expires_at=min(now_s + self._settings.lifetime_s, token.expires_at),
                request=None if token.uses is None else request_binding(question.operator, question.request_id),
            ),
            read=None,
            journal_at=journal_at,
            keep_until=keep_until,
            sign=self._keys.sign_attestation,
            proof=examined.proof,
        )
