"""Consent receipts: ``typ: consent-receipt+jwt``, signed with the home city's consent key (RFC 7515).

Claims: ``iss`` city, ``iat``, ``jti`` of the receipt, ``record`` (``gateway.domain.consent_record``), ``token`` (the
consent token's hash, base64url), and what the log has: ``registration`` (entry, proof, opening of the commitment) and
``changes`` (of each pause, resumption and end the city's signed event; entry and proof once they are held).
``reported``: the log index up to which the city holds use reports, without which the absence of a registration would
say nothing. The JSON Schema is
``consent_receipt.schema.json``, the documentation ``RECEIPTS.md``, both beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn

from gateway.consentlog.receipt import OPENING_BYTES, ProvedEntry, opens, prove, prove_event
from gateway.consentlog.trust import TrustPolicy
from gateway.crypto import jws
from gateway.crypto.event import EventVerifier
from gateway.crypto.keys import KeyRing, PrivateKey, b64url
from gateway.domain.consent import EventKind
from gateway.domain.consent_record import FINAL, GIVEN, SCHEMA_VERSION, STATES, utc_text
from gateway.domain.directory import Directory
from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError

TYP = "consent-receipt+jwt"
MAX_CHARS = 262_144
"""Enough for some eighty changes."""
_HASH_BYTES = 32


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

    ``proved`` is None if the log had not acknowledged it when the receipt was made.
    """

    kind: EventKind
    state: str
    proved: ProvedEntry | None


