"""What a consent receipt says of a grant: a record after ISO/IEC TS 27560:2023, with the names of its fields.

The PII principal is the pairwise identifier, never the city's account (I6); the personal data is the incentive tier,
never a score (I1). How each field is filled, and which of the specification's are not held, is in
``gateway/consentlog/RECEIPTS.md``; terms that begin with ``dpv:`` are of the W3C Data Privacy Vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.domain.bundle import NoticeTemplate
from gateway.domain.consent import EventKind
from gateway.domain.directory import CityPeer
from gateway.domain.scenario import Operator, Scenario

SCHEMA_VERSION = "tiergate-consent-record/1"
GIVEN = "dpv:ConsentGiven"
WITHDRAWN, REPLACED = "dpv:ConsentWithdrawn", "tiergate:ConsentReplaced"
PAUSED, RESUMED = "tiergate:ConsentPaused", "tiergate:ConsentResumed"
FINAL = frozenset({WITHDRAWN, REPLACED})
STATES: Mapping[EventKind, tuple[str, ...]] = {
    "pause": (PAUSED,),
    "resumption": (RESUMED,),
    "withdrawal": (WITHDRAWN, REPLACED),
}
"""The states that a consent's events lead to. One that a narrower or renewed one has replaced is told as withdrawn."""
TYPES: Mapping[str, str] = {
    GIVEN: "dpv:ExplicitlyExpressedConsent",
    PAUSED: "dpv:WithdrawConsent",
    RESUMED: "dpv:ReaffirmConsent",
    WITHDRAWN: "dpv:WithdrawConsent",
    REPLACED: "dpv:WithdrawConsent",
}
"""What she did to bring a state about: how the consent was expressed, or which control over it was used. A pause
withdraws until it is reaffirmed, and what is replaced is withdrawn."""
RETENTION = "P3Y"
"""PIPL 56: records of processing are kept for at least three years."""
IN_FORCE_WITHIN = "PT5M"
"""The longest that an answer given before a withdrawal stands anywhere (I7)."""
_BASIS = "PIPL 13(1)(1), 14, 23"
_RIGHTS = "PIPL 44-50: explanation, access, copy, correction, deletion, contest; in the app of the home city"


@dataclass(frozen=True, slots=True, repr=False)
class Grant:
    """One consent as it was given. Times in Unix seconds; ``uses`` None: not counted. ``notice``: digest, hex.

    ``bound``: to whose key the token is bound: ``none``, ``operator`` or ``device``.
    """

    id: str
    subject: str
    scenario: Scenario
    operator: Operator
    uses: int | None
    bound: str
    granted_at: int
    expires_at: int
    template: NoticeTemplate
    notice: str


def utc_text(seconds: int) -> str:
    """Unix seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def record_of(grant: Grant, city: CityPeer, deployment: str) -> dict[str, Any]:
    """The record of a grant, its one event being that it was given; JSON values without floats."""
    controller, processor, recipient = f"city/{city.id}", f"gateway/{deployment}", f"operator/{grant.operator.id}"
    scenario = grant.scenario
    terms: dict[str, Any] = {"bound": grant.bound}
    if grant.uses is not None:
        terms["uses"] = grant.uses
    return {
        "schema_version": SCHEMA_VERSION,
        "record_id": grant.id,
        "pii_principal_id": grant.subject,
        "pii_processing": {
            "privacy_notice": {"id": grant.template.id, "version": grant.template.version, "sha256": grant.notice},
            "language": ["zh", "en"],
            "purposes": [
                {
                    "purpose": scenario.purpose,
                    "purpose_zh": scenario.purpose_zh or scenario.purpose,
                    "purpose_en": scenario.purpose_en or scenario.purpose,
                    "services": [scenario.id],
                    "lawful_basis": {"type": "dpv:Consent", "law": _BASIS},
                    "pii_information": [
                        _information("incentive tier"),
                        _information("pairwise identifier"),
                    ],
                    "pii_controllers": [controller],
                    "pii_processors": [processor],
                    "recipient_third_parties": [recipient],
                    "collection_method": "attested by the home city when the recipient asks",
                    "processing_method": "automated decision by the published rules of the incentive",
                    "storage_locations": [controller, processor],
                    "retention_period": RETENTION,
                    "processing_locations": ["CN"],
                    "jurisdiction": "CN",
                    "withdrawal_method": {
                        "where": "the app of the home city, at any time",
                        "in_force_within": IN_FORCE_WITHIN,
                    },
                    "privacy_rights": _RIGHTS,
                }
            ],
        },
        "party_identification": [
            {
                "party_id": controller,
                "party_role": "dpv:DataController",
                "party_name": {"zh": city.name_zh, "en": city.name_en},
                "party_contact": "the app of the home city",
            },
            {"party_id": processor, "party_role": "dpv:DataProcessor", "party_name": {"en": deployment}},
            {
                "party_id": recipient,
                "party_role": "dpv:Recipient",
                "party_name": {"zh": grant.operator.name_zh, "en": grant.operator.name_en},
                "party_contact": grant.operator.contact,
            },
        ],
        "events": [
            {
                "event_time": utc_text(grant.granted_at),
                "event_type": TYPES[GIVEN],
                "event_state": GIVEN,
                "entity_id": "dpv:DataSubject",
                "valid_until": utc_text(grant.expires_at),
                "terms": terms,
            }
        ],
    }


def with_change(record: dict[str, Any], state: str, at_s: int) -> dict[str, Any]:
    """The record with one event more: to which state it led, and the Unix time at which its event was signed."""
    event = {
        "event_time": utc_text(at_s),
        "event_type": TYPES[state],
        "event_state": state,
        "entity_id": "dpv:DataSubject",
    }
    return {**record, "events": [*record["events"], event]}


def _information(kind: str) -> dict[str, Any]:
    return {"pii_type": kind, "pii_optional": False, "sensitive_pii_category": False}
