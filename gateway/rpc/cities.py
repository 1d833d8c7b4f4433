"""Home cities as peers: implements ``HomeCity`` and ``ReportReceiver`` over the peer API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import grpc

from gateway.api.peer.v1 import peer_pb2 as pb
from gateway.api.peer.v1.peer_pb2_grpc import AttestationServiceStub
from gateway.domain.ids import OperatorId
from gateway.errors import Reason, TiergateError
from gateway.rpc.gather import Gather
from gateway.services.ask_cities import AttestQuestion, Redeemed
from gateway.services.report_uses import ProvedUse
from gateway.transport.breaker import Breaker
from gateway.transport.errors import believed_wait, error_from_rpc

RETRY_AFTER_S = 5.0
_REPORT_USES = "/gateway.api.peer.v1.UseReportService/ReportUses"
_CALLERS_OWN = frozenset(
    reason
    for reason in Reason
    if reason.name.startswith(("TOKEN_", "PROOF_", "REQUEST_"))
    or reason in {Reason.USES_EXHAUSTED, Reason.HANDLE_INVALID, Reason.RATE_LIMITED}
)
"""What a city may tell the operator through us: things the operator can see from what it holds. All else is the
city's or our own trouble, and to the operator the city cannot answer."""
BREAK_AFTER = 16
BREAK_S = 1.0
_SILENT = frozenset({Reason.DEADLINE_EXCEEDED, Reason.PEER_UNREACHABLE, Reason.PEER_WRONG})
"""What counts as no answer at all; everything else shows that the city is there."""
_FORM = frozenset({Reason.MALFORMED_REQUEST, Reason.MESSAGE_TOO_LARGE, Reason.BATCH_TOO_LARGE})
"""What refuses a call of several questions for its form, which a single question may have spoilt."""
GROUP = 64
"""Questions of a call at most: some 100 KB."""
AnswerT = TypeVar("AnswerT")
_REASONS = {reason.value: reason for reason in Reason}


def _told(error: TiergateError) -> TiergateError:
    """What our caller is told of a city's refusal or silence."""
    if error.reason in _CALLERS_OWN and error.reason is not Reason.PROOF_OF_LOG_INVALID:
        return error
    return TiergateError(
        Reason.HOME_CITY_UNAVAILABLE,
        f"{error.reason}: {error.detail}",
        retry_after_s=error.retry_after_s or RETRY_AFTER_S,
    )


