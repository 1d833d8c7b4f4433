"""Consent receipts: ``typ: consent-receipt+jwt``, signed with the home city's consent key (RFC 7515).

Claims: ``iss`` city, ``iat``, ``jti`` of the receipt, ``record`` (``gateway.domain.consent_record``), ``token`` (the
consent token's hash, base64url), and what the log has: ``registration`` (entry, proof, opening of the commitment) and
``changes`` (of each pause, resumption and end the city's signed event; entry and proof once they are held).
``reported``: the log index up to which the city holds use reports, without which the absence of a registration would
say nothing. Their form is ``gateway.crypto.receipt_schema``, the documentation ``RECEIPTS.md`` beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn

from pydantic import ValidationError

from gateway.consentlog.receipt import ProvedEntry, opens, prove, prove_event
from gateway.consentlog.trust import TrustPolicy
from gateway.crypto import jws
from gateway.crypto.consent import read_consent, token_hash
from gateway.crypto.event import EventVerifier
from gateway.crypto.keys import KeyRing, PrivateKey, b64url
from gateway.crypto.receipt_schema import ReceiptDoc, RecordDoc, RegistrationDoc
from gateway.domain.consent import EventKind
from gateway.domain.consent_record import FINAL, GIVEN, STATES, TYPES, utc_text
from gateway.domain.directory import Directory
from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError

TYP = "consent-receipt+jwt"
MAX_CHARS = 262_144
"""Enough for some eighty changes."""


@dataclass(frozen=True, slots=True, repr=False)
class LogEvidence:
    """Exact bytes of an entry and its C2SP tlog-proof text."""

    entry: bytes
    proof: bytes

    def claims(self) -> dict[str, Any]:
        """As they stand in a receipt."""
        return {"entry": self.entry.decode("ascii"), "proof": self.proof.decode("utf-8")}


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """A signed event about the consent, and the log's evidence of it, once it is held."""

    event: str
    evidence: LogEvidence | None

    def claims(self) -> dict[str, Any]:
        """As it stands in a receipt."""
        return {"event": self.event, **({} if self.evidence is None else self.evidence.claims())}


@dataclass(frozen=True, slots=True, repr=False)
class ReceiptContent:
    """What a city knows of one consent. ``record`` lists the grant and then each of ``changes`` among its events."""

    city: CityId
    id: str
    issued_at: int
    record: Mapping[str, Any]
    token_hash: bytes
    reported: int | None = None
    registration: LogEvidence | None = None
    opening: bytes | None = None
    changes: tuple[Change, ...] = ()

    def claims(self) -> dict[str, Any]:
        """The claims as they are signed."""
        members: dict[str, Any] = {
            "iss": self.city,
            "iat": self.issued_at,
            "jti": self.id,
            "record": self.record,
            "token": b64url(self.token_hash),
        }
        if self.reported is not None:
            members["reported"] = self.reported
        if self.registration is not None and self.opening is not None:
            members["registration"] = {**self.registration.claims(), "opening": b64url(self.opening)}
        if self.changes:
            members["changes"] = [change.claims() for change in self.changes]
        return members


class ProvedChange(NamedTuple):
    """A change of a consent: its kind, the state that it led to, and its entry in the log.

    ``proved`` is None if the log had not acknowledged it when the receipt was made, or names a registration that the
    city had not been told of yet.
    """

    kind: EventKind
    state: str
    proved: ProvedEntry | None


@dataclass(frozen=True, slots=True, repr=False)
class ConsentReceipt:
    """A verified receipt. ``registration``: the entry proved to be in the log, where the city knew of one.

    ``record`` is as it was signed, ``said`` what it says. No ``repr``: it says which log entries are of one person.
    """

    city: CityId
    id: str
    issued_at: int
    record: Mapping[str, Any]
    said: RecordDoc
    token_hash: bytes
    reported: int | None
    registration: ProvedEntry | None
    changes: tuple[ProvedChange, ...]

    @property
    def state(self) -> str:
        """What was last done with the consent; its end by time is not among it."""
        return self.changes[-1].state if self.changes else GIVEN


