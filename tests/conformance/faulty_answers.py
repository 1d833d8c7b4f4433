"""Faults of what a city finds and signs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from typing import Any

import pytest

import adapters.store.attestations as stored
import gateway.domain.bundle
import gateway.transport.chain
import gateway.transport.server
from adapters import attest
from adapters.consult import Platform, Reading
from adapters.custody import Custody
from adapters.question import examine
from adapters.reference import Reference
from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.conformance.session import ATTEST, claims_of, rung_of
from gateway.crypto import jws
from gateway.crypto.attestation import TYP, Attestation
from gateway.domain.acceptance import Standing, standing_of
from gateway.domain.scenario import Scenario
from gateway.errors import TiergateError

Plant = Callable[[pytest.MonkeyPatch], None]
Attested = Awaitable[peer.AttestTierResponse]


def cut(number: int, minimum: int) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        real = Reference.concordance

        def concordance(self: Reference, now_s: float) -> Any:
            found = real(self, now_s)
            cuts = [replace(item, minimum=minimum) if place == number else item for place, item in
                    enumerate(found.cuts, start=1)]  # fmt: skip
            return replace(found, cuts=tuple(cuts))

        patch.setattr(Reference, "concordance", concordance)

    return plant


def good_for(days: int) -> Plant:
    """Scores are good for another time than the policies say."""
    real = Reference.concordance
    return lambda patch: patch.setattr(
        Reference, "concordance", lambda self, now_s: replace(real(self, now_s), max_age_days=days)
    )


def open_if(*standings: Standing) -> Plant:
    """A scenario is taken for open on both sides though it stands like this."""

    def standing(*given: Any) -> Standing:
        found = standing_of(*given)
        return "open" if found in standings else found

    return lambda patch: patch.setattr(gateway.domain.bundle, "standing_of", standing)


def no(**changes: Any) -> Plant:
    """A no is signed with these members changed, each by a function of the right one."""
    return signing(
        lambda item: (
            item
            if item.rung
            else replace(item, **{name: change(getattr(item, name)) for name, change in changes.items()})
        )
    )


def marked_no(patch: pytest.MonkeyPatch) -> None:
    """A no comes with metadata that the protocol knows, and a yes does not."""
    real = gateway.transport.chain.serve_unary

    def serve(steps: Any, method: Any, handler: Any) -> Any:
        found: Any = real(steps, method, handler)
        if method.name != ATTEST:
            return found

        async def call(data: bytes, context: Any) -> bytes:
            reply: bytes = await found.unary_unary(data, context)
            if not rung_of(peer.AttestTierResponse.FromString(reply)):
                context.set_trailing_metadata((("date", "today"),))
            return reply

        return found._replace(unary_unary=call)

    patch.setattr(gateway.transport.server, "serve_unary", serve)


def level_of(resident: str, answer: int | TiergateError) -> Plant:
    """Another level, or an error, for one resident."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = Platform.level

        async def level(self: Platform, who: Any, concordance: Any, now_s: float) -> Reading:
            if who != resident:
                return await real(self, who, concordance, now_s)
            if isinstance(answer, TiergateError):
                raise answer
            return Reading(answer, "score")

        patch.setattr(Platform, "level", level)

    return plant


class _Uncapped(Scenario):
    """A scenario that takes every tier level for a rung of its own."""

    def cap(self, level: int) -> int:
        return level


def uncapped(patch: pytest.MonkeyPatch) -> None:
    """Where it attests, and not where it tells what a consent brings at best."""

    def uncapping(*given: Any) -> Any:
        found = examine(*given)
        members = {item.name: getattr(found.scenario, item.name) for item in fields(Scenario)}
        return replace(found, scenario=_Uncapped(**members))

    patch.setattr(attest, "examine", uncapping)


def blind_to(state: str) -> Plant:
    """Lose one clause of the question for a consent's state."""
    clauses = {
        "withdrawn": "WHEN c.withdrawn_at_ms IS NOT NULL THEN 'ended'",
        "paused": "WHEN c.paused_at_ms IS NOT NULL THEN 'paused'",
        "frozen": "WHEN f.resident IS NOT NULL THEN 'frozen'",
    }
    assert clauses[state] in stored._STANDING
    return lambda patch: patch.setattr(stored, "_STANDING", stored._STANDING.replace(clauses[state], ""))


def signing(change: Callable[[Attestation], Attestation] = lambda item: item, *, key: str = "attestation",
            typ: str = TYP, **claims: Any) -> Plant:  # fmt: skip
    """Another attestation than the right one is signed; ``None`` leaves a claim out."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = Custody.sign_attestation

        def sign(self: Custody, attestation: Attestation) -> str:
            if not claims and typ == TYP and key == "attestation":
                return real(self, change(attestation))
            found = {**claims_of(real(self, attestation)), **claims}
            listed, used = self._use("attestation"), self._use(key)  # type: ignore[arg-type]
            return jws.issue(used.key, listed.kid, typ, {n: v for n, v in found.items() if v is not None})

        patch.setattr(Custody, "sign_attestation", sign)

    return plant


def outlives(patch: pytest.MonkeyPatch) -> None:
    real = Custody.sign_attestation

    def sign(self: Custody, attestation: Attestation) -> str:
        found = claims_of(real(self, attestation))
        used = self._use("attestation")
        return jws.issue(used.key, used.kid, TYP, {**found, "exp": found["iat"] + 600})

    patch.setattr(Custody, "sign_attestation", sign)
