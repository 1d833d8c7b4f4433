"""Faults around the handlers: repeated requests, batches, callers, refusals, reports."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

import adapters.app
import adapters.authority
import adapters.handles
import adapters.reference
import adapters.reports
import adapters.store.attestations as stored
import gateway.crypto.proof
import gateway.transport.refusals
import gateway.transport.server
from adapters import attest as attesting
from adapters import rpc_consents, rpc_residents
from adapters.pairwise import PairwiseSecret
from adapters.reference import Reference
from adapters.rpc import AttestationServicer, StatusServicer, UseReportServicer
from adapters.terms import span
from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.crypto.attestation import Attestation
from gateway.crypto.consent import require_covered
from gateway.domain.ids import OperatorId, request_key
from gateway.errors import Reason, TiergateError
from gateway.transport.access import ADAPTER_ACCESS
from gateway.transport.errors import status_of

Plant = Callable[[pytest.MonkeyPatch], None]


Attested = Awaitable[peer.AttestTierResponse]


def servicer(change: Callable[[Callable[[Any, Any, Any], Attested], Any, Any, Any], Attested]) -> Plant:
    """Something around AttestTier."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real: Any = AttestationServicer.AttestTier

        async def attest(self: Any, request: Any, caller: Any) -> Any:
            return await change(real, self, request, caller)

        patch.setattr(AttestationServicer, "AttestTier", attest)

    return plant


def remembers_all(patch: pytest.MonkeyPatch) -> None:
    """Known requests are answered from memory, whatever has happened since."""
    known: dict[bytes, Any] = {}

    async def attest(real: Any, self: Any, request: Any, caller: Any) -> Any:
        key = request.SerializeToString()
        if key not in known:
            known[key] = await real(self, request, caller)
        return known[key]

    servicer(attest)(patch)


def any_bundle(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Reference, "under", lambda self, _digest, _now_s: self)


def slow(patch: pytest.MonkeyPatch) -> None:
    """The ninth question about one token takes longer than a deadline."""
    asked: Counter[str] = Counter()

    async def attest(real: Any, self: Any, request: Any, caller: Any) -> Any:
        asked[request.token] += 1
        if request.token and asked[request.token] == 9:
            await asyncio.sleep(2.5)
        return await real(self, request, caller)

    servicer(attest)(patch)


def unknown_field(patch: pytest.MonkeyPatch) -> None:
    async def attest(real: Any, self: Any, request: Any, caller: Any) -> Any:
        answer = await real(self, request, caller)
        return peer.AttestTierResponse.FromString(answer.SerializeToString() + b"\xa0\x06\x01")

    servicer(attest)(patch)


def generous(patch: pytest.MonkeyPatch) -> None:
    """One use more than there is."""
    real = stored.require_uses

    def require_uses(known: Any, uses: int | None, spent: int) -> None:
        real(known, None if uses is None else uses + 1, spent)

    for module in (stored, attesting):
        patch.setattr(module, "require_uses", require_uses)


def forgetful(patch: pytest.MonkeyPatch) -> None:
    """No request is ever known."""
    patch.setattr(adapters.question, "request_key", lambda _operator, _request_id: secrets.token_bytes(32))


def one_space_of_ids(patch: pytest.MonkeyPatch) -> None:
    real = request_key
    patch.setattr(adapters.question, "request_key", lambda _operator, request_id: real(OperatorId("x"), request_id))


def no_conflicts(patch: pytest.MonkeyPatch) -> None:
    for module in (stored, attesting):
        patch.setattr(module, "require_same", lambda _known, _body, _now: None)


def any_order(patch: pytest.MonkeyPatch) -> None:
    real: Any = AttestationServicer.BatchAttestTier

    async def batch(self: Any, request: Any, caller: Any) -> Any:
        answer = await real(self, request, caller)
        return peer.BatchAttestTierResponse(results=list(answer.results)[::-1])

    patch.setattr(AttestationServicer, "BatchAttestTier", batch)


