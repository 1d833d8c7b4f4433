"""Real consents from the real adapter, granted over its consent API as the city's app does: before the clock starts."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import uvloop

from bench.network import RESIDENTS
from bench.serving import dial
from bench.world import Tls, World
from gateway.api.consent.v1 import consent_pb2 as api
from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub

_AT_ONCE = 32
_LIFETIME_S = 30 * 86_400
_DEADLINE_S = 30.0


def grant(world: World, app: Tls, address: str, count: int, *, uses: int = 0) -> list[str]:
    """``count`` tokens, spread over the residents; counted ones with ``uses``. Raises grpc.aio.AioRpcError."""
    return uvloop.run(_grant(world, app, address, count, uses))


async def _grant(world: World, app: Tls, address: str, count: int, uses: int) -> list[str]:
    terms = api.ConsentTerms(
        operator=world.operator,
        scenario=world.scenario,
        lifetime_s=_LIFETIME_S,
        uses=uses,
        binding=api.BINDING_NONE if uses else api.BINDING_OPERATOR,
    )
    async with dial(app, address, world.city_name) as channel:
        stub = ConsentServiceStub(channel)
        shown = await stub.PreviewConsent(api.PreviewConsentRequest(terms=terms), timeout=_DEADLINE_S)
        rest = iter(list(itertools.islice(itertools.cycle(RESIDENTS), count)))
        workers = (_worker(stub, rest, terms, shown.notice_digest) for _ in range(_AT_ONCE))
        return list(itertools.chain.from_iterable(await asyncio.gather(*workers)))


async def _worker(stub: ConsentServiceStub, rest: Iterator[str], terms: api.ConsentTerms, digest: str) -> list[str]:
    tokens = []
    for resident in rest:
        request = api.GrantConsentRequest(resident_ref=resident, terms=terms, notice_digest=digest)
        tokens.append((await stub.GrantConsent(request, timeout=_DEADLINE_S)).token)
    return tokens
