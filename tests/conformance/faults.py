"""Adapters with one fault each: what is planted, the check that is meant for it, and others that it cannot but fail."""

from __future__ import annotations

import secrets
from dataclasses import replace

import adapters.app
import adapters.authority
import adapters.handles
import adapters.question
import adapters.reference
import adapters.reports
import gateway.crypto.proof
import gateway.transport.refusals
from gateway.conformance.session import ATTEST
from gateway.errors import Reason, TiergateError
from tests.conformance import faulty_answers as answers
from tests.conformance import faulty_desk as desk
from tests.conformance import faulty_readers as readers
from tests.conformance import faulty_wire as wire
from tests.conformance.fault import Fault
from tests.conformance.faults_strict import STRICT

UNIFORM = ("no.same-shape", "no.same-lifetime", "no.same-id", "no.same-metadata")
_NO_RECORD = TiergateError(Reason.CONSENT_UNKNOWN)
FAULTS = (
    Fault("the first cut is taken as above, not at", answers.cut(1, 601), "tier.cut-1"),
    Fault("the second cut is one too high", answers.cut(2, 701), "tier.cut-2", ("tier.capped",)),
    Fault("the third cut is one too low", answers.cut(3, 799), "tier.cut-3"),
    Fault("a low score gives more than a higher one", answers.level_of("kit-low", 2), "tier.monotone"),
    Fault("the level is attested, not the rung", answers.uncapped, "tier.capped", ("batch.capped",)),
    Fault("no score is an error", answers.level_of("kit-no-score", _NO_RECORD), "no.no-score", UNIFORM),
    Fault("a stale score counts", answers.good_for(3660), "no.stale", ("tier.max-age",)),
    Fault(
        "a record that cannot be used is an error",
        answers.level_of("kit-unusable", TiergateError(Reason.SOURCE_INVALID, retry_after_s=1)),
        "no.unusable",
        UNIFORM,
    ),
    Fault("an unknown resident is an error", answers.level_of("kit-unknown", _NO_RECORD), "no.unknown", UNIFORM),
    Fault("a frozen resident is served", answers.blind_to("frozen"), "no.frozen"),
    Fault("a no is longer than a yes", answers.signing(wire.longer_no), "no.same-shape", ("no.same-id",)),
    Fault(
        "a withdrawal has no effect",
        answers.blind_to("withdrawn"),
        "consent.withdrawn",
        ("consent.withdrawn-repeat", "batch.withdrawn"),
    ),
    Fault("a repeated request brings back what was withdrawn", wire.remembers_all, "consent.withdrawn-repeat"),
    Fault("a pause has no effect", answers.blind_to("paused"), "consent.paused"),
    Fault("an attestation says more", answers.signing(points=1), "attestation.claims"),
    Fault("an attestation is of no type of its own", answers.signing(typ="JWT"), "attestation.header"),
    Fault("an attestation is signed by the event key", answers.signing(key="event"), "attestation.key"),
    Fault("an attestation lives for ten minutes", answers.outlives, "attestation.lifetime"),
    Fault(
        "an attestation is dated an hour ago",
        answers.signing(lambda item: replace(item, issued_at=item.issued_at - 3600, expires_at=item.expires_at - 3600)),
        "attestation.clock",
    ),
    Fault("an attestation names another deployment", answers.signing(aud="elsewhere"), "attestation.question"),
    Fault(
        "an attestation names another request",
        answers.signing(lambda item: item if item.request is None else replace(item, request="A" * 43)),
        "attestation.request",
    ),
    Fault("all attestations have one id", answers.signing(jti="A" * 22), "attestation.id"),
    Fault("a token lives longer than agreed", wire.longer, "consent.issued"),
    Fault(
        "one sub for all operators",
        wire.subject(lambda self, _operator, who: wire.REAL_SUBJECT(self, "x", who)),
        "pairwise.per-operator",
    ),
    Fault(
        "one sub for all people",
        wire.subject(lambda self, operator, _who: wire.REAL_SUBJECT(self, operator, "x")),
        "pairwise.per-person",
    ),
    Fault(
        "a new sub each time",
        wire.subject(lambda self, operator, _who: wire.REAL_SUBJECT(self, operator, secrets.token_hex(8))),
        "pairwise.stable",
    ),
    Fault("the status tells of another directory", wire.says_other_directory, "keys.in-force"),
    Fault("alg none is believed", readers.consents(readers.believing(lambda head: '"none"' in head)), "token.alg-none"),
    Fault("HS256 is believed", readers.consents(readers.believing(lambda head: '"HS256"' in head)), "token.alg-hs256"),
    Fault("another typ is taken", readers.consents(readers.believing(lambda head: '"JWT"' in head)), "token.typ"),
    Fault(
        "a header with more is taken",
        readers.consents(readers.believing(lambda head: '"jku"' in head)),
        "token.header-extra",
    ),
    Fault(
        "signatures are not verified",
        readers.consents(readers.unsigned),
        "token.signature-altered",
        ("token.payload-altered", "consent.withdrawn-strict", "batch.signature-altered"),
    ),
    Fault(
        "an unknown key has the wrong reason",
        readers.consents(readers.one_reason),
        "token.kid-unknown",
        ("token.key-of-another-purpose", "token.other-city", "token.issuer-forged"),
    ),
    Fault("any audience will do", readers.consents(readers.any_audience), "token.audience"),
    Fault(
        "any operator may present a token",
        readers.consents(readers.any_operator),
        "token.other-operator",
        ("consent.withdrawn-strict", "batch.order"),
    ),
    Fault("expiry has a minute's leeway", readers.consents(readers.leeway), "token.expired"),
    Fault("nbf is not looked at", readers.consents(readers.early), "token.not-yet-valid"),
    Fault(
        "any scenario will do",
        wire.any_scenario,
        "token.scenario-not-named",
        ("token.purpose", "consent.withdrawn-strict"),
    ),
    Fault("any bundle will do", wire.any_bundle, "bundle.mismatch", ("use.refusal-is-free",)),
    Fault(
        "a bound token needs no proof",
        readers.proofs(Reason.PROOF_REQUIRED),
        "proof.missing",
        ("consent.withdrawn-strict", "batch.proof-missing"),
    ),
    Fault(
        "an operator's proof is good for an hour",
        readers.proof_window("OPERATOR_PROOF_WINDOW_S", 3600),
        "proof.stale",
        ("consent.withdrawn-strict",),
    ),
    Fault(
        "a device's proof is good for as long as an operator's",
        readers.proof_window("DEVICE_PROOF_WINDOW_S", 300),
        "proof.device-stale",
    ),
    Fault("a proof may be from the future", readers.proof_window("MAX_CLOCK_AHEAD_S", 600), "proof.early"),
    Fault("a device's proof is good again", readers.proofs(Reason.PROOF_REPLAYED, mark=False), "proof.device-replayed"),
    Fault(
        "one use more than there is",
        wire.generous,
        "use.exact",
        ("use.exact-in-batch", "request.repeated-at-once", "consent.withdrawn-spent"),
    ),
    Fault(
        "no request is known",
        wire.forgetful,
        "request.repeated",
        ("request.repeated-at-once", "request.conflict", "proof.device-replayed", "handle.redeemed"),
    ),
    Fault("a conflict is not noticed", wire.no_conflicts, "request.conflict"),
    Fault("operators share their request ids", wire.one_space_of_ids, "request.per-operator", ("handle.redeemed",)),
    Fault("a batch is answered backwards", wire.any_order, "batch.order"),
    Fault("answers take longer than the deadline", wire.slow, "deadline.kept"),
    Fault("an operator may ask", wire.open_to(ATTEST, "operator"), "caller.operator"),
    Fault(
        "a refusal quotes the inside",
        wire.refusals(lambda found: found._replace(text="KeyError: 'kit'")),
        "error.fixed-text",
    ),
    Fault("a refusal has metadata", wire.refusals(wire.with_metadata), "error.nothing-more"),
    Fault("a refusal is of another domain", wire.refusals(wire.of_another_domain), "error.details"),
    Fault(
        "a refusal has a header of its own",
        lambda patch: patch.setattr(gateway.transport.refusals, "REQUEST_ID_KEY", "x-debug"),
        "wire.no-extra-metadata",
    ),
    Fault("an answer has a field that the contract lacks", wire.unknown_field, "wire.no-extra-fields"),
    Fault(
        "inclusion is not verified",
        lambda patch: patch.setattr(adapters.reports, "verify_inclusion", lambda *_: None),
        "report.inclusion",
        ("report.entry",),
    ),
    Fault("more is acknowledged than came", wire.acknowledges_more, "report.acknowledged"),
    Fault("the log's signer is not looked at", desk.any_log, "report.signer"),
    Fault("a report's outcome is not compared", desk.any_outcome, "report.outcome"),
    Fault("reports need not rise", desk.any_order_of_reports, "report.order"),
    Fault("a repeated report is not acknowledged", desk.forgets_reports, "report.repeated"),
    Fault("any terms may be consented to", desk.any_terms, "consent.limits"),
    Fault("any notice will do", desk.any_notice, "consent.stale-notice"),
    Fault("more is promised beside the notice", desk.promises_beside, "consent.notice"),
    Fault("a notice promises more than the policies", desk.promises_more, "consent.notice"),
    Fault("a notice does not say what is illustrative", desk.unmarked, "consent.notice"),
    Fault("a notice gives a lifetime in whole days", desk.rounds_the_lifetime, "consent.notice"),
    Fault("a notice says of all consents that she is there", desk.says_she_is_there, "consent.notice"),
    Fault("a code's token is kept back", desk.keeps_the_token, "handle.redeemed"),
    Fault("an unknown code is told apart", desk.tells_of_unknown_codes, "handle.unknown", ("handle.one-error",)),
    Fault("a used code is told apart", desk.tells_of_used_codes, "handle.one-error"),
    Fault("a batch has any size", desk.any_size, "batch.bounds"),
    Fault("a stranger is taken for the gateway", desk.strangers_pass, "caller.stranger", ("caller.other-app",)),
    Fault("any city's app is taken for the city's own", desk.any_app, "caller.consent-api"),
    *STRICT,
)
