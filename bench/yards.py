"""The modes that need no product: the floor at each number in flight, with and without TLS, and both yardsticks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

from bench import material
from bench.job import Channel
from bench.material import Consent, Issuer, Template
from bench.measure import Mode, tls_channel
from bench.processes import Processes
from bench.world import World, world_file
from gateway.api.operator.v1 import operator_pb2 as api
from gateway.cli.localnet.plan import Layout

IN_FLIGHT = 64
CHECK = "/gateway.api.operator.v1.EligibilityService/CheckEligibility"
RESIDENTS = 256
"""How many consents are asked about in turn."""


def expect_entitled(reply: bytes) -> None:
    """Raise ValueError unless a reply is an entitled decision."""
    if api.CheckEligibilityResponse.FromString(reply).decision.outcome != api.OUTCOME_ENTITLED:
        raise ValueError("not entitled")


def _expect_zeros(length: int) -> Callable[[bytes], None]:
    def check(reply: bytes) -> None:
        if reply != bytes(length):
            raise ValueError(f"{len(reply)} bytes instead of {length} zero bytes")

    return check


def _expect_active(reply: bytes) -> None:
    answer = json.loads(reply)
    if not (answer["active"] and answer["entitled"]):
        raise ValueError("not active")


def yard_modes(world: World, layout: Layout, processes: Processes, reply_bytes: int) -> list[Mode]:
    """Start echo and yardsticks; ``reply_bytes`` is the size of the product's reply."""
    path = str(world_file(layout))
    issuer = Issuer(world)

    def requests(make: Callable[[World, Sequence[Consent]], list[Template]]) -> Callable[[], list[Template]]:
        return lambda: make(world, [issuer.consent(int(time.time())) for _ in range(RESIDENTS)])

    echo = processes.start("echo", "bench.echo", path, str(reply_bytes))
    plain = processes.start("echo-plain", "bench.echo", path, str(reply_bytes), "plain")
    city = processes.start("stub-city", "bench.stub_city", path)
    naive = processes.start("naive", "bench.yardsticks.naive", path, str(layout.base / "naive.db"), city.address)
    plain_service = processes.start(
        "introspection", "bench.yardsticks.introspection", path, str(layout.base / "introspection.db")
    )
    open_channel = Channel("grpc", plain.address, "/bench.Echo/Echo")
    naive_channel = tls_channel(world, naive, CHECK)
    check = _expect_zeros(reply_bytes)
    single = requests(material.single)
    floor = [
        Mode(f"echo-{count}", tls_channel(world, echo, "/bench.Echo/Echo"), {"echo": echo}, single, check, count)
        for count in (IN_FLIGHT, 4, 1)
    ]
    return [
        *floor,
        Mode("echo-plain", open_channel, {"echo": plain}, single, check, IN_FLIGHT),
        Mode("naive", naive_channel, {"gateway": naive, "city": city}, single, expect_entitled, IN_FLIGHT),
        Mode(
            "introspection",
            Channel("http", plain_service.address),
            {"service": plain_service},
            requests(material.introspection),
            _expect_active,
            IN_FLIGHT,
        ),
    ]
