"""Real consents from the real adapter, granted over its consent API as the city's app does: before the clock starts."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import uvloop

from bench.network import RESIDENTS
from bench.serving import dial
from bench.world import Tls, World
from gateway.api.consent.v1 import consent_pb2 as api
from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub

_AT_ONCE = 32
_LIFETIME_S = 30 * 86_400
_DEADLINE_S = 30.0


def grant(world: World, app: Tls, address: str, devices: Sequence[api.DeviceKey | None], *, uses: int = 0) -> list[str]:
    """One token for each of ``devices``, in their order, spread over the residents. Raises grpc.aio.AioRpcError.

    It is bound to the device's key; for None to the operator's.
    """
    each = [
        api.ConsentTerms(
            operator=world.operator,
            scenario=world.scenario,
            lifetime_s=_LIFETIME_S,
            uses=uses,
            binding=api.BINDING_DEVICE if device else api.BINDING_OPERATOR,
            device_key=device,
        )
        for device in devices
    ]
    return uvloop.run(_grant(world, app, address, each))


async def _grant(world: World, app: Tls, address: str, each: Sequence[api.ConsentTerms]) -> list[str]:
    tokens = [""] * len(each)
    rest = enumerate(zip(itertools.cycle(RESIDENTS), each, strict=False))

    async def work(stub: ConsentServiceStub) -> None:
        for number, (resident, terms) in rest:
            request = api.GrantConsentRequest(resident_ref=resident, terms=terms, notice_digest=notice)
            tokens[number] = (await stub.GrantConsent(request, timeout=_DEADLINE_S)).token

    async with dial(app, address, world.city_name) as channel:
        stub = ConsentServiceStub(channel)
        preview = api.PreviewConsentRequest(terms=each[0])
        notice = (await stub.PreviewConsent(preview, timeout=_DEADLINE_S)).notice_digest
        await asyncio.gather(*(work(stub) for _ in range(_AT_ONCE)))
    return tokens
