"""One-time codes at the home city: issued at its counter, redeemed for the operator that the gateway names."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from adapters.alarms import Alarms, Metrics
from adapters.attest import Attester, require_batch
from adapters.authority import ConsentAuthority
from adapters.clock import DAY_S, Clock
from adapters.pairwise import PairwiseSecret
from adapters.question import Question
from adapters.reference import Reference
from adapters.store.city_store import CityStore
from adapters.store.handles import HandleRow, IssueHandle, Redeem
from adapters.terms import ConsentTerms
from gateway.domain.handle import MAX_HANDLE_S, Handle, HandleForm, new_handle
from gateway.domain.ids import ResidentRef, request_key
from gateway.errors import Reason, TiergateError

_NONCE = bytes(12)  # a key of its own for every code, used to seal one token


@dataclass(frozen=True, slots=True, repr=False)
class IssuedHandle:
    """A new code, returned this once. Times in Unix seconds. It has no ``repr``."""

    consent_id: str
    handle: Handle
    handle_expires_at: int
    expires_at: int


@dataclass(frozen=True, slots=True, repr=False)
class Attested:
    """What the gateway gets: the attestation, and the token that a handle was redeemed for (else empty)."""

    attestation: str
    redeemed_token: str


class _Seal:
    """Code and token as the store has them: a keyed hash, and a ciphertext (RFC 8439) that only the code opens."""

    def __init__(self, secret: PairwiseSecret, handle: str) -> None:
        self.key = secret.mark("handle", handle)
        self._cipher = ChaCha20Poly1305(secret.mark("handle's token", handle))

    def close(self, token: str) -> bytes:
        return self._cipher.encrypt(_NONCE, token.encode("ascii"), self.key)

    def open(self, sealed: bytes) -> str:
        return self._cipher.decrypt(_NONCE, sealed, self.key).decode("ascii")


class HandleDesk:
    """Issues codes. A code stands for a consent for one use, and ends with it or after ten minutes."""

    def __init__(
        self, secret: PairwiseSecret, reference: Callable[[], Reference], store: CityStore,
        authority: ConsentAuthority, clock: Clock,
    ) -> None:  # fmt: skip
        self._secret = secret
        self._reference = reference
        self._store = store
        self._authority = authority
        self._clock = clock

    async def issue(
        self, resident: ResidentRef, terms: ConsentTerms, notice_digest: str, form: HandleForm
    ) -> IssuedHandle:
        """Record a consent and a code for it.

        Raises what a grant raises; CONSENT_LIMITS for terms of more than one use or bound to a key: nobody who presents
        a code can prove anything.
        """
        if terms.uses != 1 or terms.bound or terms.device_key is not None:
            raise TiergateError(Reason.CONSENT_LIMITS, "a code is for one use, and bound to no key")
        expires_at = self._clock.now_ms() // 1000 + min(MAX_HANDLE_S, terms.lifetime_s)
        record, granted = self._authority.prepare(resident, terms, notice_digest)
        handle = new_handle(self._reference().city.id, form, secrets.choice)
        seal = _Seal(self._secret, handle.text)
        row = HandleRow(
            key=seal.key,
            operator=terms.operator,
            scenario=terms.scenario,
            token_hash=record.row.token_hash,
            sealed=seal.close(granted.token),
            expires_at=expires_at,
            keep_until=min(granted.expires_at, expires_at + DAY_S),
        )
        await self._store.submit(IssueHandle(record, row))
        return IssuedHandle(granted.id, handle, expires_at, granted.expires_at)


class Presentations:
    """Answers questions about tokens and about handles. A handle is redeemed in the transaction that spends its use."""

    def __init__(
        self, attester: Attester, secret: PairwiseSecret, store: CityStore, clock: Clock, alarms: Alarms,
        metrics: Metrics,
    ) -> None:  # fmt: skip
        self._attester = attester
        self._secret = secret
        self._store = store
        self._clock = clock
        self._alarms = alarms
        self._metrics = metrics

    async def answer(self, question: Question) -> Attested:
        """One answer.

        Raises what ``Attester.answer`` raises; HANDLE_INVALID for every handle that cannot be redeemed for this
        question, whatever the reason; RATE_LIMITED, with the time to wait, after too many of those by its operator.
        """
        (result,) = await self._redeem([question])
        if isinstance(result, TiergateError):
            raise result
        try:
            return Attested(await self._attester.answer(result), result.token if question.handle else "")
        except TiergateError as error:
            raise _told(question, error) from error

    async def answer_many(self, questions: Sequence[Question]) -> list[Attested | TiergateError]:
        """Several at once, in order, each answered or refused alone. Raises BATCH_TOO_LARGE."""
        require_batch(questions)
        redeemed = await self._redeem(questions)
        answers = iter(await self._attester.answer_many([item for item in redeemed if isinstance(item, Question)]))
        results: list[Attested | TiergateError] = []
        for question, asked in zip(questions, redeemed, strict=True):
            answer = asked if isinstance(asked, TiergateError) else next(answers)
            if isinstance(answer, str) and isinstance(asked, Question):
                results.append(Attested(answer, asked.token if question.handle else ""))
            elif isinstance(answer, TiergateError):
                results.append(_told(question, answer))
        return results

    async def _redeem(self, questions: Sequence[Question]) -> list[Question | TiergateError]:
        """Each question about a token as it is, each about a handle with its token, or why it has none.

        What is refused here leaves on the time grid, as every answer does.
        """
        if not any(question.handle for question in questions):
            return list(questions)
        started = self._clock.monotonic()
        redeemed = await asyncio.gather(*(self._token_of(question) for question in questions))
        await self._attester.keep_grid(started)
        return redeemed

    async def _token_of(self, question: Question) -> Question | TiergateError:
        if not question.handle:
            return question
        seal = _Seal(self._secret, question.handle)
        request = request_key(question.operator, question.request_id)
        try:
            found = await self._store.submit(
                Redeem(seal.key, question.operator, question.scenario, request, self._clock.now_ms())
            )
        except TiergateError as error:
            return error
        if isinstance(found, bytes):
            return replace(question, token=seal.open(found))
        refused = TiergateError(Reason.HANDLE_INVALID)
        if found is not None:
            self._alarms.alarm("handles_guessed")
            refused = TiergateError(Reason.RATE_LIMITED, "handles", retry_after_s=found.wait_ms / 1000)
        self._metrics.refused.labels(refused.reason.value).inc()
        return refused


def _told(question: Question, error: TiergateError) -> TiergateError:
    """What is wrong with a token that its presenter has never seen is wrong with the handle."""
    of_token = error.reason.name.startswith("TOKEN_") or error.reason is Reason.USES_EXHAUSTED
    if question.handle and of_token:
        return TiergateError(Reason.HANDLE_INVALID, error.reason.value)
    return error