@dataclass(frozen=True, slots=True, repr=False)
class ConsentReceipt:
    """A verified receipt. ``registration``: the entry proved to be in the log, where the city knew of one.

    No ``repr``: it says which log entries are of one person.
    """

    city: CityId
    id: str
    issued_at: int
    record: Mapping[str, Any]
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

    The city's consent key (from ``directory``) has signed it; each entry is in a log that ``trust`` accepts; the
    registration's commitment opens to the token's hash, and its operator, binding and end are the record's; each
    change's entry is of an event that the city's event key has signed and that names this consent, in the log's order;
    and it names the registration before it. Raises RECEIPT_INVALID; its detail names what does not hold.
    """
    try:
        return _verified(text, directory, trust)
    except TiergateError as error:
        if error.reason is Reason.RECEIPT_INVALID:
            raise
        raise TiergateError(Reason.RECEIPT_INVALID, f"{error.reason}: {error.detail}") from error
    except (ValueError, OverflowError) as error:  # text that is none (a lone surrogate), a time beyond the years
        raise TiergateError(Reason.RECEIPT_INVALID, "a value that nothing can be compared with") from error


def _verified(text: str, directory: Directory, trust: TrustPolicy) -> ConsentReceipt:
    parsed = jws.parse(text, TYP, malformed=Reason.RECEIPT_INVALID, limit=MAX_CHARS)
    peer = directory.cities.get(CityId(str(parsed.claims.get("iss"))))
    if peer is None:
        _refuse("the directory does not list its city")
    ring = KeyRing("consent", peer.keys)
    claims = jws.Claims(jws.verify(parsed, ring, invalid=Reason.RECEIPT_INVALID), Reason.RECEIPT_INVALID)
    city = CityId(claims.text("iss"))
    issued_at, receipt_id = claims.integer("iat"), claims.text("jti")
    token_hash = _bytes(claims.text("token"), _HASH_BYTES)
    reported = claims.optional_integer("reported", 0, 2**53 - 1)
    record = _Record(claims.take("record"))
    registration = None
    if claims.has("registration"):
        registration = _registered(claims.take("registration"), record, city, token_hash, trust)
    changes: tuple[ProvedChange, ...] = ()
    if claims.has("changes"):
        events = EventVerifier({city: KeyRing("event", peer.keys)}, directory.gateway.deployment)
        changes = _changed(claims.take("changes"), record, city, issued_at, events, trust)
    claims.done()
    if len(changes) != len(record.later):
        _refuse("record and changes disagree")
    _agree(registration, [change.proved for change in changes if change.proved is not None])
    return ConsentReceipt(city, receipt_id, issued_at, record.members, token_hash, reported, registration, changes)


class _Record:
    """The members of a record that something else in the receipt is compared with."""

    def __init__(self, members: object) -> None:
        try:
            if not isinstance(members, dict) or members["schema_version"] != SCHEMA_VERSION:
                _refuse("a record of another schema version")
            self.members: Mapping[str, Any] = members
            self.id: str = members["record_id"]
            (purpose,) = members["pii_processing"]["purposes"]
            (self.recipient,) = purpose["recipient_third_parties"]
            given, *self.later = members["events"]
            self.valid_until: str = given["valid_until"]
            self.bound: str = given["terms"]["bound"]
            state = given["event_state"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TiergateError(Reason.RECEIPT_INVALID, "record") from error
        if state != GIVEN:
            _refuse("a record that does not begin with the grant")


def _registered(value: object, record: _Record, city: CityId, token_hash: bytes, trust: TrustPolicy) -> ProvedEntry:
    members = _members(value)
    opening = _bytes(members.text("opening"), OPENING_BYTES)
    found = prove(*_evidence(members), trust)
    members.done()
    entry = opens(opening, token_hash, found.entry)
    said = (
        entry.text("city"),
        f"operator/{entry.text('operator')}",
        entry.text("bound"),
        utc_text(entry.number("expires")),
    )
    if said != (city, record.recipient, record.bound, record.valid_until):
        _refuse("registration and record disagree")
    return found


def _changed(
    values: object, record: _Record, city: CityId, issued_at: int, events: EventVerifier, trust: TrustPolicy
) -> tuple[ProvedChange, ...]:
    """Each change, held against the record's event of the same place."""
    if not isinstance(values, list) or not 0 < len(values) <= len(record.later):
        _refuse("changes")
    changes: list[ProvedChange] = []
    for value, said in zip(values, record.later, strict=False):
        members = _members(value)
        text = members.text("event", jws.MAX_TOKEN_CHARS)
        event = events.verify(text, sender=city, now_s=issued_at)
        proved = prove_event(text, city, *_evidence(members), trust) if members.has("entry") else None
        members.done()
        told = _members(said)
        state, time = told.text("event_state"), told.text("event_time")
        if event.consent_id != record.id or state not in STATES.get(event.kind, ()):
            _refuse("a change is of another consent, or of another kind than the record says")
        if time != utc_text(event.issued_at):
            _refuse("the time of a change")
        if changes and changes[-1].state in FINAL:
            _refuse("a change after the end")
        changes.append(ProvedChange(event.kind, state, proved))
    return tuple(changes)


def _agree(registration: ProvedEntry | None, changes: Sequence[ProvedEntry]) -> None:
    """The entries stand in the order of the changes; each names the registration before it, none that came after."""
    for earlier, later in pairwise(changes):
        if earlier.log_index >= later.log_index:
            _refuse("changes are in another order in the log")
    if registration is None:
        return
    for change in changes:
        before = registration.log_index if registration.log_index < change.log_index else None
        if change.entry.fields.get("consent") != before:
            _refuse("the entry of a change is of another registration")


def _members(value: object) -> jws.Claims:
    if not isinstance(value, dict):
        _refuse("evidence")
    return jws.Claims(value, Reason.RECEIPT_INVALID)


def _evidence(members: jws.Claims) -> tuple[bytes, bytes]:
    return members.text("entry", MAX_CHARS).encode(), members.text("proof", MAX_CHARS).encode()


def _bytes(text: str, length: int) -> bytes:
    try:
        data = jws.decode_segment(text.encode("ascii"))
    except ValueError as error:
        raise TiergateError(Reason.RECEIPT_INVALID, "base64url") from error
    if len(data) != length:
        _refuse("length of a value")
    return data


def _refuse(detail: str) -> NoReturn:
    raise TiergateError(Reason.RECEIPT_INVALID, detail)
