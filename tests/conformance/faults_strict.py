"""Faults of one place that is less strict than the others: a caller, a batch, a withdrawn token, a kind of no."""

from __future__ import annotations

import secrets

from gateway.conformance.session import BATCH, CONSENT, GRANT, PREVIEW, REPORT, WITHDRAW
from gateway.errors import Reason
from tests.conformance import faulty_answers as answers
from tests.conformance import faulty_readers as readers
from tests.conformance import faulty_wire as wire
from tests.conformance.fault import Fault

_WITHDRAWING = (
    "no.same-shape", "no.same-lifetime", "no.same-id", "no.same-metadata", "batch.withdrawn",
    *(f"consent.withdrawn{which}" for which in ("", "-repeat", "-spent", "-strict")),
)  # fmt: skip
STRICT = (
    Fault(
        "operators' proofs are not verified", readers.forged("_by_operator"), "proof.signature-altered",
        ("batch.proof-altered",),
    ),
    Fault("devices' proofs are not verified", readers.forged("_by_device"), "proof.device-signature-altered"),
    *(
        Fault(f"{method.rpartition('/')[2]} is open to the role {role}", wire.open_to(method, role), f"caller.{check}")
        for method in (BATCH, REPORT)
        for role, check in (("operator", "operator"), ("city", "other-city"), ("city-app", "app"))
    ),
    *(
        Fault(f"{method.rpartition('/')[2]} is open to the role {role}", wire.app_open_to(method, role),
              "caller.consent-api")
        for method, role in (
            (PREVIEW, "operator"),
            (GRANT, "gateway"),
            (WITHDRAW, "city"),
            (f"{CONSENT}ConsentService/IssueHandle", "operator"),
            (f"{CONSENT}ResidentService/FreezeResident", "city"),
        )
    ),
    Fault("a withdrawal has no effect in a batch", wire.in_batch(answers.blind_to("withdrawn")), "batch.withdrawn"),
    Fault("in a batch the level is attested", wire.in_batch(answers.uncapped), "batch.capped"),
    Fault("in a batch tokens are not verified", wire.in_batch(readers.unsigned_tokens), "batch.signature-altered"),
    Fault(
        "in a batch operators' proofs are not verified", wire.in_batch(readers.forged("_by_operator")),
        "batch.proof-altered",
    ),
    Fault(
        "in a batch a bound token needs no proof", wire.in_batch(readers.proofs(Reason.PROOF_REQUIRED)),
        "batch.proof-missing",
    ),
    Fault("one bad proof refuses a batch", wire.all_or_nothing(Reason.PROOF_INVALID), "batch.proof-altered"),
    Fault("a withdrawn token needs no proof", readers.ended_need_no_proof, "consent.withdrawn-strict"),
    Fault("a withdrawn token covers every scenario", readers.ended_cover_everything, "consent.withdrawn-strict"),
    Fault("a no lives for less time", answers.no(expires_at=lambda end: end - 7), "no.same-lifetime"),
    Fault("the id of a no begins in its own way", answers.no(id=lambda name: f"AAAAAA{name[6:]}"), "no.same-id"),
    Fault(
        "the id of a no is a number", answers.no(id=lambda name: f"{secrets.randbelow(10**22):022}"), "no.same-id"
    ),
    Fault("a no has metadata of its own", answers.marked_no, "no.same-metadata"),
    Fault("a score is good for a day longer", answers.good_for(36), "tier.max-age"),
    Fault("a score is good for a day less", answers.good_for(34), "tier.max-age"),
    Fault("the host's decision is not looked at", answers.open_if("not-honoured"), "scenario.not-honoured"),
    Fault("the city's own decision is not looked at", answers.open_if("not-vouched"), "scenario.not-vouched"),
    Fault("nobody can withdraw", wire.unserved(WITHDRAW), "wire.served", _WITHDRAWING),
)  # fmt: skip
