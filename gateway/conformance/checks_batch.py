"""Batches: in order, and each item as strictly as a question of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.conformance import residents, tokens
from gateway.conformance.check import Check, require
from gateway.conformance.policies import CAPPED, METRO
from gateway.conformance.session import BATCH, Kit, outcome_of

MAX_BATCH = 256


async def _granted(kit: Kit, name: str) -> str:
    return (await kit.grant(residents.resident(name).ref)).token


async def order(kit: Kit) -> None:
    """Good and bad questions, mixed."""
    first, second, third = [await _granted(kit, name) for name in ("top", "middle-1", "middle-2")]
    questions = [
        kit.question(first),
        kit.question("x" * 100),
        kit.question(second),
        kit.question(second, scenario="kit-nowhere"),
        kit.question(tokens.sound(kit.deployment, azp=METRO)),
        kit.question(third),
    ]
    expected = ["rung 3", "TOKEN_MALFORMED", "rung 1", "SCENARIO_UNKNOWN", "TOKEN_OTHER_OPERATOR", "rung 2"]
    came = [outcome_of(item) for item in await kit.batch(questions)]
    require(came == expected, ", ".join(expected), ", ".join(came))


async def bounds(kit: Kit) -> None:
    """None, and one too many."""
    (await kit.call(BATCH, peer.BatchAttestTierRequest())).refused("MALFORMED_REQUEST")
    token = tokens.sound(kit.deployment)
    many = peer.BatchAttestTierRequest(items=[kit.question(token) for _ in range(MAX_BATCH + 1)])
    (await kit.call(BATCH, many)).refused("BATCH_TOO_LARGE")


async def alone(kit: Kit, make: Callable[[Kit], Awaitable[peer.AttestTierRequest]], expected: str) -> None:
    """One item between two that are in order."""
    neighbour = await _granted(kit, "middle-1")
    results = await kit.batch([kit.question(neighbour), await make(kit), kit.question(neighbour)])
    came = [outcome_of(item) for item in results]
    require(came == ["rung 1", expected, "rung 1"], f"rung 1, {expected}, rung 1", ", ".join(came))


async def _withdrawn(kit: Kit) -> peer.AttestTierRequest:
    who = residents.resident("top").ref
    granted = await kit.grant(who)
    await kit.change("Withdraw", who, granted)
    return kit.question(granted.token)


async def _capped(kit: Kit) -> peer.AttestTierRequest:
    token = (await kit.grant(residents.resident("top").ref, scenario=CAPPED)).token
    return kit.question(token, scenario=CAPPED)


async def _bad_signature(kit: Kit) -> peer.AttestTierRequest:
    return kit.question(tokens.broken(await _granted(kit, "top")))


async def _bad_proof(kit: Kit) -> peer.AttestTierRequest:
    token = await _granted(kit, "top")
    return kit.question(token, proof=tokens.broken(tokens.proved(kit.deployment, token)))


async def _no_proof(kit: Kit) -> peer.AttestTierRequest:
    return kit.question(await _granted(kit, "top"), proof="")


_ALONE: tuple[tuple[str, str, Callable[[Kit], Awaitable[peer.AttestTierRequest]], str], ...] = (
    ("withdrawn", "A withdrawn consent in a batch is rung 0, as by itself.", _withdrawn, "rung 0"),
    ("capped", "An item's rung is one that its scenario distinguishes.", _capped, "rung 1"),
    ("signature-altered", "An item whose token's signature was changed is refused, alone.", _bad_signature,
     "TOKEN_SIGNATURE_INVALID"),
    ("proof-altered", "An item whose proof's signature was changed is refused, alone.", _bad_proof, "PROOF_INVALID"),
    ("proof-missing", "An item without the proof that its token takes is refused, alone.", _no_proof,
     "PROOF_REQUIRED"),
)  # fmt: skip
_SOURCE = "peer.proto BatchAttestTier"
CHECKS = (
    Check("batch.order", "A batch is answered in order, each item alone.", _SOURCE, order),
    Check("batch.bounds", f"A batch holds 1 to {MAX_BATCH} questions.", "peer.proto BatchAttestTierRequest", bounds),
    *(
        Check(f"batch.{name}", says, f"{_SOURCE}; DESIGN I3, I4", partial(alone, make=make, expected=expected))
        for name, says, make, expected in _ALONE
    ),
)
