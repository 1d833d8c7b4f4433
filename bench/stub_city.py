"""A home city that costs next to nothing: ``python -m bench.stub_city WORLD [PORT]``.

It signs a rung-1 attestation for every question and checks and keeps nothing, so that what remains of a round trip is
the gateway's own cost and the wire. It exists for measuring alone: it ignores everything that a city is bound to do.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import grpc
import uvloop

from bench.serving import method, serve
from bench.world import World
from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.crypto.attestation import Attestation, issue_attestation, request_binding
from gateway.crypto.consent import new_id, token_hash
from gateway.crypto.jws import parse
from gateway.crypto.keys import load_private_key
from gateway.domain.ids import BundleDigest, CityId, OperatorId, RequestId, ScenarioId

LIFETIME_S = 300


class StubCity:
    """Says rung 1 to everything, and acknowledges every report unread."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._key = load_private_key(world.keys["attestation"])

    def _attest(self, question: peer.AttestTierRequest) -> peer.AttestTierResponse:
        claims = parse(question.token, "consent+jwt").claims
        world, now = self._world, int(time.time())
        operator = OperatorId(question.operator)
        bound = request_binding(operator, RequestId(question.request_id)) if "uses" in claims else None
        text = issue_attestation(
            self._key,
            world.kids["attestation"],
            Attestation(
                id=new_id(),
                issuer=CityId(world.city_id),
                audience=world.deployment,
                subject=claims["sub"],
                operator=operator,
                token_hash=token_hash(question.token),
                scenario=ScenarioId(question.scenario),
                bundle=BundleDigest(question.bundle_digest),
                rung=1,
                issued_at=now,
                expires_at=min(now + LIFETIME_S, claims["exp"]),
                request=bound,
            ),
        )
        return peer.AttestTierResponse(attestation=text)

    async def attest(self, request: peer.AttestTierRequest, _context: object) -> peer.AttestTierResponse:
        """Attest rung 1."""
        return self._attest(request)

    async def attest_many(self, request: peer.BatchAttestTierRequest, _context: object) -> peer.BatchAttestTierResponse:
        """Attest rung 1, many times."""
        return peer.BatchAttestTierResponse(
            results=[peer.AttestResult(attested=self._attest(item)) for item in request.items]
        )

    async def report(self, request: peer.ReportUsesRequest, _context: object) -> peer.ReportUsesResponse:
        """Acknowledge everything, unread."""
        return peer.ReportUsesResponse(acknowledged_index=request.reports[-1].log_index)


def services(city: StubCity) -> dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]]:
    """What a city serves to the gateway."""
    return {
        "gateway.api.peer.v1.AttestationService": {
            "AttestTier": method(peer.AttestTierRequest, city.attest),
            "BatchAttestTier": method(peer.BatchAttestTierRequest, city.attest_many),
        },
        "gateway.api.peer.v1.UseReportService": {"ReportUses": method(peer.ReportUsesRequest, city.report)},
    }


async def main(world: World, port: int) -> None:
    """Serve until killed."""
    await serve(world.city, services(StubCity(world)), port)


if __name__ == "__main__":
    uvloop.run(main(World.read(Path(sys.argv[1])), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
