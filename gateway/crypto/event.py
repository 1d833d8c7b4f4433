"""Consent events: security event tokens (RFC 8417), ``typ: secevent+jwt``, signed by the home city.

A withdrawal, pause, resumption or request for erasure names the consent by its ``jti``. A correction names no person
and no consent: it makes the gateway drop every live attestation of that city (I6). A contest names a decision by its
place in the log, and how far the case about it has come; it changes no outcome (I3).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.crypto import jws
from gateway.crypto.consent import MAX_CLOCK_AHEAD_S
from gateway.crypto.keys import KeyRing, PrivateKey, algorithm_of
from gateway.domain.consent import STEPS, Contested, EventKind
from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError

TYP = "secevent+jwt"
RETRY_AFTER_S = 10.0
MAX_INDEX = 10**15 - 1
URNS: Mapping[EventKind, str] = {
    "withdrawal": "urn:tiergate:event:consent-withdrawn",
    "pause": "urn:tiergate:event:consent-paused",
    "resumption": "urn:tiergate:event:consent-resumed",
    "correction": "urn:tiergate:event:correction",
    "contest": "urn:tiergate:event:decision-contested",
    "erasure": "urn:tiergate:event:erasure-requested",
}
"""Event types, as members of ``events`` (RFC 8417, 2.2)."""
_KINDS = {urn: kind for kind, urn in URNS.items()}
_ID = re.compile(r"[A-Za-z0-9_-]{22,64}\Z")


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """One event. ``issued_at`` in Unix seconds; ``subject``: the consent's id, nothing (a correction), or the case."""

    id: str
    issuer: CityId
    audience: str
    kind: EventKind
    subject: str | Contested | None
    issued_at: int

    @property
    def consent_id(self) -> str | None:
        """The consent that it names, if it names one."""
        return self.subject if isinstance(self.subject, str) else None


def _payload(event: SecurityEvent) -> str:
    subject = event.subject
    if not isinstance(subject, _subject_of(event.kind)):
        raise ValueError("subject")  # noqa: TRY004 - one error type for every event that is no event
    body: dict[str, Any] = {}
    if isinstance(subject, str):
        body = {"consent": subject}
    elif subject is not None:
        body = subject._asdict()
    return jws.payload_segment(
        {
            "iss": event.issuer,
            "aud": event.audience,
            "iat": event.issued_at,
            "jti": event.id,
            "events": {URNS[event.kind]: body},
        }
    )


def _subject_of(kind: EventKind) -> type:
    match kind:
        case "correction":
            return type(None)
        case "contest":
            return Contested
        case _:
            return str


def issue_event(key: PrivateKey, kid: str, event: SecurityEvent) -> str:
    """Sign an event; ValueError for one whose subject is not of its kind."""
    return jws.sign_payload(key, kid, TYP, _payload(event))


def draft_event(event: SecurityEvent) -> str:
    """An event that nobody has signed yet: no verifier takes it, and :func:`reissue_event` signs it.

    ValueError as :func:`issue_event`.
    """
    return f".{_payload(event)}."


def reissue_event(key: PrivateKey, kid: str, text: str) -> str:
    """An event of our own as ``key`` signs it: the same bytes and id, so that it is still the same event to its taker.

    Returned as it is when it names this key already. ``text`` comes from our own store: it is not verified.
    """
    header, payload, _ = text.split(".")
    current = header == jws.header_segment(algorithm_of(key), kid, TYP)
    return text if current else jws.sign_payload(key, kid, TYP, payload)


def event_claims(text: str) -> dict[str, Any]:
    """The claims of an event of our own, whoever has signed it, or nobody yet: NOT verified."""
    return jws.strict_object(jws.decode_segment(text.split(".")[1].encode("ascii")))


def event_digest(text: str) -> bytes:
    """SHA-256 of what an event says, the payload's characters (32 bytes); it is what the log keeps of it.

    Not of the whole token: an event that waits while its city's key changes is signed anew, and stays the same event.
    Raises EVENT_INVALID for what has no payload.
    """
    _, dot, rest = text.partition(".")
    payload, second, _ = rest.partition(".")
    if not (dot and second and payload and text.isascii()):
        raise TiergateError(Reason.EVENT_INVALID, "not three segments")
    return hashlib.sha256(payload.encode("ascii")).digest()


class EventVerifier:
    """Verifies events of one city at a time under one version of the directory."""

    def __init__(self, rings: Mapping[CityId, KeyRing], deployment: str) -> None:
        self._rings = rings
        self._deployment = deployment

    def verify(self, text: str, *, sender: CityId, now_s: float) -> SecurityEvent:
        """The event, if ``sender`` signed it for this deployment. Raises EVENT_INVALID or EVENT_DEFERRED.

        An old event is as good as a new one: redelivery after a long outage must still be taken.
        """
        try:
            parsed = jws.parse(text, TYP, malformed=Reason.EVENT_INVALID)
            ring = self._rings.get(sender)
            if ring is None:
                raise TiergateError(Reason.EVENT_INVALID, "sender has no event key")
            claims = jws.Claims(jws.verify(parsed, ring), Reason.EVENT_INVALID)
        except TiergateError as error:
            if error.reason is Reason.EVENT_INVALID:
                raise
            # a key that this side does not know yet may be one that the city has begun to use a moment too early
            deferred = error.reason is Reason.TOKEN_KEY_UNKNOWN
            reason = Reason.EVENT_DEFERRED if deferred else Reason.EVENT_INVALID
            raise TiergateError(
                reason, error.reason.value, retry_after_s=RETRY_AFTER_S if deferred else None
            ) from error
        issuer, audience = claims.text("iss"), claims.text("aud")
        issued_at, event_id = claims.integer("iat"), claims.text("jti")
        events = claims.take("events")
        claims.done()
        if issuer != sender or audience != self._deployment or not _ID.match(event_id):
            raise TiergateError(Reason.EVENT_INVALID, "iss, aud or jti")
        if issued_at > now_s + MAX_CLOCK_AHEAD_S:
            # clocks that disagree are mended; a withdrawal that was refused for good would be lost to the log
            raise TiergateError(Reason.EVENT_DEFERRED, "from the future", retry_after_s=RETRY_AFTER_S)
        if not isinstance(events, dict) or len(events) != 1:
            raise TiergateError(Reason.EVENT_INVALID, "events")
        ((urn, body),) = events.items()
        kind = _KINDS.get(urn)
        if kind is None:
            raise TiergateError(Reason.EVENT_INVALID, "event type")
        if not isinstance(body, dict):
            raise TiergateError(Reason.EVENT_INVALID, "event body")
        return SecurityEvent(event_id, sender, audience, kind, _read_subject(kind, body), issued_at)


def _read_subject(kind: EventKind, body: Mapping[str, Any]) -> str | Contested | None:
    members = jws.Claims(body, Reason.EVENT_INVALID)
    subject: str | Contested | None = None
    if kind == "contest":
        decision, word = members.integer("decision"), members.text("step", 16)
        step = next((step for step in STEPS if step == word), None)
        if step is None or not 0 <= decision <= MAX_INDEX:
            raise TiergateError(Reason.EVENT_INVALID, "contest")
        subject = Contested(decision, step)
    elif kind != "correction":
        subject = members.text("consent", 64)
        if not _ID.match(subject):
            raise TiergateError(Reason.EVENT_INVALID, "consent id")
    members.done()
    return subject
