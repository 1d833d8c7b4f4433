"""What a peer works by now, as it says itself: versions of the signed files, and the keys it signs with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import grpc.aio

from gateway.api.peer.v1 import status_pb2 as pb
from gateway.api.peer.v1.status_pb2_grpc import StatusServiceStub
from gateway.domain.directory import Directory, Endpoint
from gateway.domain.ids import CityId
from gateway.transport.channel import open_channel
from gateway.transport.errors import error_from_rpc
from gateway.transport.tls import CertificateFiles, WatchedCertificate

GATEWAY = "gateway"
ASK_S = 5.0
LOOK_EVERY_S = 0.25  # where a command waits for peers to follow


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
