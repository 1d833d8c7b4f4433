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


def grant(
    world: World, app: Tls, address: str, count: int, *, uses: int = 0, devices: Sequence[api.DeviceKey] = ()
) -> list[str]:
    """``count`` tokens, spread over the residents: counted ones with ``uses``, else bound to the operator.

    With ``devices`` one token is bound to each of these keys, in their order. Raises grpc.aio.AioRpcError.
    """
    binding = api.BINDING_DEVICE if devices else api.BINDING_NONE if uses else api.BINDING_OPERATOR
    keys: Sequence[api.DeviceKey | None] = devices or [None] * count
    each = [
        api.ConsentTerms(
            operator=world.operator,
            scenario=world.scenario,
            lifetime_s=_LIFETIME_S,
            uses=uses,
            binding=binding,
            device_key=device,
        )
        for device in keys
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
