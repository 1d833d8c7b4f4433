"""A naive gateway: ``python -m bench.yardsticks.naive WORLD DATABASE CITY-ADDRESS``.

It does the same job in the straightforward way: keys are parsed for every request, the city is asked for every
request, and a decision is committed (synchronous=FULL) before each answer, on the event loop. It keeps no Merkle tree,
signs no checkpoint, and knows neither idempotency nor withdrawal.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import jwt
import uvloop

from bench.serving import dial, method, serve
from bench.world import World
from gateway.api.operator.v1 import operator_pb2 as api
from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.api.peer.v1.peer_pb2_grpc import AttestationServiceStub
from gateway.crypto.consent import token_hash
from gateway.crypto.keys import b64url

_REQUIRED = {"require": ["exp", "iat", "aud", "iss"]}


class NaiveGateway:
    """Checks one at a time, everything anew."""

    def __init__(self, world: World, database: sqlite3.Connection, city: AttestationServiceStub) -> None:
        self._world = world
        self._database = database
        self._city = city

    def _verified(self, text: str, purpose: str, **options: Any) -> dict[str, Any]:
        key = jwt.PyJWK(self._world.jwks[purpose])
        claims: dict[str, Any] = jwt.decode(text, key, algorithms=["ES256"], **options)
        return claims

    async def check(
        self, request: api.CheckEligibilityRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> api.CheckEligibilityResponse:
        """One check."""
        world, presented = self._world, request.presentation.token
        digest = b64url(token_hash(presented.token))
        try:
            issued = {"audience": world.deployment, "issuer": world.city_id, "options": _REQUIRED}
            token = self._verified(presented.token, "consent", **issued)
            proof = self._verified(presented.proof, "proof")
            answer = await self._city.AttestTier(
                peer.AttestTierRequest(
                    request_id=request.request_id,
                    operator=world.operator,
                    scenario=request.scenario,
                    bundle_digest=world.bundle,
                    token=presented.token,
                    proof=presented.proof,
                ),
                timeout=5,
            )
            attested = self._verified(answer.attestation, "attestation", **issued)
        except jwt.PyJWTError as error:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, type(error).__name__)
        if token["azp"] != world.operator or {proof["ath"], attested["ath"]} != {digest}:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not for this question")
        decision = api.Decision(
            decision_id=secrets.token_hex(16),
            outcome=api.OUTCOME_ENTITLED if attested["rung"] else api.OUTCOME_ORDINARY,
            terms=api.Terms(
                items=[api.Term(percentage_off=api.PercentageOff(percent=20 if attested["rung"] else 10))],
                text_zh="使用 e福州 支付享八折",
                text_en="20 % off when paying with e福州",
            ),
            bundle_digest=world.bundle,
        )
        decision.decided_at.GetCurrentTime()
        decision.valid_until.FromSeconds(attested["exp"])
        entry = {"at": time.time(), "id": decision.decision_id, "rung": attested["rung"], "consent": digest}
        row = (request.request_id, json.dumps(entry, sort_keys=True))
        decision.log_index = (
            self._database.execute("INSERT INTO log (request, entry) VALUES (?, ?)", row).lastrowid or 0
        )
        self._database.commit()
        return api.CheckEligibilityResponse(decision=decision)


def open_log(path: str) -> sqlite3.Connection:
    """The log: one table, every commit durable."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE log (number INTEGER PRIMARY KEY, request TEXT UNIQUE, entry TEXT)")
    database.commit()
    return database


async def main(world: World, database: str, city: str) -> None:
    """Serve until killed."""
    gateway = NaiveGateway(world, open_log(database), AttestationServiceStub(dial(world.server, city, world.city_name)))
    check = method(api.CheckEligibilityRequest, gateway.check)
    await serve(world.server, {"gateway.api.operator.v1.EligibilityService": {"CheckEligibility": check}})


if __name__ == "__main__":
    uvloop.run(main(World.read(Path(sys.argv[1])), sys.argv[2], sys.argv[3]))
