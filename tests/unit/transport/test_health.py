from __future__ import annotations

import pytest
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]  # it has none

from gateway.errors import Reason, TiergateError
from gateway.transport.health import WATCHES_PER_CALLER, Health
from gateway.transport.identity import Caller
from tests.fakes.ca import identity


async def test_a_watch_that_has_ended_makes_room_for_another() -> None:
    health, caller = Health([]), Caller(identity("operator", "library"))
    watches = [health.Watch(health_pb2.HealthCheckRequest(), caller) for _ in range(WATCHES_PER_CALLER)]
    for watch in watches:
        await anext(watch)
    with pytest.raises(TiergateError) as caught:
        await anext(health.Watch(health_pb2.HealthCheckRequest(), caller))
    assert caught.value.reason is Reason.RATE_LIMITED
    await watches[0].aclose()  # type: ignore[attr-defined]  # an async generator, told as what its readers need
    await anext(health.Watch(health_pb2.HealthCheckRequest(), caller))