def open_to(method: str, role: str) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        table = ADAPTER_ACCESS
        patch.setattr(adapters.app, "ADAPTER_ACCESS", {**table, method: table[method] | {role}})

    return plant


def app_open_to(method: str, role: str) -> Plant:
    """The consent API asks the table alone, and the table is wrong."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        open_to(method, role)(patch)
        for module in (rpc_consents, rpc_residents):
            patch.setattr(module, "require_own_app", lambda _caller, _city: None)

    return plant


def in_batch(plant: Plant) -> Plant:
    """A fault that is there only while a batch is answered."""

    def planted(patch: pytest.MonkeyPatch) -> None:
        real: Any = AttestationServicer.BatchAttestTier

        async def batch(self: Any, request: Any, caller: Any) -> Any:
            with pytest.MonkeyPatch.context() as inner:
                plant(inner)
                return await real(self, request, caller)

        patch.setattr(AttestationServicer, "BatchAttestTier", batch)

    return planted


def all_or_nothing(reason: Reason) -> Plant:
    """One item that is refused for this reason refuses its batch."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real: Any = AttestationServicer.BatchAttestTier

        async def batch(self: Any, request: Any, caller: Any) -> Any:
            answer = await real(self, request, caller)
            if any(item.error.reason == reason.value for item in answer.results):
                raise TiergateError(reason)
            return answer

        patch.setattr(AttestationServicer, "BatchAttestTier", batch)

    return plant


def unserved(method: str) -> Plant:
    """A method is UNIMPLEMENTED."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = gateway.transport.server._handlers
        patch.setattr(
            gateway.transport.server,
            "_handlers",
            lambda *given: {name: found for name, found in real(*given).items() if name != method},
        )

    return plant


def subject(make: Callable[[Any, str, str], str]) -> Plant:
    return lambda patch: patch.setattr(PairwiseSecret, "subject", make)


REAL_SUBJECT: Any = PairwiseSecret.subject


def refusals(change: Callable[[Any], Any]) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        real = status_of
        patch.setattr(gateway.transport.refusals, "status_of", lambda error: change(real(error)))

    return plant


def with_metadata(status: Any) -> Any:
    from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # it has none

    found = status_pb2.Status.FromString(status.details)
    info = error_details_pb2.ErrorInfo()
    found.details[0].Unpack(info)
    info.metadata["cause"] = "internal"
    found.details[0].Pack(info)
    return status._replace(details=found.SerializeToString())


def of_another_domain(status: Any) -> Any:
    return status._replace(details=status.details.replace(b"tiergate", b"somebody"))


def acknowledges_more(patch: pytest.MonkeyPatch) -> None:
    real: Any = UseReportServicer.ReportUses

    async def report(self: Any, request: Any, caller: Any) -> Any:
        answer = await real(self, request, caller)
        return peer.ReportUsesResponse(acknowledged_index=answer.acknowledged_index + 1)

    patch.setattr(UseReportServicer, "ReportUses", report)


def says_other_directory(patch: pytest.MonkeyPatch) -> None:
    real: Any = StatusServicer.GetInForce

    async def in_force(self: Any, request: Any, caller: Any) -> Any:
        answer = await real(self, request, caller)
        answer.directory_version += 1
        return answer

    patch.setattr(StatusServicer, "GetInForce", in_force)


def longer(patch: pytest.MonkeyPatch) -> None:
    real = span
    patch.setattr(adapters.authority, "span", lambda now_s, lifetime_s: real(now_s, lifetime_s + 3600))


def any_scenario(patch: pytest.MonkeyPatch) -> None:
    real = require_covered

    def covered(token: Any, scenario: Any) -> None:
        try:
            real(token, scenario)
        except TiergateError as error:
            if error.reason is not Reason.TOKEN_SCENARIO_NOT_COVERED:
                raise

    patch.setattr(adapters.question, "require_covered", covered)


def longer_no(attestation: Attestation) -> Attestation:
    return attestation if attestation.rung else replace(attestation, id=f"{attestation.id}x")
