"""What a peer works by now, as it says itself: versions of the signed files, and the keys it signs with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc.aio

from gateway.api.peer.v1 import status_pb2 as pb
from gateway.api.peer.v1.status_pb2_grpc import StatusServiceStub
from gateway.cli.output import progress
from gateway.domain.directory import GATEWAY, Directory, Endpoint
from gateway.domain.ids import CityId
from gateway.transport.channel import open_channel
from gateway.transport.errors import error_from_rpc
from gateway.transport.tls import CertificateFiles, WatchedCertificate

ASK_S = 5.0
LOOK_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class PeerState:
    """``version`` of the directory (0: it does not answer), its keys by purpose, and the digest of its bundle."""

    version: int
    signing: Mapping[str, str]
    trouble: str = ""
    bundle: str = ""


async def state_of(certificate: CertificateFiles, directory: Directory, name: str) -> PeerState:
    """Ask a city by its id, or the gateway. It raises nothing: a peer in trouble has version 0."""
    endpoint: Endpoint = directory.gateway.endpoint if name == GATEWAY else directory.cities[CityId(name)].endpoint
    async with open_channel(endpoint, WatchedCertificate(certificate)) as channel:
        try:
            answer = await StatusServiceStub(channel).GetInForce(pb.GetInForceRequest(), timeout=ASK_S)
        except grpc.aio.AioRpcError as error:
            return PeerState(0, {}, error_from_rpc(error).reason.value)
    signing = {item.purpose: item.kid for item in answer.signing}
    return PeerState(answer.directory_version, signing, bundle=answer.bundle_digest)


async def until_followed(
    ask: Callable[[], Awaitable[Mapping[str, PeerState]]],
    names: Sequence[str],
    holds: Callable[[PeerState], bool],
    wait_s: float,
    what: str = "",
) -> tuple[Mapping[str, PeerState], list[str]]:
    """Ask again and again until it holds for all of ``names``, for ``wait_s`` at most.

    The last answers, and those of ``names`` that are behind. Whoever is waited for is told, with ``what`` behind.
    """
    deadline = time.monotonic() + wait_s
    told: list[str] = []
    while True:
        states = await ask()
        behind = [name for name in names if not holds(states[name])]
        if not behind or time.monotonic() >= deadline:
            return states, behind
        if behind != told:
            progress(f"tiergate: waiting for {', '.join(behind)}{what}")
            told = behind
        await asyncio.sleep(LOOK_EVERY_S)
