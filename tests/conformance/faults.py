"""Adapters with one fault each: what is planted, the check that is meant for it, and others that it cannot but fail."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

import adapters.app
import adapters.authority
import adapters.handles
import adapters.question
import adapters.reference
import adapters.reports
import adapters.store.attestations as stored
import gateway.crypto.proof
import gateway.transport.refusals
from adapters import attest as attesting
from adapters.consult import Platform, Reading
from adapters.custody import Custody
from adapters.pairwise import PairwiseSecret
from adapters.reference import Reference
from adapters.rpc import AttestationServicer, StatusServicer, UseReportServicer
from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.conformance.session import ATTEST, claims_of
from gateway.conformance.tokens import b64url_bytes
from gateway.crypto import consent, jws
from gateway.crypto.attestation import TYP, Attestation
from gateway.crypto.consent import ConsentToken, ConsentVerifier
from gateway.crypto.proof import ProofVerifier
from gateway.domain.ids import OperatorId
from gateway.domain.scenario import Scenario
from gateway.errors import Reason, TiergateError

Plant = Callable[[pytest.MonkeyPatch], None]
Attested = Awaitable[peer.AttestTierResponse]


@dataclass(frozen=True)
class Fault:
    """``check`` is meant to catch it; ``also`` fail with it, and nothing else does."""

    name: str
    plant: Plant
    check: str
    also: tuple[str, ...] = ()


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


def never_stale(patch: pytest.MonkeyPatch) -> None:
    real = Reference.concordance
    patch.setattr(Reference, "concordance", lambda self, now_s: replace(real(self, now_s), max_age_days=3660))


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


def uncapped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Scenario, "cap", lambda _self, level: level)


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


def consents(verify: Callable[[ConsentVerifier, str, OperatorId, float], ConsentToken]) -> Plant:
    """Tokens are read in another way."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        class Faulty(ConsentVerifier):
            def verify(self, text: str, *, operator: OperatorId, now_s: float) -> ConsentToken:
                return verify(self, text, operator, now_s)

        patch.setattr(adapters.reference, "ConsentVerifier", Faulty)

    return plant


