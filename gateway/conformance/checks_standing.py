"""Consents that do not stand any more: rung 0, and in everything else treated like one that does."""

from __future__ import annotations

import time

from gateway.conformance import residents, tokens
from gateway.conformance.check import Check, require
from gateway.conformance.policies import CAPPED, METRO
from gateway.conformance.residents import CUTS
from gateway.conformance.session import ATTEST, Kit, rung_of


async def withdrawn(kit: Kit) -> None:
    """A used token, withdrawn and asked about again."""
    who = residents.resident("top").ref
    granted = await kit.grant(who)
    before = await kit.rung(granted.token)
    require(before == len(CUTS), "rung 3 before the withdrawal", f"rung {before}")
    await kit.change("Withdraw", who, granted)
    after = await kit.rung(granted.token)
    require(after == 0, "a rung-0 attestation after the withdrawal", f"rung {after}")


async def withdrawn_repeat(kit: Kit) -> None:
    """The same request as before the withdrawal."""
    who = residents.resident("top").ref
    granted = await kit.grant(who)
    request = kit.question(granted.token)
    await kit.call(ATTEST, request)
    await kit.change("Withdraw", who, granted)
    after = rung_of((await kit.call(ATTEST, request)).attested())
    require(after == 0, "a rung-0 attestation for a request known from before", f"rung {after}")


async def withdrawn_spent(kit: Kit) -> None:
    """A withdrawn token takes the path of a live one: its count, too."""
    who = residents.resident("top").ref
    granted = await kit.grant(who, uses=1)
    await kit.rung(granted.token)
    await kit.change("Withdraw", who, granted)
    (await kit.attest(granted.token)).refused("USES_EXHAUSTED")


async def paused(kit: Kit) -> None:
    """Paused, and resumed where the city offers it."""
    who = residents.resident("top").ref
    granted = await kit.grant(who)
    await kit.change("Pause", who, granted)
    rung = await kit.rung(granted.token)
    require(rung == 0, "a rung-0 attestation while paused", f"rung {rung}")
    await kit.change("Resume", who, granted)
    rung = await kit.rung(granted.token)
    require(rung == len(CUTS), "rung 3 after the pause", f"rung {rung}")


async def withdrawn_strict(kit: Kit) -> None:
    """The same questions about one token, in different ways wrong, before and after its withdrawal."""
    who = residents.resident("top").ref
    granted = await kit.grant(who)
    token, deployment = granted.token, kit.deployment
    wrong: tuple[tuple[str, str, dict[str, str]], ...] = (
        ("PROOF_REQUIRED", token, {"proof": ""}),
        ("PROOF_MALFORMED", token, {"proof": "x" * 60}),
        ("PROOF_INVALID", token, {"proof": tokens.proved(deployment, token, key=f"{METRO}-proof")}),
        ("PROOF_STALE", token, {"proof": tokens.proved(deployment, token, iat=int(time.time()) - 330)}),
        ("TOKEN_SCENARIO_NOT_COVERED", token, {"scenario": CAPPED}),
        ("TOKEN_OTHER_OPERATOR", token, {"operator": METRO}),
        ("TOKEN_SIGNATURE_INVALID", tokens.broken(token), {}),
    )
    before = [await kit.attest(text, **changes) for _, text, changes in wrong]
    await kit.change("Withdraw", who, granted)
    after = [await kit.attest(text, **changes) for _, text, changes in wrong]
    for (reason, *_), living, ended in zip(wrong, before, after, strict=True):
        for reply, which in ((living, "before"), (ended, "after")):
            require(reply.reason == reason, f"{reason}, before the withdrawal and after it", f"{reply.shown} {which}")
        same = (living.code, living.text, living.details) == (ended.code, ended.text, ended.details)
        require(same, f"{reason} after the withdrawal as before it", "one that can be told apart")


CHECKS = (
    Check("consent.withdrawn", "After a withdrawal the same token is rung 0.", "DESIGN I3, I4, I7", withdrawn),
    Check("consent.withdrawn-repeat", "A repeated request does not bring back what was withdrawn.", "DESIGN 5 step 3",
          withdrawn_repeat),
    Check("consent.withdrawn-spent", "Status never short-cuts: a withdrawn token without uses left is exhausted.",
          "DESIGN I3", withdrawn_spent),
    Check("consent.withdrawn-strict", "A withdrawn token is refused for whatever a living one is refused for.",
          "DESIGN I3", withdrawn_strict),
    Check("consent.paused", "A paused consent is rung 0 until it is resumed.", "consent.proto PauseConsent", paused),
)  # fmt: skip
