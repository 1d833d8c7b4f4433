"""A home city as a peer: bounds that keep a silent city from taking the others with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import grpc.aio
import pytest

from gateway.api.peer.v1 import peer_pb2 as pb
from gateway.domain.ids import BundleDigest, OperatorId, RequestId, ScenarioId
from gateway.errors import Reason, TiergateError
from gateway.rpc.cities import BREAK_AFTER, BREAK_S, GROUP, CityPeerClient
from gateway.services.ask_cities import AttestQuestion, Redeemed
from gateway.transport.errors import DETAILS_KEY, MAX_RETRY_AFTER_S, status_of

QUESTION = AttestQuestion(
    RequestId("request-0000000001"), OperatorId("o"), ScenarioId("s"), BundleDigest("ab" * 32), "token", ""
)


class Channel:
    """A channel whose calls wait until they are told how to end."""

    def __init__(self) -> None:
        self.calls: list[asyncio.Future[Any]] = []
        self.requests: list[Any] = []
        self.called = asyncio.Event()

    def unary_unary(self, *_args: Any, **_options: Any) -> Any:
        """As gRPC's."""

        async def call(request: Any, *, timeout: float) -> Any:  # noqa: ASYNC109 - gRPC's name
            assert timeout > 0
            self.requests.append(request)
            self.calls.append(asyncio.get_running_loop().create_future())
            self.called.set()
            return await self.calls[-1]

        return call


def silence() -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(grpc.StatusCode.DEADLINE_EXCEEDED, grpc.aio.Metadata(), grpc.aio.Metadata())


class Batches:
    """A city that answers by method: a batch with ``whole`` if that is an error, single questions with their token."""

    def __init__(self, whole: Reason | None) -> None:
        self.whole = whole
        self.calls: list[str] = []

    def unary_unary(self, path: str, *_args: Any, **_options: Any) -> Any:
        """As gRPC's."""

        async def call(request: Any, *, timeout: float) -> Any:  # noqa: ASYNC109 - gRPC's name
            assert timeout > 0
            self.calls.append(path.rpartition("/")[2])
            if isinstance(request, pb.AttestTierRequest):
                return pb.AttestTierResponse(attestation=request.token)
            if self.whole is not None:
                raise refusal(self.whole)
            response = pb.BatchAttestTierResponse()
            for item in request.items:
                if item.token == "spent":
                    response.results.add(error=pb.PeerError(reason="USES_EXHAUSTED"))
                else:
                    response.results.add(attested=pb.AttestTierResponse(attestation=item.token))
            return response

        return call


def refusal(reason: Reason, retry_after_s: float | None = None) -> grpc.aio.AioRpcError:
    code, text, details = status_of(TiergateError(reason, retry_after_s=retry_after_s))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata((DETAILS_KEY, details)), text)