class CityPeerClient:
    """One city; ``deadline_s`` bounds every call.

    There are no automatic retries: the caller's request id makes its own retry safe, and a second try here would only
    hide a slow city. A city that hangs must not take the others' checks with it: at most ``in_flight`` callers wait
    for it at once, and after ``BREAK_AFTER`` silent calls in a row the rest are answered at once for ``BREAK_S``.
    Nor may an operator take the others' checks: it gets no more places than it leaves free, so that one alone has at
    most half of them, two a third each, and there is always one for who asks little. A batch takes one.
    Questions that come at the same time leave in one call; each is still answered or refused alone.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        deadline_s: float,
        in_flight: int = 256,
        monotonic: Callable[[], float] = time.monotonic,
        away_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """``away_s``: for how many seconds more the city has announced not to answer; 0 while it should."""
        self._away_s = away_s
        self._attestations = AttestationServiceStub(channel)
        # the message is serialised in the thread that made it
        self._report_uses: grpc.aio.UnaryUnaryMultiCallable[bytes, pb.ReportUsesResponse] = channel.unary_unary(
            _REPORT_USES, response_deserializer=pb.ReportUsesResponse.FromString
        )
        self._deadline_s = deadline_s
        self._free = in_flight
        self._held: dict[OperatorId, int] = {}
        self._gather: Gather[AttestQuestion, pb.AttestTierResponse] = Gather(self._ask_group, max_group=GROUP)
        self._breaker = Breaker(BREAK_AFTER, BREAK_S, monotonic)

    async def attest(self, question: AttestQuestion) -> str:
        """See ``HomeCity``."""
        with self._room(question.operator):
            return (await self._gather.ask(question)).attestation

    async def redeem(self, question: AttestQuestion) -> Redeemed:
        """See ``HomeCity``."""
        with self._room(question.operator):
            found = _redeemed(await self._gather.ask(question))
        if isinstance(found, TiergateError):
            raise found
        return found

    async def attest_many(self, questions: Sequence[AttestQuestion]) -> list[str | TiergateError]:
        """See ``HomeCity``."""
        with self._room(questions[0].operator):
            try:
                answers = await self._ask_many(questions)
            except TiergateError as error:
                raise _told(error) from error
        return [item if isinstance(item, TiergateError) else item.attestation for item in answers]

    async def redeem_many(self, questions: Sequence[AttestQuestion]) -> list[Redeemed | TiergateError]:
        """See ``HomeCity``."""
        with self._room(questions[0].operator):
            # in parts: with its token an answer is twice as long, and a message is no longer than 2 MiB
            parts = (questions[place : place + GROUP] for place in range(0, len(questions), GROUP))
            answers = await asyncio.gather(*map(self._ask_part, parts))
        return [item if isinstance(item, TiergateError) else _redeemed(item) for part in answers for item in part]

    async def _ask_part(self, questions: Sequence[AttestQuestion]) -> Sequence[pb.AttestTierResponse | TiergateError]:
        """Questions of one caller; what fails the call fails each of them."""
        try:
            return await self._ask_many(questions)
        except TiergateError as error:
            return [_told(error)] * len(questions)

    async def _ask_group(self, questions: Sequence[AttestQuestion]) -> Sequence[pb.AttestTierResponse | TiergateError]:
        """Questions of several callers."""
        if len(questions) > 1:
            try:
                return await self._ask_many(questions)
            except TiergateError as error:
                if error.reason not in _FORM:
                    raise _told(error) from error
        # alone, or one of them has spoilt the call, and must not take the others along
        return await asyncio.gather(*(self._ask_one(question) for question in questions))

    async def _ask_one(self, question: AttestQuestion) -> pb.AttestTierResponse | TiergateError:
        try:
            return await self._ask(self._attestations.AttestTier, _request(question))
        except TiergateError as error:
            return _told(error)

    async def _ask_many(self, questions: Sequence[AttestQuestion]) -> list[pb.AttestTierResponse | TiergateError]:
        request = pb.BatchAttestTierRequest(items=[_request(question) for question in questions])
        answer = await self._ask(self._attestations.BatchAttestTier, request)
        if len(answer.results) != len(questions):
            raise TiergateError(Reason.ATTESTATION_INVALID, "another number of answers")
        results: list[pb.AttestTierResponse | TiergateError] = []
        for item in answer.results:
            if item.WhichOneof("result") == "attested":
                results.append(item.attested)
            else:
                reason = _REASONS.get(item.error.reason, Reason.HOME_CITY_UNAVAILABLE)
                retry_after_s = believed_wait(item.error.retry_after_ms / 1000) or None
                results.append(_told(TiergateError(reason, "batch item", retry_after_s=retry_after_s)))
        return results

    def encode(self, uses: Sequence[ProvedUse]) -> bytes:
        """See ``ReportReceiver``."""
        request = pb.ReportUsesRequest(
            checkpoint=uses[0].receipt.checkpoint,
            reports=[
                pb.UseReport(
                    attestation_id=proved.use.attestation_id,
                    outcome=pb.USE_OUTCOME_ENTITLED if proved.use.rung else pb.USE_OUTCOME_ORDINARY,
                    log_index=proved.use.index,
                    entry=proved.use.entry,
                    inclusion=proved.receipt.hashes,
                    registration=_registration(proved),
                )
                for proved in uses
            ],
        )
        return request.SerializeToString()

    async def deliver(self, run: bytes) -> int:
        """See ``ReportReceiver``."""
        try:
            answer: pb.ReportUsesResponse = await self._report_uses(run, timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            raise _told(error_from_rpc(error)) from error
        return answer.acknowledged_index

    @contextmanager
    def _room(self, operator: OperatorId) -> Iterator[None]:
        """One of the places in which callers wait for this city.

        Raises HOME_CITY_UNAVAILABLE when there is none; BUSY when the operator itself has its share of them.
        """
        away_s = self._away_s()
        if away_s > 0:
            raise TiergateError(Reason.HOME_CITY_UNAVAILABLE, "announced maintenance", retry_after_s=away_s)
        if self._free <= 0:
            detail = "as many as may already wait for the city"
            raise TiergateError(Reason.HOME_CITY_UNAVAILABLE, detail, retry_after_s=RETRY_AFTER_S)
        held = self._held.get(operator, 0)
        if held >= self._free:
            detail = "as many of one operator as may already wait for the city"
            raise TiergateError(Reason.BUSY, detail, retry_after_s=RETRY_AFTER_S)
        self._free -= 1
        self._held[operator] = held + 1
        try:
            yield
        finally:
            self._free += 1
            self._held[operator] -= 1
            if not self._held[operator]:
                del self._held[operator]

    async def _ask(self, method: Callable[..., Awaitable[AnswerT]], request: object) -> AnswerT:
        """One call under the city's deadline and breaker. Raises what the city said, or why it said nothing."""
        wait_s = self._breaker.admit()
        if wait_s:
            raise TiergateError(Reason.HOME_CITY_UNAVAILABLE, "the city is silent", retry_after_s=wait_s)
        try:
            answer = await method(request, timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            found = error_from_rpc(error)
            if found.reason in _SILENT:
                self._breaker.failed()
            else:
                self._breaker.succeeded()
            raise found from error
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()
        return answer


def _redeemed(answer: pb.AttestTierResponse) -> Redeemed | TiergateError:
    if not answer.redeemed_token:
        return _told(TiergateError(Reason.ATTESTATION_INVALID, "a handle was redeemed for no token"))
    return Redeemed(answer.redeemed_token, answer.attestation)


def _registration(proved: ProvedUse) -> pb.ConsentRegistration | None:
    found, opening = proved.registration, proved.use.opening
    if found is None or opening is None:
        return None
    return pb.ConsentRegistration(log_index=found.index, entry=found.entry, inclusion=found.hashes, opening=opening)


def _request(question: AttestQuestion) -> pb.AttestTierRequest:
    return pb.AttestTierRequest(
        request_id=question.request_id,
        operator=question.operator,
        scenario=question.scenario,
        bundle_digest=question.bundle,
        proof=question.proof,
        **({"handle": question.handle} if question.handle else {"token": question.token}),
    )
