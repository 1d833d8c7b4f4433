"""A real server: calls in hand, rates, metrics, health, and how it stops."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]  # it has none
from grpc_reflection.v1alpha import reflection_pb2  # type: ignore[import-untyped]  # it has none

from gateway.api.operator.v1 import operator_pb2
from gateway.errors import Reason, TiergateError
from gateway.transport.errors import error_from_rpc
from gateway.transport.health import WATCHES_PER_CALLER
from gateway.transport.server import ServerLimits
from tests.fakes.ca import identity
from tests.rpc.harness import CHECK, DEADLINE_S, Network, check, entries, failure, question

HEALTH = "/grpc.health.v1.Health"
BATCH = "/gateway.api.operator.v1.EligibilityService/BatchCheckEligibility"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


async def test_a_stream_that_its_reader_gives_up_is_no_longer_in_hand(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        channel = network.channel(peer=identity("auditor", "office"))
        reading = asyncio.create_task(entries(channel, 6, 9))
        await network.servicer.entered.wait()
        assert network.server.gate.in_flight == 1
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        network.server.gate.close()
        await network.server.gate.wait_idle(DEADLINE_S)
        assert network.server.gate.in_flight == 0


async def test_one_call_too_many_is_busy(tmp_path: Path) -> None:
    async with Network(tmp_path, limits=ServerLimits(1, 1e6, 1000)) as network:
        channel = network.channel()
        first = asyncio.create_task(check(channel, "wait"))
        await network.servicer.entered.wait()
        with pytest.raises(TiergateError) as caught:
            await check(channel)
        assert caught.value.reason is Reason.BUSY
        assert caught.value.retry_after_s is not None
        network.servicer.release.set()
        assert await first == "operator/library"
        assert await check(channel) == "operator/library"


async def test_a_caller_over_its_rate_is_limited_alone(tmp_path: Path) -> None:
    async with Network(tmp_path, limits=ServerLimits(64, 0.001, 2)) as network:
        channel = network.channel()
        assert [await check(channel) for _ in range(2)] == ["operator/library"] * 2
        with pytest.raises(TiergateError) as caught:
            await check(channel)
        assert caught.value.reason is Reason.RATE_LIMITED
        assert caught.value.retry_after_s is not None
        assert caught.value.retry_after_s > 100
        assert await check(network.channel(peer=identity("operator", "metro"))) == "operator/metro"


async def test_a_batch_is_no_way_around_the_rate(tmp_path: Path) -> None:
    async with Network(tmp_path, limits=ServerLimits(64, 0.001, 5)) as network:
        batch: Any = network.channel().unary_unary(BATCH)
        items = [question("plain") for _ in range(4)]
        request = operator_pb2.BatchCheckEligibilityRequest(items=items).SerializeToString()
        await batch(request, timeout=DEADLINE_S)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await batch(request, timeout=DEADLINE_S)
        assert error_from_rpc(caught.value).reason is Reason.RATE_LIMITED


async def test_one_caller_cannot_hold_all_watches(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        mine: Any
        other: Any
        mine, other = (network.channel(peer=identity("operator", name)) for name in ("library", "metro"))
        watches = [mine.unary_stream(f"{HEALTH}/Watch")(b"", timeout=DEADLINE_S) for _ in range(WATCHES_PER_CALLER)]
        for watching in watches:
            await watching.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mine.unary_stream(f"{HEALTH}/Watch")(b"", timeout=DEADLINE_S).read()
        assert error_from_rpc(caught.value).reason is Reason.RATE_LIMITED
        await other.unary_stream(f"{HEALTH}/Watch")(b"", timeout=DEADLINE_S).read()


async def test_calls_are_counted_by_method_and_end(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        channel = network.channel()
        await check(channel)
        await failure(channel, "refuse")
        value = network.registry.get_sample_value
        assert value("tiergate_rpc_seconds_count", {"method": CHECK, "status": "OK"}) == 1
        assert value("tiergate_rpc_seconds_count", {"method": CHECK, "status": "FAILED_PRECONDITION"}) == 1
        assert value("tiergate_rpc_failures_total", {"method": CHECK, "reason": "USES_EXHAUSTED"}) == 1
        assert value("tiergate_rpc_in_flight") == 0


async def test_a_stop_refuses_new_calls_and_lets_those_in_hand_finish(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        channel = network.channel()
        watch: Any = channel.unary_stream(f"{HEALTH}/Watch")
        watching = watch(b"", timeout=DEADLINE_S)
        assert health_pb2.HealthCheckResponse.FromString(await watching.read()).status == 1
        in_hand = asyncio.create_task(check(channel, "wait"))
        await network.servicer.entered.wait()
        stopping = asyncio.create_task(network.server.stop(DEADLINE_S))
        assert health_pb2.HealthCheckResponse.FromString(await watching.read()).status == 2
        assert await watching.read() is grpc.aio.EOF
        with pytest.raises(TiergateError) as caught:
            await check(channel)
        assert caught.value.reason is Reason.SHUTTING_DOWN
        assert not stopping.done()
        network.servicer.release.set()
        assert await in_hand == "operator/library"
        await stopping


async def test_a_stop_ends_what_does_not_finish_within_the_grace(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        in_hand = asyncio.create_task(failure(network.channel(), "wait"))
        await network.servicer.entered.wait()
        await network.server.stop(0.0)
        assert (await in_hand).code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


async def test_health_knows_the_services_and_no_others(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        channel = network.channel(peer=identity("witness", "xiamen"))
        ask: Any = channel.unary_unary(f"{HEALTH}/Check")
        for service in ("", "gateway.api.audit.v1.AuditService"):
            request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
            reply = health_pb2.HealthCheckResponse.FromString(await ask(request, timeout=DEADLINE_S))
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(health_pb2.HealthCheckRequest(service="else").SerializeToString(), timeout=DEADLINE_S)
        assert error_from_rpc(caught.value).reason is Reason.NOT_FOUND
        every: Any = channel.unary_unary(f"{HEALTH}/List")
        listed = health_pb2.HealthListResponse.FromString(await every(b"", timeout=DEADLINE_S))
        assert len(listed.statuses) == 3


async def test_watching_health_shows_every_change(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        watch: Any = network.channel().unary_stream(f"{HEALTH}/Watch")
        watching = watch(b"", timeout=DEADLINE_S)
        seen = [health_pb2.HealthCheckResponse.FromString(await watching.read()).status]
        for serving in (False, True):
            network.server.health.set_serving(serving=serving)
            seen.append(health_pb2.HealthCheckResponse.FromString(await watching.read()).status)
        assert seen == [1, 2, 1]


async def test_health_answers_a_busy_server_s_probe(tmp_path: Path) -> None:
    async with Network(tmp_path, limits=ServerLimits(1, 1e6, 1000)) as network:
        channel = network.channel()
        first = asyncio.create_task(check(channel, "wait"))
        await network.servicer.entered.wait()
        ask: Any = channel.unary_unary(f"{HEALTH}/Check")
        assert health_pb2.HealthCheckResponse.FromString(await ask(b"", timeout=DEADLINE_S)).status == 1
        network.servicer.release.set()
        await first


@pytest.mark.parametrize("development", [True, False])
async def test_reflection_is_served_in_development_alone(tmp_path: Path, development: bool) -> None:
    async with Network(tmp_path, development=development) as network:
        call: Any = network.channel().stream_stream(REFLECTION)
        talk = call(timeout=DEADLINE_S)
        if not development:
            assert await talk.code() is grpc.StatusCode.UNIMPLEMENTED
            return
        await talk.write(reflection_pb2.ServerReflectionRequest(list_services="*").SerializeToString())
        reply = reflection_pb2.ServerReflectionResponse.FromString(await talk.read())
        names = {item.name for item in reply.list_services_response.service}
        assert {"gateway.api.audit.v1.AuditService", "grpc.health.v1.Health"} <= names
        await talk.write(b"\xff")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await talk.read()
        assert error_from_rpc(caught.value).reason is Reason.MALFORMED_REQUEST