def issue_receipt(key: PrivateKey, kid: str, content: ReceiptContent) -> str:
    """Sign a receipt."""
    return jws.issue(key, kid, TYP, content.claims())


def verify_receipt(text: str, directory: Directory, trust: TrustPolicy) -> ConsentReceipt:
    """The receipt, if everything in it holds; every member is looked at, and all of it offline.

    The city's consent key (from ``directory``) has signed it; it has the form of ``receipt_schema``, member for member,
    and names the directory's parties; each entry is in a log that ``trust`` accepts; the registration's commitment
    opens to the token's hash, and its operator, binding and end are the record's; each change's entry is of an event
    that the city's event key has signed and that names this consent, in the log's order; and it names the registration
    before it. Raises RECEIPT_INVALID; its detail names what does not hold.
    """
    try:
        return _verified(text, directory, trust)
    except TiergateError as error:
        if error.reason is Reason.RECEIPT_INVALID:
            raise
        raise TiergateError(Reason.RECEIPT_INVALID, f"{error.reason}: {error.detail}") from error
    except (ValueError, OverflowError) as error:  # text that is none (a lone surrogate), a time beyond the years
        raise TiergateError(Reason.RECEIPT_INVALID, "a value that nothing can be compared with") from error


def match_token(receipt: ConsentReceipt, text: str) -> None:
    """Return if the receipt is of this consent token and says nothing else than each of its claims.

    The city's signature on the receipt covers the token's hash, and so the claims. Raises RECEIPT_INVALID.
    """
    if token_hash(text) != receipt.token_hash:
        _refuse("the receipt is of another token")
    try:
        token = read_consent(text)
    except TiergateError as error:
        raise TiergateError(Reason.RECEIPT_INVALID, f"{error.reason}: {error.detail}") from error
    record, given, purpose = receipt.said, receipt.said.given, receipt.said.pii_processing.purposes[0]
    pairs: dict[str, tuple[object, object]] = {
        "iss": (token.issuer, receipt.city),
        "aud": ([f"gateway/{token.audience}"], purpose.pii_processors),
        "sub": (token.subject, record.pii_principal_id),
        "azp": ([f"operator/{token.operator}"], purpose.recipient_third_parties),
        "authorization_details": (token.scenarios, dict.fromkeys(purpose.services, purpose.purpose)),
        "iat": (utc_text(token.issued_at), given.event_time),
        "nbf": (utc_text(token.not_before), given.event_time),  # a record tells of no later beginning
        "exp": (utc_text(token.expires_at), given.valid_until),
        "jti": (token.id, record.record_id),
        "uses": (token.uses, given.terms.uses),
        "notice": (token.notice, record.pii_processing.privacy_notice.sha256),
        "cnf": (token.bound, given.terms.bound),
    }
    for name, (signed, said) in pairs.items():
        if signed != said:
            _refuse(f"record and token disagree: {name}")


def _verified(text: str, directory: Directory, trust: TrustPolicy) -> ConsentReceipt:
    parsed = jws.parse(text, TYP, malformed=Reason.RECEIPT_INVALID, limit=MAX_CHARS)
    peer = directory.cities.get(CityId(str(parsed.claims.get("iss"))))
    if peer is None:
        _refuse("the directory does not list its city")
    claims = jws.verify(parsed, KeyRing("consent", peer.keys), invalid=Reason.RECEIPT_INVALID)
    try:
        doc = ReceiptDoc.model_validate(claims)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        _refuse(f"{'.'.join(str(part) for part in fault['loc'])[:200]}: {fault['type']}")
    city, deployment = CityId(doc.iss), directory.gateway.deployment
    _require_parties(doc.record, city, deployment)
    digest = _bytes(doc.token)
    registration = None if doc.registration is None else _registered(doc.registration, doc.record, city, digest, trust)
    events = EventVerifier({city: KeyRing("event", peer.keys)}, deployment)
    changes = _changed(doc, city, events, trust)
    _agree(registration, [change.proved for change in changes if change.proved is not None])
    return ConsentReceipt(
        city, doc.jti, doc.iat, claims["record"], doc.record, digest, doc.reported, registration, changes
    )


