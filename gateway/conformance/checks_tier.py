"""From score to rung, and the uniform no."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from itertools import pairwise

from gateway.api.consent.v1 import resident_pb2
from gateway.conformance import residents, tokens
from gateway.conformance.check import Check, NotApplicableError, require
from gateway.conformance.policies import CAPPED
from gateway.conformance.residents import CUTS, LADDER, MAX_AGE_DAYS, Resident
from gateway.conformance.session import Kit, Reply, claims_of


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


async def _rung_at_age(kit: Kit, days: int, today: date) -> int:
    return await _rung_of(kit, residents.resident(f"aged-{days - (today - kit.deployment.day).days}"))


async def max_age(kit: Kit) -> None:
    """Whose score is good for the last day, and whose was until yesterday."""
    today, rungs = None, (0, 0)
    while today != (today := datetime.now(UTC).date()):  # once more if midnight comes in between
        rungs = (await _rung_at_age(kit, MAX_AGE_DAYS - 1, today), await _rung_at_age(kit, MAX_AGE_DAYS, today))
    require(rungs[0] == len(CUTS), f"rung 3 on the last of {MAX_AGE_DAYS} days", f"rung {rungs[0]}")
    require(rungs[1] == 0, f"rung 0 after {MAX_AGE_DAYS} days", f"rung {rungs[1]}")


async def ordinary(kit: Kit, who: Resident) -> None:
    """One personal reason."""
    rung = await _rung_of(kit, who)
    require(rung == 0, "a rung-0 attestation", f"rung {rung}")


async def _freeze(kit: Kit) -> None:
    """By the kit, where the city lets it."""
    request = resident_pb2.FreezeResidentRequest(resident_ref=residents.FROZEN.ref)
    with contextlib.suppress(NotApplicableError):  # then the city has frozen her by itself
        await kit.app("ResidentService/FreezeResident", request, resident_pb2.FreezeResidentResponse())


async def frozen(kit: Kit) -> None:
    """Frozen before the run, or by the kit."""
    await _freeze(kit)
    await ordinary(kit, residents.FROZEN)


async def unknown_consent(kit: Kit) -> None:
    """A sound token that the city has no record of."""
    rung = await kit.rung(tokens.sound(kit.deployment))
    require(rung == 0, "a rung-0 attestation", f"rung {rung}")


async def _tokens(kit: Kit) -> dict[str, str]:
    """A token that is a yes, ``top``, and one for every kind of no, by whom or why."""
    people = ("top", "bottom", "no-score", "stale", "unusable", "unknown", "frozen", "withdrawn", "paused")
    found = {"unknown-consent": tokens.sound(kit.deployment, uses=SAMPLE)}
    acts = {"withdrawn": "Withdraw", "paused": "Pause"}
    await _freeze(kit)
    for name in people:
        who = residents.resident("top" if name in acts else name).ref
        granted = await kit.grant(who, uses=SAMPLE)
        found[name] = granted.token
        if name in acts:
            with contextlib.suppress(NotApplicableError):  # where there is no pause, nobody can tell one
                await kit.change(acts[name], who, granted)
    return found


async def uniform(kit: Kit, trait: Callable[[Sequence[Reply]], object], what: str, times: int) -> None:
    """One trait of the answers to each no, beside that of a yes; asked at once, so that the clock is no trait."""
    asked = await _tokens(kit)
    answers: dict[str, list[Reply]] = {name: [] for name in asked}
    for _ in range(times):
        for name, reply in zip(asked, await asyncio.gather(*map(kit.attest, asked.values())), strict=True):
            answers[name].append(reply)
    expected = trait(answers.pop("top"))
    for name, replies in answers.items():
        require(trait(replies) == expected, f"{what} of a yes in every no", f"another for the reason {name}")


def _attestations(replies: Sequence[Reply]) -> list[str]:
    return [reply.attested().attestation for reply in replies]


def _shape(replies: Sequence[Reply]) -> object:
    """Length and header, and the claims in their order."""
    texts = _attestations(replies)
    lengths = {len(reply.data) for reply in replies}
    return lengths, {(len(text), text.partition(".")[0], tuple(claims_of(text))) for text in texts}


def _lifetime(replies: Sequence[Reply]) -> object:
    return {found["exp"] - found["iat"] for found in map(claims_of, _attestations(replies))}


def _form_of_ids(replies: Sequence[Reply]) -> object:
    """Lengths, kinds of characters, and those that every id has in one place."""
    ids = [str(claims_of(text)["jti"]) for text in _attestations(replies)]
    kinds = [any(map(kind, "".join(ids))) for kind in (str.islower, str.isupper, str.isdigit)]
    fixed = [(place, letters[0]) for place, letters in enumerate(zip(*ids, strict=False)) if len(set(letters)) == 1]
    return {len(item) for item in ids}, kinds, fixed


def _metadata(replies: Sequence[Reply]) -> object:
    return {reply.keys for reply in replies}


_NO: tuple[tuple[str, str, Callable[[Kit], Awaitable[None]]], ...] = (
    ("no-score", "Somebody without a score gets a rung-0 attestation.", partial(ordinary, who=residents.NO_SCORE)),
    ("stale", "A score older than the policies allow is rung 0.", partial(ordinary, who=residents.STALE)),
    ("unusable", "A record that cannot be used is rung 0, not an error.", partial(ordinary, who=residents.UNUSABLE)),
    ("unknown", "Somebody whom the platform does not know is rung 0.", partial(ordinary, who=residents.UNKNOWN)),
    ("frozen", "A frozen resident is rung 0.", frozen),
    ("unknown-consent", "A sound token without a consent on record is rung 0.", unknown_consent),
)
SAMPLE = 12
"""Ids of one kind of answer; that as many random ones agree in a place by chance is one in millions."""
_TRAITS: tuple[tuple[str, str, Callable[[Sequence[Reply]], object], str, int], ...] = (
    ("shape", "Every no has the header, the claims and the length of a yes.", _shape, "the shape", 1),
    ("lifetime", "Every no lives as long as a yes.", _lifetime, "the lifetime", 1),
    ("id", "The ids of every no are formed like those of a yes.", _form_of_ids, "the form of ids", SAMPLE),
    ("metadata", "Every no comes with the metadata of a yes.", _metadata, "the metadata", 1),
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
    Check(
        "tier.max-age",
        f"A score is good for {MAX_AGE_DAYS} days of UTC, and not for one more.",
        "DESIGN 7; policy bundle",
        max_age,
    ),
    *(Check(f"no.{name}", says, "DESIGN I3; peer.proto AttestTier", run) for name, says, run in _NO),
    *(
        Check(f"no.same-{name}", says, "DESIGN I3", partial(uniform, trait=trait, what=what, times=times))
        for name, says, trait, what, times in _TRAITS
    ),
)
