"""From score to rung, and the uniform no."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import pairwise

from gateway.api.consent.v1 import resident_pb2
from gateway.conformance import residents, tokens
from gateway.conformance.check import Check, NotApplicableError, require
from gateway.conformance.policies import CAPPED
from gateway.conformance.residents import CUTS, LADDER, Resident
from gateway.conformance.session import ATTEST, Kit, Reply, claims_of, rung_of


async def _rung_of(kit: Kit, who: Resident) -> int:
    return await kit.rung((await kit.grant(who.ref)).token)


async def cut(kit: Kit, number: int) -> None:
    """The three residents around one cut."""
    for side in ("below", "at", "above"):
        who = residents.resident(f"{side}-{number}")
        rung = await _rung_of(kit, who)
        require(rung == who.level, f"rung {who.level} {who.about}", f"rung {rung}")


async def monotone(kit: Kit) -> None:
    """Those in between, by points."""
    between = [
        item for item in LADDER if not item.ref.removeprefix(residents.PREFIX).startswith(("below", "at", "above"))
    ]
    rungs = [await _rung_of(kit, item) for item in between]
    for (lower, low), (upper, high) in pairwise(zip(between, rungs, strict=True)):
        require(low <= high, f"{upper.about}: no less than {lower.about}", f"rung {high} after rung {low}")
    require(rungs[0] == 0 and rungs[-1] == len(CUTS), "rung 0 at the lower and 3 at the upper end", f"{rungs}")


async def capped(kit: Kit) -> None:
    """A scenario with one rung, at the second tier."""
    for name, expected in (("below-2", 0), ("at-2", 1), ("top", 1)):
        token = (await kit.grant(residents.resident(name).ref, scenario=CAPPED)).token
        rung = await kit.rung(token, scenario=CAPPED)
        require(rung == expected, f"rung {expected} of a scenario with one", f"rung {rung}")


async def ordinary(kit: Kit, who: Resident) -> None:
    """One personal reason."""
    rung = await _rung_of(kit, who)
    require(rung == 0, "a rung-0 attestation", f"rung {rung}")


async def frozen(kit: Kit) -> None:
    """Frozen before the run, or by the kit where the city lets it."""
    request = resident_pb2.FreezeResidentRequest(resident_ref=residents.FROZEN.ref)
    with contextlib.suppress(NotApplicableError):  # then the city has frozen her by itself
        await kit.app("ResidentService/FreezeResident", request, resident_pb2.FreezeResidentResponse())
    await ordinary(kit, residents.FROZEN)


async def unknown_consent(kit: Kit) -> None:
    """A sound token that the city has no record of."""
    rung = await kit.rung(tokens.sound(kit.deployment))
    require(rung == 0, "a rung-0 attestation", f"rung {rung}")


async def _withdrawn(kit: Kit) -> Reply:
    who = residents.resident("top").ref
    granted = await kit.grant(who)
    await kit.change("Withdraw", who, granted)
    return await kit.attest(granted.token)


async def same_shape(kit: Kit) -> None:
    """Every no beside a yes: the same claims, of the same length."""
    people = ("top", "bottom", "no-score", "stale", "unusable", "unknown")
    replies: dict[str, Reply] = {"withdrawn": await _withdrawn(kit)}
    for name in people:
        replies[name] = await kit.attest((await kit.grant(residents.resident(name).ref)).token)
    yes = replies.pop("top").attested()
    shape = (sorted(claims_of(yes.attestation)), len(yes.attestation))
    for name, reply in replies.items():
        attested = reply.attested()
        came = (sorted(claims_of(attested.attestation)), len(attested.attestation))
        require(came[0] == shape[0], "the claims of a yes in every no", f"other claims for the reason {name}")
        require(came[1] == shape[1], "the length of a yes in every no", f"another length for the reason {name}")


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


_NO: tuple[tuple[str, str, Callable[[Kit], Awaitable[None]]], ...] = (
    ("no-score", "Somebody without a score gets a rung-0 attestation.", partial(ordinary, who=residents.NO_SCORE)),
    ("stale", "A score older than the policies allow is rung 0.", partial(ordinary, who=residents.STALE)),
    ("unusable", "A record that cannot be used is rung 0, not an error.", partial(ordinary, who=residents.UNUSABLE)),
    ("unknown", "Somebody whom the platform does not know is rung 0.", partial(ordinary, who=residents.UNKNOWN)),
    ("frozen", "A frozen resident is rung 0.", frozen),
    ("unknown-consent", "A sound token without a consent on record is rung 0.", unknown_consent),
    ("same-shape", "Every no has the claims and the length of a yes.", same_shape),
)
CHECKS = (
    *(
        Check(
            f"tier.cut-{number}",
            f"One point short of, at and above the cut of tier {number}: the rung changes at the cut.",
            "DESIGN 7; policy bundle",
            partial(cut, number=number),
        )
        for number in range(1, len(CUTS) + 1)
    ),
    Check("tier.monotone", "More points never give less, up to both ends of the scale.", "DESIGN 7", monotone),
    Check("tier.capped", "A rung is one that the scenario distinguishes.", "DESIGN 4, 5 step 7", capped),
    *(Check(f"no.{name}", says, "DESIGN I3; peer.proto AttestTier", run) for name, says, run in _NO),
    Check("consent.withdrawn", "After a withdrawal the same token is rung 0.", "DESIGN I3, I4, I7", withdrawn),
    Check("consent.withdrawn-repeat", "A repeated request does not bring back what was withdrawn.", "DESIGN 5 step 3",
          withdrawn_repeat),
    Check("consent.withdrawn-spent", "Status never short-cuts: a withdrawn token without uses left is exhausted.",
          "DESIGN I3", withdrawn_spent),
    Check("consent.paused", "A paused consent is rung 0 until it is resumed.", "consent.proto PauseConsent", paused),
)  # fmt: skip
