"""A home city as a peer: bounds that keep a silent city from taking the others with it."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
import pytest

from gateway.api.peer.v1 import peer_pb2 as pb
from gateway.domain.ids import BundleDigest, OperatorId, RequestId, ScenarioId
from gateway.errors import Reason, TiergateError
from gateway.ports import AttestQuestion
from gateway.rpc.cities import BREAK_AFTER, BREAK_S, CityPeerClient

QUESTION = AttestQuestion(
    RequestId("request-0000000001"), OperatorId("o"), ScenarioId("s"), BundleDigest("ab" * 32), "token", ""
)


class Channel:
    """A channel whose calls wait until they are told how to end."""

    def __init__(self) -> None:
        self.calls: list[asyncio.Future[pb.AttestTierResponse]] = []
        self.called = asyncio.Event()

    def unary_unary(self, *_args: Any, **_options: Any) -> Any:
        """As gRPC's."""

        async def call(_request: object, *, timeout: float) -> pb.AttestTierResponse:  # noqa: ASYNC109 - gRPC's name
            assert timeout > 0
            self.calls.append(asyncio.get_running_loop().create_future())
            self.called.set()
            return await self.calls[-1]

        return call


def silence() -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(grpc.StatusCode.DEADLINE_EXCEEDED, grpc.aio.Metadata(), grpc.aio.Metadata())


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


async def asked(city: CityPeerClient, channel: Channel) -> asyncio.Task[str]:
    """A question that has reached the channel."""
    task = asyncio.create_task(city.attest(QUESTION))
    _, pending = await asyncio.wait([task, asyncio.create_task(channel.called.wait())], return_when="FIRST_COMPLETED")
    channel.called.clear()
    for other in pending - {task}:
        other.cancel()
    return task


async def test_only_so_many_wait_for_one_city(channel: Channel) -> None:
    city = client(channel, Watch(), in_flight=2)
    waiting = [await asked(city, channel) for _ in range(2)]
    error = await ended(await asked(city, channel))
    assert error.reason is Reason.HOME_CITY_UNAVAILABLE
    assert error.retry_after_s
    for call in channel.calls:
        call.set_result(pb.AttestTierResponse(attestation="a"))
    assert await asyncio.gather(*waiting) == ["a", "a"]
    again = await asked(city, channel)
    channel.calls[-1].set_result(pb.AttestTierResponse(attestation="b"))
    assert await again == "b"


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