def _any_audience(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
    token = rings._verified(text)
    rings._deployment, kept = token.audience, rings._deployment
    try:
        return ConsentVerifier.verify(rings, text, operator=operator, now_s=now_s)
    finally:
        rings._deployment = kept


def _any_operator(rings: ConsentVerifier, text: str, _operator: OperatorId, now_s: float) -> ConsentToken:
    return ConsentVerifier.verify(rings, text, operator=rings._verified(text).operator, now_s=now_s)


def _leeway(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
    try:
        return ConsentVerifier.verify(rings, text, operator=operator, now_s=now_s)
    except TiergateError as error:
        if error.reason is not Reason.TOKEN_EXPIRED:
            raise
        token = ConsentVerifier.verify(rings, text, operator=operator, now_s=now_s - 60)
        return replace(token, expires_at=int(now_s) + 60)


def _early(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
    return ConsentVerifier.verify(rings, text, operator=operator, now_s=max(now_s, rings._verified(text).not_before))


def _believing(accept: Callable[[str], bool]) -> Callable[[ConsentVerifier, str, OperatorId, float], ConsentToken]:
    """A verifier that takes tokens with some header without looking at their signature."""

    def verify(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
        if text.count(".") == 2 and accept(b64url_bytes(text.split(".")[0]).decode()):
            return consent._shape(claims_of(text), consent.token_hash(text))
        return ConsentVerifier.verify(rings, text, operator=operator, now_s=now_s)

    return verify


def _unsigned(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
    """The key is looked up; what it would say is not asked."""
    try:
        return ConsentVerifier.verify(rings, text, operator=operator, now_s=now_s)
    except TiergateError as error:
        if error.reason is not Reason.TOKEN_SIGNATURE_INVALID:
            raise
        return consent._shape(claims_of(text), consent.token_hash(text))


def _one_reason(rings: ConsentVerifier, text: str, operator: OperatorId, now_s: float) -> ConsentToken:
    try:
        return ConsentVerifier.verify(rings, text, operator=operator, now_s=now_s)
    except TiergateError as error:
        if error.reason is Reason.TOKEN_KEY_UNKNOWN:
            raise TiergateError(Reason.TOKEN_SIGNATURE_INVALID) from error
        raise


def proofs(forgive: Reason, *, mark: bool = True) -> Plant:
    """One refusal of proofs is passed over; without ``mark`` no proof is ever remembered."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        class Faulty(ProofVerifier):
            def verify(self, text: str, token: ConsentToken, *, scenario: Any, now_s: float) -> bytes | None:
                try:
                    found = super().verify(text, token, scenario=scenario, now_s=now_s)
                except TiergateError as error:
                    if error.reason is not forgive:
                        raise
                    return None
                return found if mark else None

        patch.setattr(adapters.reference, "ProofVerifier", Faulty)

    return plant


def proof_window(name: str, seconds: int) -> Plant:
    return lambda patch: patch.setattr(gateway.crypto.proof, name, seconds)


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
    real = adapters.question.examine

    def examine(question: Any, reference: Any, now_s: float) -> Any:
        return real(replace(question, bundle=reference.bundle.digest), reference, now_s)

    patch.setattr(attesting, "examine", examine)


def slow(patch: pytest.MonkeyPatch) -> None:
    """The sixth question about one token, and each after that, takes longer than a deadline."""
    asked: Counter[str] = Counter()

    async def attest(real: Any, self: Any, request: Any, caller: Any) -> Any:
        asked[request.token] += 1
        if request.token and asked[request.token] > 5:
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
    real = adapters.question.request_key
    patch.setattr(adapters.question, "request_key", lambda _operator, request_id: real(OperatorId("x"), request_id))


def no_conflicts(patch: pytest.MonkeyPatch) -> None:
    for module in (stored, attesting):
        patch.setattr(module, "require_same", lambda _known, _body: None)


def any_order(patch: pytest.MonkeyPatch) -> None:
    real: Any = AttestationServicer.BatchAttestTier

    async def batch(self: Any, request: Any, caller: Any) -> Any:
        answer = await real(self, request, caller)
        return peer.BatchAttestTierResponse(results=list(answer.results)[::-1])

    patch.setattr(AttestationServicer, "BatchAttestTier", batch)


def open_to(method: str, role: str) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        table = adapters.app.ADAPTER_ACCESS
        patch.setattr(adapters.app, "ADAPTER_ACCESS", {**table, method: table[method] | {role}})

    return plant


def subject(make: Callable[[Any, str, str], str]) -> Plant:
    return lambda patch: patch.setattr(PairwiseSecret, "subject", make)


_REAL_SUBJECT: Any = PairwiseSecret.subject


def refusals(change: Callable[[Any], Any]) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        real = gateway.transport.refusals.status_of
        patch.setattr(gateway.transport.refusals, "status_of", lambda error: change(real(error)))

    return plant


def _with_metadata(status: Any) -> Any:
    from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # it has none

    found = status_pb2.Status.FromString(status.details)
    info = error_details_pb2.ErrorInfo()
    found.details[0].Unpack(info)
    info.metadata["cause"] = "internal"
    found.details[0].Pack(info)
    return status._replace(details=found.SerializeToString())


def _of_another_domain(status: Any) -> Any:
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
    real = adapters.authority.span
    patch.setattr(adapters.authority, "span", lambda now_s, lifetime_s: real(now_s, lifetime_s + 3600))


def any_scenario(patch: pytest.MonkeyPatch) -> None:
    real = adapters.question.require_covered

    def require_covered(token: Any, scenario: Any) -> None:
        try:
            real(token, scenario)
        except TiergateError as error:
            if error.reason is not Reason.TOKEN_SCENARIO_NOT_COVERED:
                raise

    patch.setattr(adapters.question, "require_covered", require_covered)


def _longer_no(attestation: Attestation) -> Attestation:
    return attestation if attestation.rung else replace(attestation, id=f"{attestation.id}x")


_NO_RECORD = TiergateError(Reason.CONSENT_UNKNOWN)
FAULTS = (
    Fault("the first cut is taken as above, not at", cut(1, 601), "tier.cut-1"),
    Fault("the second cut is one too high", cut(2, 701), "tier.cut-2", ("tier.capped",)),
    Fault("the third cut is one too low", cut(3, 799), "tier.cut-3"),
    Fault("a low score gives more than a higher one", level_of("kit-low", 2), "tier.monotone"),
    Fault("the level is attested, not the rung", uncapped, "tier.capped"),
    Fault("no score is an error", level_of("kit-no-score", _NO_RECORD), "no.no-score", ("no.same-shape",)),
    Fault("a stale score counts", never_stale, "no.stale"),
    Fault("a record that cannot be used is an error",
          level_of("kit-unusable", TiergateError(Reason.SOURCE_INVALID, retry_after_s=1)), "no.unusable",
          ("no.same-shape",)),
    Fault("an unknown resident is an error", level_of("kit-unknown", _NO_RECORD), "no.unknown", ("no.same-shape",)),
    Fault("a frozen resident is served", blind_to("frozen"), "no.frozen"),
    Fault("a no is longer than a yes", signing(_longer_no), "no.same-shape"),
    Fault("a withdrawal has no effect", blind_to("withdrawn"), "consent.withdrawn", ("consent.withdrawn-repeat",)),
    Fault("a repeated request brings back what was withdrawn", remembers_all, "consent.withdrawn-repeat"),
    Fault("a pause has no effect", blind_to("paused"), "consent.paused"),
    Fault("an attestation says more", signing(points=1), "attestation.claims"),
    Fault("an attestation is of no type of its own", signing(typ="JWT"), "attestation.header"),
    Fault("an attestation is signed by the event key", signing(key="event"), "attestation.key"),
    Fault("an attestation lives for ten minutes", outlives, "attestation.lifetime"),
    Fault("an attestation is dated an hour ago",
          signing(lambda item: replace(item, issued_at=item.issued_at - 3600, expires_at=item.expires_at - 3600)),
          "attestation.clock"),
    Fault("an attestation names another deployment", signing(aud="elsewhere"), "attestation.question"),
    Fault("an attestation names another request",
          signing(lambda item: item if item.request is None else replace(item, request="A" * 43)),
          "attestation.request"),
    Fault("all attestations have one id", signing(jti="A" * 22), "attestation.id"),
    Fault("a token lives longer than agreed", longer, "consent.issued"),
    Fault("one sub for all operators", subject(lambda self, _operator, who: _REAL_SUBJECT(self, "x", who)),
          "pairwise.per-operator"),
    Fault("one sub for all people", subject(lambda self, operator, _who: _REAL_SUBJECT(self, operator, "x")),
          "pairwise.per-person"),
    Fault("a new sub each time", subject(lambda self, operator, _who: _REAL_SUBJECT(self, operator,
          secrets.token_hex(8))), "pairwise.stable"),
    Fault("the status tells of another directory", says_other_directory, "keys.in-force"),
    Fault("alg none is believed", consents(_believing(lambda head: '"none"' in head)), "token.alg-none"),
    Fault("HS256 is believed", consents(_believing(lambda head: '"HS256"' in head)), "token.alg-hs256"),
    Fault("another typ is taken", consents(_believing(lambda head: '"JWT"' in head)), "token.typ"),
    Fault("a header with more is taken", consents(_believing(lambda head: '"jku"' in head)), "token.header-extra"),
    Fault("signatures are not verified", consents(_unsigned), "token.signature-altered", ("token.payload-altered",)),
    Fault("an unknown key has the wrong reason", consents(_one_reason), "token.kid-unknown",
          ("token.key-of-another-purpose", "token.other-city", "token.issuer-forged")),
    Fault("any audience will do", consents(_any_audience), "token.audience"),
    Fault("any operator may present a token", consents(_any_operator), "token.other-operator", ("batch.order",)),
    Fault("expiry has a minute's leeway", consents(_leeway), "token.expired"),
    Fault("nbf is not looked at", consents(_early), "token.not-yet-valid"),
    Fault("any scenario will do", any_scenario, "token.scenario-not-named", ("token.purpose",)),
    Fault("any bundle will do", any_bundle, "bundle.mismatch", ("use.refusal-is-free",)),
    Fault("a bound token needs no proof", proofs(Reason.PROOF_REQUIRED), "proof.missing"),
    Fault("an operator's proof is good for an hour", proof_window("OPERATOR_PROOF_WINDOW_S", 3600), "proof.stale"),
    Fault("a device's proof is good for as long as an operator's", proof_window("DEVICE_PROOF_WINDOW_S", 300),
          "proof.device-stale"),
    Fault("a proof may be from the future", proof_window("MAX_CLOCK_AHEAD_S", 600), "proof.early"),
    Fault("a device's proof is good again", proofs(Reason.PROOF_REPLAYED, mark=False), "proof.device-replayed"),
    Fault("one use more than there is", generous, "use.exact",
          ("use.exact-in-batch", "request.repeated-at-once", "consent.withdrawn-spent")),
    Fault("no request is known", forgetful, "request.repeated",
          ("request.repeated-at-once", "request.conflict", "consent.withdrawn-repeat", "proof.device-replayed",
           "handle.redeemed")),
    Fault("a conflict is not noticed", no_conflicts, "request.conflict"),
    Fault("operators share their request ids", one_space_of_ids, "request.per-operator",
          ("handle.redeemed",)),
    Fault("a batch is answered backwards", any_order, "batch.order"),
    Fault("answers take longer than the deadline", slow, "deadline.kept"),
    Fault("an operator may ask", open_to(ATTEST, "operator"), "caller.operator"),
    Fault("a refusal quotes the inside", refusals(lambda found: found._replace(text="KeyError: 'kit'")),
          "error.fixed-text"),
    Fault("a refusal has metadata", refusals(_with_metadata), "error.nothing-more"),
    Fault("a refusal is of another domain", refusals(_of_another_domain), "error.details"),
    Fault("a refusal has a header of its own",
          lambda patch: patch.setattr(gateway.transport.refusals, "REQUEST_ID_KEY", "x-debug"),
          "wire.no-extra-metadata"),
    Fault("an answer has a field that the contract lacks", unknown_field, "wire.no-extra-fields"),
    Fault("inclusion is not verified", lambda patch: patch.setattr(adapters.reports, "verify_inclusion",
          lambda *_: None), "report.inclusion", ("report.entry",)),
    Fault("more is acknowledged than came", acknowledges_more, "report.acknowledged"),
)  # fmt: skip
