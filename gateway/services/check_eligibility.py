"""The main use case: whether an operator gives a benefit (DESIGN: one check, step by step).

1  The caller's identity is settled by the transport; 2 so are shapes and sizes.
3  A request seen before is answered as before, decided in the log's transaction; a known request only skips the
   freshness of its proof, never signature, caller or withdrawal.
4  Token: signature, audience, operator, times; scenario open to the operator, named in the token, within its limits.
5  Proof of possession, for a token that is bound to a key.
6  The consent's rate; the caller's is the transport's. Uses are the home city's.
7  Attestation: a live one for an unlimited token, else the home city is asked under a deadline.
8  The attestation is verified against exactly this question.
9  The rung's terms are looked up (pure).
10 The decision is logged; the same transaction reads the withdrawal again. 11 Only then is it answered.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime

from gateway.crypto.consent import require_covered
from gateway.crypto.trusted import TrustedKeys
from gateway.domain.bundle import Bundle
from gateway.domain.decision import Decision
from gateway.domain.ids import CityId
from gateway.domain.scenario import TimeGrain
from gateway.errors import Reason, TiergateError
from gateway.ports import (
    AttestationRecord,
    AttestQuestion,
    Clock,
    DecisionDraft,
    DecisionStore,
    HomeCity,
    consent_key,
    request_key,
)
from gateway.services.attestation_cache import AttestationCache, LiveAttestation
from gateway.services.check import RETRY_AFTER_S, Asked, Check, CheckAnswer, CheckQuestion, is_void, public
from gateway.services.limit_checks import LimitChecks
from gateway.services.trust import accepted_attestation, require_trusted

OUT_OF_FORCE_RETRY_S = 60.0
GRAINS_MS: Mapping[TimeGrain, int] = {"minute": 60_000, "day": 86_400_000}


class CheckEligibility:
    """Answers checks, alone or in batches, under one bundle and one directory version at a time."""

    def __init__(
        self,
        *,
        clock: Clock,
        bundle: Callable[[], Bundle],
        keys: Callable[[], TrustedKeys],
        cities: Mapping[CityId, HomeCity],
        store: DecisionStore,
        cache: AttestationCache,
        may_cache: Callable[[CityId], bool],
        limits: LimitChecks,
    ) -> None:
        """``may_cache``: False for a city whose use reports lag, which then gets no cached answers."""
        self._clock = clock
        self._bundle = bundle
        self._keys = keys
        self._cities = cities
        self._store = store
        self._cache = cache
        self._may_cache = may_cache
        self._limits = limits
        self._day = (0, datetime.fromtimestamp(0, UTC).date())

    async def check(self, question: CheckQuestion) -> CheckAnswer:
        """One check. Raises the reasons of steps 3 to 5, HOME_CITY_UNAVAILABLE, LOG_UNAVAILABLE or BUSY."""
        check = self._examine(question, self._clock.now_ms())
        try:
            return await self._decide(check)
        except TiergateError:
            self._limits.give_back(check)
            raise

    async def _decide(self, check: Check) -> CheckAnswer:
        if check.live is None and check.known is None:
            await self._attest(check)
        if check.known is not None:
            return self._answer(check, check.known)
        result = await self._record(check)
        if is_void(result):
            await self._attest(check)
            result = await self._record(check)
        if isinstance(result, TiergateError):
            raise public(result)
        return self._answer(check, result)

    async def _record(self, check: Check) -> Decision | TiergateError:
        try:
            draft = self._draft(check, self._clock.now_ms())
        except TiergateError as error:
            return error
        return (await self._store.record_many([draft]))[0]

    async def _attest(self, check: Check) -> None:
        asked = self._before_asking(check.token.issuer)
        self._accept(check, await self._city(check).attest(self._ask(check)), asked)

    async def check_many(self, questions: Sequence[CheckQuestion]) -> list[CheckAnswer | TiergateError]:
        """Several checks; each succeeds or fails alone, results in order, one commit for all."""
        now_ms = self._clock.now_ms()
        results: list[CheckAnswer | TiergateError | None] = [None] * len(questions)
        checks: dict[int, Check] = {}
        for position, question in enumerate(questions):
            try:
                checks[position] = self._examine(question, now_ms)
            except TiergateError as error:
                results[position] = error
        void = await self._settle(checks, results)
        if void:
            for position in void:
                checks[position].live = results[position] = None
            await self._settle({position: checks[position] for position in void}, results)
        for position, check in checks.items():
            if isinstance(results[position], TiergateError):
                self._limits.give_back(check)
        return [public(item) if isinstance(item, TiergateError) else item for item in results if item is not None]

    async def _settle(
        self, checks: Mapping[int, Check], results: list[CheckAnswer | TiergateError | None]
    ) -> list[int]:
        """Attest, log and answer; the positions whose attestation a correction has made void meanwhile."""
        await self._attest_missing(checks, results)
        now_ms = self._clock.now_ms()
        drafts: list[DecisionDraft] = []
        positions: list[int] = []
        for position, check in checks.items():
            if results[position] is not None:
                continue
            try:
                if check.known is not None:
                    require_trusted(self._keys(), check, now_ms / 1000)
                    results[position] = self._answer(check, check.known)
                    continue
                drafts.append(self._draft(check, now_ms))
                positions.append(position)
            except TiergateError as error:
                results[position] = error
        decisions = await self._store.record_many(drafts) if drafts else []
        for position, decision in zip(positions, decisions, strict=True):
            results[position] = (
                decision if isinstance(decision, TiergateError) else self._answer(checks[position], decision)
            )
        return [position for position in checks if is_void(results[position])]

    async def _attest_missing(
        self, checks: Mapping[int, Check], results: list[CheckAnswer | TiergateError | None]
    ) -> None:
        by_city: dict[CityId, list[int]] = {}
        for position, check in checks.items():
            if check.live is None and check.known is None:
                by_city.setdefault(check.token.issuer, []).append(position)
        await asyncio.gather(
            *(self._attest_city(city, positions, checks, results) for city, positions in by_city.items())
        )

    async def _attest_city(
        self,
        city: CityId,
        positions: Sequence[int],
        checks: Mapping[int, Check],
        results: list[CheckAnswer | TiergateError | None],
    ) -> None:
        asked = self._before_asking(city)
        try:
            peer = self._city(checks[positions[0]])
            answers = await peer.attest_many([self._ask(checks[position]) for position in positions])
        except TiergateError as error:
            for position in positions:
                results[position] = error
            return
        for position, answer in zip(positions, answers, strict=True):
            if isinstance(answer, TiergateError):
                results[position] = answer
                continue
            try:
                self._accept(checks[position], answer, asked)
            except TiergateError as error:
                results[position] = error

    def _examine(self, question: CheckQuestion, now_ms: int) -> Check:
        """Steps 3 to 7 as far as they need nobody else."""
        now_s = now_ms / 1000
        bundle, keys = self._bundle(), self._keys()
        day = self._today(now_ms)
        if day > bundle.expires or now_s >= keys.directory.expires:
            # what has run out must not go on deciding: a rule may have been dropped, a key removed
            raise TiergateError(Reason.RULES_OUT_OF_FORCE, retry_after_s=OUT_OF_FORCE_RETRY_S)
        token = keys.consents.verify(question.token, operator=question.operator, now_s=now_s)
        scenario = bundle.scenario_for(question.scenario, question.operator, day)
        require_covered(token, scenario)
        check = Check(
            question=question,
            bundle=bundle,
            scenario=scenario,
            token=token,
            body=hashlib.sha256(token.hash + scenario.id.encode()).digest(),
            request=request_key(question.operator, question.request_id),
            key=(token.hash, scenario.id, bundle.digest),
            keys=keys,
        )
        stale: TiergateError | None = None
        try:
            keys.proofs.verify(question.proof, token, scenario=scenario.id, now_s=now_s)
        except TiergateError as error:
            if error.reason is not Reason.PROOF_STALE:
                raise
            stale = error
        if token.uses is None and self._may_cache(token.issuer):
            check.live = self._cache.get(check.key, self._clock.monotonic(), now_s)
        self._limits.admit(check, stale, now_ms)
        return check

    def _today(self, now_ms: int) -> date:
        day = now_ms // 86_400_000
        if day != self._day[0]:
            self._day = (day, datetime.fromtimestamp(day * 86_400, UTC).date())
        return self._day[1]

    def _city(self, check: Check) -> HomeCity:
        found = self._cities.get(check.token.issuer)
        if found is None:
            raise TiergateError(Reason.HOME_CITY_UNAVAILABLE, "no channel to the city", retry_after_s=RETRY_AFTER_S)
        return found

    def _ask(self, check: Check) -> AttestQuestion:
        question = check.question
        return AttestQuestion(
            question.request_id, question.operator, check.scenario.id, check.bundle.digest, question.token,
            question.proof,
        )  # fmt: skip

    def _before_asking(self, city: CityId) -> Asked:
        return Asked(self._clock.monotonic(), self._cache.epoch(city), self._store.size())

    def _accept(self, check: Check, answer: str, asked: Asked) -> None:
        """Step 8. The lifetime counts from before the question was sent: longer it can never be."""
        token = check.token
        attestation = accepted_attestation(self._keys(), check, answer, self._clock.now_ms() / 1000)
        check.live = LiveAttestation(
            attestation,
            AttestationRecord(attestation.id, answer),
            asked.monotonic + (attestation.expires_at - attestation.issued_at),
            asked.size,
        )
        if token.uses is None:
            self._cache.put(check.key, check.live, asked.epoch)

    def _draft(self, check: Check, now_ms: int) -> DecisionDraft:
        live, token = check.live, check.token
        if live is None:
            raise TiergateError(Reason.INTERNAL, "no attestation to decide on")
        require_trusted(self._keys(), check, now_ms / 1000)
        left_ms = int((live.deadline - self._clock.monotonic()) * 1000)
        valid_until_ms = min(live.attestation.expires_at * 1000, now_ms + left_ms)
        if valid_until_ms <= now_ms:  # it ended while the answer was on its way
            raise TiergateError(Reason.HOME_CITY_UNAVAILABLE, "attestation ended", retry_after_s=RETRY_AFTER_S)
        return DecisionDraft(
            request=check.request,
            body=check.body,
            operator=check.question.operator,
            city=token.issuer,
            scenario=check.scenario.id,
            bundle=check.bundle.digest,
            rung=live.attestation.rung,
            decided_at_ms=now_ms,
            valid_until_ms=valid_until_ms,
            consent=consent_key(token.issuer, token.id),
            token_hash=token.hash,
            bound="none" if token.key_thumbprint is None else "operator",
            consent_expires_s=token.expires_at,
            attestation=live.record,
            asked_at_size=live.asked_at_size,
            grain_ms=GRAINS_MS[check.scenario.time_grain],
        )

    def _answer(self, check: Check, decision: Decision) -> CheckAnswer:
        """Step 9: the terms follow from scenario and rung alone."""
        self._limits.settle(check, decision)
        scenario = check.scenario
        concordance = check.bundle.concordances.get(check.token.issuer)
        illustrative = scenario.illustrative or (concordance is not None and concordance.illustrative)
        return CheckAnswer(decision, scenario.terms_of(decision.rung), illustrative)
