"""The shape of a consent receipt's claims, strictly; the JSON Schema of them is made from it.

What needs more than one value, or a key, is judged by ``gateway.consentlog.consent_receipt``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from gateway.crypto.signed_schema import Strict
from gateway.domain.ids import Bound

_SLUG = "[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?"

Slug = Annotated[str, StringConstraints(pattern=f"^{_SLUG}$")]
Id = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9_-]{22,64}$")]
Hash = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9_-]{43}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Time = Annotated[str, StringConstraints(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")]
Controller = Annotated[str, StringConstraints(pattern=f"^city/{_SLUG}$")]
Processor = Annotated[str, StringConstraints(pattern="^gateway/.{1,300}$")]
Recipient = Annotated[str, StringConstraints(pattern=f"^operator/{_SLUG}$")]
Country = Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")]
EntryText = Annotated[str, StringConstraints(min_length=2, max_length=4096)]
ProofText = Annotated[str, StringConstraints(pattern="^c2sp\\.org/tlog-proof@v1\n")]
Seconds = Annotated[int, Field(ge=0, le=2**53 - 1)]
Index = Annotated[int, Field(ge=0, le=2**53 - 1)]


class _Told(Strict):
    """A member is there with a value, or is not there."""

    @model_validator(mode="before")
    @classmethod
    def _no_null(cls, members: Any) -> Any:
        if isinstance(members, dict) and None in members.values():
            raise ValueError("null")
        return members


class NoticeDoc(_Told):
    """The notice as it was shown: template, version, SHA-256 of the texts."""

    id: Slug
    version: Annotated[int, Field(ge=1)]
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class BasisDoc(_Told):
    """The legal basis."""

    type: Literal["dpv:Consent"]
    law: Text


class InformationDoc(_Told):
    """A kind of personal data that is given."""

    pii_type: Literal["incentive tier", "pairwise identifier"]
    pii_optional: bool
    sensitive_pii_category: bool


class WithdrawalDoc(_Told):
    """How to withdraw, and within which time that is in force everywhere (ISO 8601 duration)."""

    where: Text
    in_force_within: Annotated[str, StringConstraints(pattern="^PT[0-9]+M$")]


class PurposeDoc(_Told):
    """What the data is given for, to whom, and under which rules."""

    purpose: Slug
    purpose_zh: Text
    purpose_en: Text
    services: Annotated[list[Slug], Field(min_length=1, max_length=1)]
    lawful_basis: BasisDoc
    pii_information: Annotated[list[InformationDoc], Field(min_length=1)]
    pii_controllers: Annotated[list[Controller], Field(min_length=1, max_length=1)]
    pii_processors: Annotated[list[Processor], Field(min_length=1, max_length=1)]
    recipient_third_parties: Annotated[list[Recipient], Field(min_length=1, max_length=1)]
    collection_method: Text
    processing_method: Text
    storage_locations: Annotated[list[Controller | Processor], Field(min_length=1)]
    retention_period: Annotated[str, StringConstraints(pattern="^P[0-9]+Y$")]
    processing_locations: Annotated[list[Country], Field(min_length=1)]
    jurisdiction: Country
    withdrawal_method: WithdrawalDoc
    privacy_rights: Text


class ProcessingDoc(_Told):
    """Notice, languages and the one purpose."""

    privacy_notice: NoticeDoc
    language: Annotated[list[Annotated[str, StringConstraints(pattern="^[a-z]{2}$")]], Field(min_length=1)]
    purposes: Annotated[list[PurposeDoc], Field(min_length=1, max_length=1)]


class NameDoc(_Told):
    """A name in one language or two."""

    zh: Text | None = None
    en: Text


class PartyDoc(_Told):
    """Who one of the parties is."""

    party_id: Controller | Processor | Recipient
    party_role: Literal["dpv:DataController", "dpv:DataProcessor", "dpv:Recipient"]
    party_name: NameDoc
    party_contact: Text | None = None


class TermsDoc(_Told):
    """To whose key the token is bound, and how often it is good; without ``uses``: not counted."""

    bound: Bound
    uses: Annotated[int, Field(ge=1)] | None = None


class GivenDoc(_Told):
    """The grant."""

    event_time: Time
    event_type: Literal["dpv:ExplicitlyExpressedConsent"]
    event_state: Literal["dpv:ConsentGiven"]
    entity_id: Literal["dpv:DataSubject"]
    valid_until: Time
    terms: TermsDoc


class ChangedDoc(_Told):
    """What became of it."""

    event_time: Time
    event_type: Literal["dpv:WithdrawConsent", "dpv:ReaffirmConsent"]
    event_state: Literal[
        "dpv:ConsentWithdrawn", "tiergate:ConsentReplaced", "tiergate:ConsentPaused", "tiergate:ConsentResumed"
    ]
    entity_id: Literal["dpv:DataSubject"]


EventDoc = Annotated[GivenDoc | ChangedDoc, Field(discriminator="event_state")]


class RecordDoc(_Told):
    """The consent record; its first event is the grant, and no other."""

    schema_version: Literal["tiergate-consent-record/1"]
    record_id: Id
    pii_principal_id: Hash
    pii_processing: ProcessingDoc
    party_identification: Annotated[list[PartyDoc], Field(min_length=3, max_length=3)]
    events: Annotated[list[EventDoc], Field(min_length=1)]

    @property
    def given(self) -> GivenDoc:
        """The grant."""
        return next(event for event in self.events if isinstance(event, GivenDoc))

    @property
    def later(self) -> list[ChangedDoc]:
        """The changes, in order."""
        return [event for event in self.events if isinstance(event, ChangedDoc)]

    @model_validator(mode="after")
    def _begins_with_the_grant(self) -> Self:
        if not isinstance(self.events[0], GivenDoc) or len(self.later) != len(self.events) - 1:
            raise ValueError("a record begins with the grant, and has no other")
        return self


class RegistrationDoc(_Told):
    """The log's entry of the consent, its proof, and the key under which the entry's ``token`` is of this token."""

    entry: EntryText
    proof: ProofText
    opening: Hash


class ChangeDoc(_Told):
    """The city's signed event (RFC 8417) and, once the log has it, entry and proof: both or none."""

    model_config = ConfigDict(json_schema_extra={"dependentRequired": {"entry": ["proof"], "proof": ["entry"]}})

    event: Annotated[str, StringConstraints(min_length=16, max_length=4096)]
    entry: EntryText | None = None
    proof: ProofText | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.entry is None) != (self.proof is None):
            raise ValueError("entry and proof go together")
        return self


class ReceiptDoc(_Told):
    """Claims of a consent receipt (JWS, typ consent-receipt+jwt); record after ISO/IEC TS 27560:2023."""

    iss: Slug
    iat: Seconds
    jti: Id
    record: RecordDoc
    token: Hash
    reported: Index | None = None
    registration: RegistrationDoc | None = None
    changes: Annotated[list[ChangeDoc], Field(min_length=1)] | None = None