class Watch:
    """A monotonic clock."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def channel() -> Channel:
    return Channel()


def client(channel: Channel, watch: Watch, *, in_flight: int = 1000) -> CityPeerClient:
    return CityPeerClient(channel, deadline_s=2.0, in_flight=in_flight, monotonic=watch)  # type: ignore[arg-type]  # all that is used


async def ended(task: asyncio.Task[str]) -> TiergateError:
    with pytest.raises(TiergateError) as caught:
        await task
    return caught.value


async def asked(city: CityPeerClient, channel: Channel, operator: str = "o") -> asyncio.Task[str]:
    """A question that has reached the channel, or has been refused."""
    task = asyncio.create_task(city.attest(replace(QUESTION, operator=OperatorId(operator))))
    _, pending = await asyncio.wait([task, asyncio.create_task(channel.called.wait())], return_when="FIRST_COMPLETED")
    channel.called.clear()
    for other in pending - {task}:
        other.cancel()
    return task


async def test_only_so_many_wait_for_one_city(channel: Channel) -> None:
    city = client(channel, Watch(), in_flight=2)
    waiting = [await asked(city, channel, operator) for operator in ("one", "two")]
    error = await ended(await asked(city, channel, "three"))
    assert error.reason is Reason.HOME_CITY_UNAVAILABLE
    assert error.retry_after_s
    for call in channel.calls:
        call.set_result(pb.AttestTierResponse(attestation="a"))
    assert await asyncio.gather(*waiting) == ["a", "a"]
    again = await asked(city, channel)
    channel.calls[-1].set_result(pb.AttestTierResponse(attestation="b"))
    assert await again == "b"


async def fill(city: CityPeerClient, channel: Channel, operator: str) -> list[asyncio.Task[str]]:
    """Questions of one operator that hang, until it is told that there are as many as may."""
    waiting = []
    while not (task := await asked(city, channel, operator)).done():
        waiting.append(task)
    error = await ended(task)
    assert error.reason is Reason.BUSY
    assert error.retry_after_s
    return waiting


async def test_an_operator_that_fills_its_share_of_a_city_that_hangs_leaves_the_others_theirs(channel: Channel) -> None:
    city = client(channel, Watch(), in_flight=8)
    waiting = await fill(city, channel, "flooding")
    assert len(waiting) == 4
    waiting += await fill(city, channel, "flooding-too")
    assert len(waiting) == 6
    honest = await asked(city, channel, "honest")
    for call in channel.calls:
        call.set_result(pb.AttestTierResponse(attestation="a"))
    assert await honest == "a"
    assert await asyncio.gather(*waiting) == ["a"] * 6
    assert len(await fill(city, channel, "flooding")) == 4  # what was answered, and what was refused, holds no place


async def test_all_handles_of_a_batch_hold_one_place(channel: Channel) -> None:
    city = client(channel, Watch(), in_flight=2)
    handles = [replace(QUESTION, token="", handle=f"fuzhou-{number}") for number in range(GROUP + 1)]
    batch = asyncio.create_task(city.redeem_many(handles))
    await channel.called.wait()
    channel.called.clear()
    other = await asked(city, channel, "other")
    assert not other.done()
    first, rest, _ = channel.requests
    assert [item.handle for part in (first, rest) for item in part.items] == [asked.handle for asked in handles]
    for call, count in zip(channel.calls, (GROUP, 1), strict=False):
        call.set_result(redeemed(count))
    channel.calls[-1].set_result(pb.AttestTierResponse(attestation="a"))
    assert await other == "a"
    assert await batch == [Redeemed("t", "a")] * (GROUP + 1)


def redeemed(count: int) -> pb.BatchAttestTierResponse:
    answer = pb.AttestTierResponse(attestation="a", redeemed_token="t")
    return pb.BatchAttestTierResponse(results=[pb.AttestResult(attested=answer)] * count)


async def test_handles_of_a_batch_are_refused_one_by_one_and_a_part_that_fails_fails_alone(channel: Channel) -> None:
    city = client(channel, Watch())
    batch = asyncio.create_task(city.redeem_many([replace(QUESTION, token="", handle="fuzhou-code")] * (GROUP + 2)))
    await channel.called.wait()
    channel.calls[0].set_exception(silence())
    answer = redeemed(2)
    answer.results[1].error.reason = "HANDLE_INVALID"
    channel.calls[1].set_result(answer)
    results = await batch
    told = [item.reason if isinstance(item, TiergateError) else item.token for item in results]
    assert told == [Reason.HOME_CITY_UNAVAILABLE] * GROUP + ["t", Reason.HANDLE_INVALID]


async def test_a_silent_city_is_left_alone_for_a_moment_then_tried_by_one(channel: Channel) -> None:
    watch = Watch()
    city = client(channel, watch)
    for _ in range(BREAK_AFTER):
        task = await asked(city, channel)
        channel.calls[-1].set_exception(silence())
        assert (await ended(task)).reason is Reason.HOME_CITY_UNAVAILABLE
    calls = len(channel.calls)
    error = await ended(await asked(city, channel))
    assert len(channel.calls) == calls
    assert error.retry_after_s == pytest.approx(BREAK_S)
    watch.now += BREAK_S
    trial = await asked(city, channel)
    await ended(await asked(city, channel))
    assert len(channel.calls) == calls + 1
    channel.calls[-1].set_result(pb.AttestTierResponse(attestation="a"))
    assert await trial == "a"
    after = await asked(city, channel)
    channel.calls[-1].set_result(pb.AttestTierResponse(attestation="b"))
    assert await after == "b"


async def ask_together(city: CityPeerClient, *tokens: str) -> list[str | Reason]:
    questions = (replace(QUESTION, token=token) for token in tokens)
    found = await asyncio.gather(*map(city.attest, questions), return_exceptions=True)
    return [item.reason if isinstance(item, TiergateError) else str(item) for item in found]


async def test_questions_asked_at_once_are_one_call_and_each_has_its_own_answer() -> None:
    channel = Batches(None)
    city = CityPeerClient(channel, deadline_s=2.0)  # type: ignore[arg-type]  # all that is used
    assert await ask_together(city, "a", "spent", "c") == ["a", Reason.USES_EXHAUSTED, "c"]
    assert channel.calls == ["BatchAttestTier"]


@pytest.mark.parametrize("batch", [False, True], ids=["single", "batch"])
@pytest.mark.parametrize(("said", "told"), [(MAX_RETRY_AFTER_S, MAX_RETRY_AFTER_S), (MAX_RETRY_AFTER_S + 1, None)])
async def test_a_city_sends_nobody_away_for_longer_than_an_hour(
    channel: Channel, batch: bool, said: float, told: float | None
) -> None:
    city = client(channel, Watch())
    asking: Coroutine[Any, Any, object] = city.attest_many([QUESTION]) if batch else city.attest(QUESTION)
    answer = asyncio.create_task(asking)
    await channel.called.wait()
    if batch:
        item = pb.AttestResult(error=pb.PeerError(reason="RATE_LIMITED", retry_after_ms=int(said * 1000)))
        channel.calls[0].set_result(pb.BatchAttestTierResponse(results=[item]))
    else:
        channel.calls[0].set_exception(refusal(Reason.RATE_LIMITED, said))
    (found,) = await asyncio.gather(answer, return_exceptions=True)
    error = found[0] if isinstance(found, list) else found
    assert isinstance(error, TiergateError)
    assert (error.reason, error.retry_after_s) == (Reason.RATE_LIMITED, told)


async def test_a_question_that_spoils_a_call_does_not_take_the_others_along() -> None:
    channel = Batches(Reason.MALFORMED_REQUEST)
    city = CityPeerClient(channel, deadline_s=2.0)  # type: ignore[arg-type]  # all that is used
    assert await ask_together(city, "a", "b") == ["a", "b"]
    assert channel.calls == ["BatchAttestTier", "AttestTier", "AttestTier"]


async def test_a_city_that_cannot_answer_is_not_asked_again_question_by_question() -> None:
    channel = Batches(Reason.BUSY)
    city = CityPeerClient(channel, deadline_s=2.0)  # type: ignore[arg-type]  # all that is used
    assert await ask_together(city, "a", "b") == [Reason.HOME_CITY_UNAVAILABLE] * 2
    assert channel.calls == ["BatchAttestTier"]


async def redeeming(channel: Channel, answer: pb.AttestTierResponse) -> Redeemed:
    city = client(channel, Watch())
    task = asyncio.create_task(city.redeem(replace(QUESTION, token="", handle="fuzhou-code")))
    await channel.called.wait()
    channel.calls[-1].set_result(answer)
    return await task


async def test_a_redeemed_handle_comes_with_its_token(channel: Channel) -> None:
    answer = await redeeming(channel, pb.AttestTierResponse(attestation="a", redeemed_token="t"))
    assert (answer.token, answer.attestation) == ("t", "a")
    (request,) = channel.requests
    assert (request.handle, request.WhichOneof("presentation")) == ("fuzhou-code", "handle")


async def test_a_city_that_redeems_a_handle_for_no_token_has_not_answered(channel: Channel) -> None:
    with pytest.raises(TiergateError) as caught:
        await redeeming(channel, pb.AttestTierResponse(attestation="a"))
    assert caught.value.reason is Reason.HOME_CITY_UNAVAILABLE


async def test_announced_maintenance_is_told_with_its_end_and_nobody_is_asked() -> None:
    city = CityPeerClient(Channel(), deadline_s=2.0, away_s=lambda: 90.0)  # type: ignore[arg-type]  # all that is used
    with pytest.raises(TiergateError) as caught:
        await city.attest(QUESTION)
    assert (caught.value.reason, caught.value.retry_after_s) == (Reason.HOME_CITY_UNAVAILABLE, 90.0)