def _require_parties(record: RecordDoc, city: CityId, deployment: str) -> None:
    """Return if the record names the city that signs, the directory's gateway and the one recipient, each once."""
    (purpose,) = record.pii_processing.purposes
    controller, processor, (recipient,) = f"city/{city}", f"gateway/{deployment}", purpose.recipient_third_parties
    roles = [(party.party_id, party.party_role) for party in record.party_identification]
    if roles != [
        (controller, "dpv:DataController"),
        (processor, "dpv:DataProcessor"),
        (recipient, "dpv:Recipient"),
    ]:
        _refuse("parties")
    named = (purpose.pii_controllers, purpose.pii_processors, purpose.storage_locations)
    if named != ([controller], [processor], [controller, processor]):
        _refuse("parties of the purpose")


def _registered(
    said: RegistrationDoc, record: RecordDoc, city: CityId, digest: bytes, trust: TrustPolicy
) -> ProvedEntry:
    found = prove(said.entry.encode(), said.proof.encode(), trust)
    entry = opens(_bytes(said.opening), digest, found.entry)
    logged = (
        entry.text("city"),
        [f"operator/{entry.text('operator')}"],
        entry.text("bound"),
        utc_text(entry.number("expires")),
    )
    recipients, given = record.pii_processing.purposes[0].recipient_third_parties, record.given
    if logged != (city, recipients, given.terms.bound, given.valid_until):
        _refuse("registration and record disagree")
    return found


def _changed(doc: ReceiptDoc, city: CityId, events: EventVerifier, trust: TrustPolicy) -> tuple[ProvedChange, ...]:
    """Each change, held against the record's event of the same place."""
    changes: list[ProvedChange] = []
    signed = doc.changes or []
    if len(signed) != len(doc.record.later):
        _refuse("record and changes disagree")
    for item, told in zip(signed, doc.record.later, strict=True):
        event = events.verify(item.event, sender=city, now_s=doc.iat)
        proved = None
        if item.entry is not None and item.proof is not None:
            proved = prove_event(item.event, city, item.entry.encode(), item.proof.encode(), trust)
        if event.consent_id != doc.record.record_id or told.event_state not in STATES.get(event.kind, ()):
            _refuse("a change is of another consent, or of another kind than the record says")
        if (told.event_time, told.event_type) != (utc_text(event.issued_at), TYPES[told.event_state]):
            _refuse("the time or type of a change")
        if changes and changes[-1].state in FINAL:
            _refuse("a change after the end")
        changes.append(ProvedChange(event.kind, told.event_state, proved))
    return tuple(changes)


def _agree(registration: ProvedEntry | None, changes: Sequence[ProvedEntry]) -> None:
    """The entries stand in the order of the changes; each names the registration before it, and no other."""
    for earlier, later in pairwise(changes):
        if earlier.log_index >= later.log_index:
            _refuse("changes are in another order in the log")
    for change in changes:
        before = None if registration is None or registration.log_index > change.log_index else registration.log_index
        if change.entry.fields.get("consent") != before:
            _refuse("the entry of a change is of another registration")


def _bytes(text: str) -> bytes:
    try:
        return jws.decode_segment(text.encode("ascii"))
    except ValueError as error:
        raise TiergateError(Reason.RECEIPT_INVALID, "base64url") from error


def _refuse(detail: str) -> NoReturn:
    raise TiergateError(Reason.RECEIPT_INVALID, detail)
