"""The main use case: whether an operator gives a benefit (DESIGN: one check, step by step).

1  The caller's identity is settled by the transport; 2 so are shapes and sizes.
   A handle goes to its city first, which redeems it for a token; the steps then run on that.
3  A request seen before is answered as before, decided in the log's transaction; a known request only skips the
   freshness of its proof, never signature, caller or withdrawal. It is answered anew for ten minutes, then no more.
4  Token: signature, audience, operator, times; scenario open to the operator, named in the token, within its limits.
5  Proof of possession, for a token that is bound to a key; a device's is good once, which the log's transaction holds.
6  The consent's rate; the caller's is the transport's. Uses are the home city's.
7  Attestation: a live one for an unlimited token, else the home city is asked under a deadline.
8  The attestation is verified against exactly this question.
9  The rung's terms are looked up (pure).
10 The decision is logged; the same transaction reads the withdrawal again. 11 Only then is it answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from gateway.crypto.consent import require_covered
from gateway.crypto.trusted import TrustedKeys
from gateway.domain.bundle import Bundle
from gateway.domain.decision import Decision
from gateway.domain.evaluate import OUT_OF_FORCE_RETRY_S, evaluate, scenario_in_force, utc_day
from gateway.domain.handle import parse_handle
from gateway.domain.ids import CityId, request_body, request_key
from gateway.errors import Reason, TiergateError
from gateway.ports import Clock, DecisionDraft, DecisionStore
from gateway.services.ask_cities import AskCities, AttestQuestion, HomeCity, Redeemed
from gateway.services.attestation_cache import AttestationCache
from gateway.services.check import Asked, Check, CheckAnswer, CheckQuestion, city_at_fault, is_void, public
from gateway.services.limit_checks import LimitChecks
from gateway.services.trust import require_trusted


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
        self._cities = AskCities(clock=clock, keys=keys, cities=cities, end=store.end, cache=cache)
        self._store = store
        self._cache = cache
        self._may_cache = may_cache
        self._limits = limits
        self._day = (0, utc_day(0))

    async def check(self, question: CheckQuestion) -> CheckAnswer:
        """One check. Raises the reasons of steps 3 to 5, HOME_CITY_UNAVAILABLE, LOG_UNAVAILABLE or BUSY."""
        check = self._examine(question, self._clock.now_ms()) if not question.handle else await self._redeem(question)
        with self._limits.deciding([check]):
            return await self._decide(check)

    async def _decide(self, check: Check) -> CheckAnswer:
        if check.live is None and check.known is None:
            await self._cities.attest(check)
        if check.known is not None:
            return self._answer(check, check.known)
        result = await self._record(check)
        if is_void(result):
            await self._cities.attest(check)
            result = await self._record(check)
        if isinstance(result, TiergateError):
            raise public(result)
        return self._answer(check, result)

    async def _record(self, check: Check) -> Decision | TiergateError:
        try:
            draft = self._draft(check)
        except TiergateError as error:
            return error
        return (await self._log([check], [draft]))[0]

    async def _log(self, checks: Sequence[Check], drafts: Sequence[DecisionDraft]) -> list[Decision | TiergateError]:
        """Step 10, of each check's draft; what fails the log fails each of them."""
        results: Sequence[Decision | TiergateError]
        for check in checks:
            check.decided = True  # as far as anybody knows who hears no more
        try:
            results = await self._store.record_many(drafts)
        except TiergateError as error:
            results = [error] * len(drafts)
        for check, result in zip(checks, results, strict=True):
            check.decided = isinstance(result, Decision)
        return list(results)

    def _draft(self, check: Check) -> DecisionDraft:
        now_ms = self._clock.now_ms()
        require_trusted(self._keys(), check, now_ms / 1000)
        # once more, at the time that is logged: midnight may have passed while the city was asked (I8)
        day = self._today(now_ms)
        scenario_in_force(check.bundle, check.scenario.id, check.question.operator, check.token.issuer, day)
        return check.draft(now_ms, self._clock.monotonic())

    async def check_many(self, questions: Sequence[CheckQuestion]) -> list[CheckAnswer | TiergateError]:
        """Several checks; each succeeds or fails alone, results in order, one commit for all.

        So a log that cannot be written fails those that needed it, and no answer that others have already.
        """
        results: list[CheckAnswer | TiergateError | None] = [None] * len(questions)
        checks: dict[int, Check] = {}
        with self._limits.deciding(checks.values()):
            await self._examine_many(questions, checks, results)
            void = await self._settle(checks, results)
            if void:
                for position in void:
                    checks[position].live = results[position] = None
                await self._settle({position: checks[position] for position in void}, results)
        return [public(item) if isinstance(item, TiergateError) else item for item in results if item is not None]

    async def _examine_many(
        self,
        questions: Sequence[CheckQuestion],
        checks: dict[int, Check],
        results: list[CheckAnswer | TiergateError | None],
    ) -> None:
        now_ms = self._clock.now_ms()
        handles: dict[int, CheckQuestion] = {}
        for position, question in enumerate(questions):
            if question.handle:
                handles[position] = question
                continue
            try:
                checks[position] = self._examine(question, now_ms)
            except TiergateError as error:
                results[position] = error
        await self._redeem_many(handles, checks, results)

    async def _settle(
        self, checks: Mapping[int, Check], results: list[CheckAnswer | TiergateError | None]
    ) -> list[int]:
        """Attest, log and answer; the positions whose attestation a correction has made void meanwhile."""
        await self._cities.attest_missing(checks, results)
        drafts: list[DecisionDraft] = []
        positions: list[int] = []
        for position, check in checks.items():
            if results[position] is not None:
                continue
            try:
                if check.known is not None:
                    require_trusted(self._keys(), check, self._clock.now_ms() / 1000)
                    results[position] = self._answer(check, check.known)
                    continue
                drafts.append(self._draft(check))
                positions.append(position)
            except TiergateError as error:
                results[position] = error
        decisions = await self._log([checks[position] for position in positions], drafts) if drafts else []
        for position, decision in zip(positions, decisions, strict=True):
            results[position] = (
                decision if isinstance(decision, TiergateError) else self._answer(checks[position], decision)
            )
        return [position for position in checks if is_void(results[position])]

    def _examine(self, question: CheckQuestion, now_ms: int) -> Check:
        """Steps 3 to 7 as far as they need nobody else."""
        now_s = now_ms / 1000
        bundle, keys, day = self._in_force(now_ms)
        token = keys.consents.verify(question.token, operator=question.operator, now_s=now_s)
        scenario = bundle.scenario_for(question.scenario, question.operator, token.issuer, day)
        require_covered(token, scenario)
        check = Check(
            question=question,
            bundle=bundle,
            scenario=scenario,
            token=token,
            body=request_body(token.hash, scenario.id),
            request=request_key(question.operator, question.request_id),
            key=(token.hash, scenario.id, bundle.digest),
            keys=keys,
        )
        stale: TiergateError | None = None
        try:
            check.proof = keys.proofs.verify(question.proof, token, scenario=scenario.id, now_s=now_s)
        except TiergateError as error:
            if error.reason is not Reason.PROOF_STALE:
                raise
            stale = error
        if token.uses is None and self._may_cache(token.issuer):
            check.live = self._cache.get(check.key, self._clock.monotonic(), now_s)
        self._limits.admit(check, stale, now_ms)
        return check

    async def _redeem(self, question: CheckQuestion) -> Check:
        """The check of the token that a handle stands for, attested: what the city says is examined like any token.

        Raises HANDLE_INVALID, RATE_LIMITED, or what ``_examine`` raises of rules and scenario.
        """
        city, asking = self._redeeming(question)
        asked = self._cities.before(city)
        return self._redeemed(question, city, await self._cities.redeem(city, asking), asked)

    async def _redeem_many(
        self,
        questions: Mapping[int, CheckQuestion],
        checks: dict[int, Check],
        results: list[CheckAnswer | TiergateError | None],
    ) -> None:
        """``_redeem`` for those of a batch that present handles; all by position."""
        by_city: dict[CityId, dict[int, AttestQuestion]] = {}
        for position, question in questions.items():
            try:
                city, asking = self._redeeming(question)
            except TiergateError as error:
                results[position] = error
                continue
            by_city.setdefault(city, {})[position] = asking

        async def redeem(city: CityId, asking: Mapping[int, AttestQuestion]) -> None:
            asked = self._cities.before(city)
            answers = await self._cities.redeem_many(city, list(asking.values()))
            for position, answer in zip(asking, answers, strict=True):
                try:
                    checks[position] = self._redeemed(questions[position], city, answer, asked)
                except TiergateError as error:
                    results[position] = error

        await asyncio.gather(*(redeem(city, asking) for city, asking in by_city.items()))

    def _redeeming(self, question: CheckQuestion) -> tuple[CityId, AttestQuestion]:
        """Whom to ask about a handle, and what. Raises HANDLE_INVALID, or what there is against the scenario."""
        bundle, _, day = self._in_force(self._clock.now_ms())
        city = parse_handle(question.handle).city
        if not self._cities.reaches(city):  # which cities there are is public: nothing is told by not asking one
            raise TiergateError(Reason.HANDLE_INVALID, "no such city")
        scenario = bundle.scenario_for(question.scenario, question.operator, city, day)
        who = question.request_id, question.operator
        return city, AttestQuestion(*who, scenario.id, bundle.digest, "", "", handle=question.handle)

    def _redeemed(self, question: CheckQuestion, city: CityId, answer: Redeemed | TiergateError, asked: Asked) -> Check:
        if isinstance(answer, TiergateError):
            raise answer
        try:
            check = self._examine(replace(question, token=answer.token, handle=""), self._clock.now_ms())
        except TiergateError as error:
            if error.reason.name.startswith(("TOKEN_", "PROOF_")):
                raise city_at_fault(f"{error.reason}: {error.detail}") from error
            raise
        try:
            if check.token.issuer != city:  # it is counted: one without a count is bound, and has no proof here
                raise city_at_fault("a handle's token is another city's")
            self._cities.accept(check, answer.attestation, asked)
        except TiergateError:
            self._limits.give_back(check)
            raise
        return check

    def _in_force(self, now_ms: int) -> tuple[Bundle, TrustedKeys, date]:
        """Bundle, keys and today's date. Raises RULES_OUT_OF_FORCE: a rule may have been dropped, a key removed."""
        bundle, keys, day = self._bundle(), self._keys(), self._today(now_ms)
        if day > bundle.expires or now_ms / 1000 >= keys.directory.expires:
            raise TiergateError(Reason.RULES_OUT_OF_FORCE, retry_after_s=OUT_OF_FORCE_RETRY_S)
        return bundle, keys, day

    def _today(self, now_ms: int) -> date:
        day = now_ms // 86_400_000
        if day != self._day[0]:
            self._day = (day, utc_day(now_ms))
        return self._day[1]

    def _answer(self, check: Check, decision: Decision) -> CheckAnswer:
        """Step 9: the terms follow from scenario and rung alone."""
        check.decided = True
        self._limits.settle(check, decision)
        found = evaluate(check.bundle, check.scenario, check.token.issuer, decision.rung)
        return CheckAnswer(decision, found.terms, found.illustrative)
