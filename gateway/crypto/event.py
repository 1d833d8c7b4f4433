"""Consent events: security event tokens (RFC 8417), ``typ: secevent+jwt``, signed by the home city.

A withdrawal names the consent by its ``jti``; a correction names no person and no consent: it makes the gateway drop
every live attestation of that city (I6).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.crypto import jws
from gateway.crypto.consent import MAX_CLOCK_AHEAD_S
from gateway.crypto.keys import KeyRing, PrivateKey
from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError

TYP = "secevent+jwt"
RETRY_AFTER_S = 10.0
WITHDRAWN = "urn:tiergate:event:consent-withdrawn"
CORRECTION = "urn:tiergate:event:correction"
_ID = re.compile(r"[A-Za-z0-9_-]{22,64}\Z")


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """One event. ``issued_at`` in Unix seconds; ``consent_id`` is set for a withdrawal alone."""

    id: str
    issuer: CityId
    audience: str
    kind: Literal["withdrawal", "correction"]
    consent_id: str | None
    issued_at: int


def issue_event(key: PrivateKey, kid: str, event: SecurityEvent) -> str:
    """Sign an event; ValueError for a withdrawal without a consent or a correction with one."""
    if (event.kind == "withdrawal") != (event.consent_id is not None):
        raise ValueError("consent_id")
    body: dict[str, dict[str, str]] = (
        {WITHDRAWN: {"consent": event.consent_id}} if event.consent_id is not None else {CORRECTION: {}}
    )
    return jws.issue(
        key,
        kid,
        TYP,
        {"iss": event.issuer, "aud": event.audience, "iat": event.issued_at, "jti": event.id, "events": body},
    )


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
        ((kind, body),) = events.items()
        if not isinstance(body, dict):
            raise TiergateError(Reason.EVENT_INVALID, "event body")
        members = jws.Claims(body, Reason.EVENT_INVALID)
        if kind == CORRECTION:
            members.done()
            return SecurityEvent(event_id, sender, audience, "correction", None, issued_at)
        if kind != WITHDRAWN:
            raise TiergateError(Reason.EVENT_INVALID, "event type")
        consent_id = members.text("consent", 64)
        members.done()
        if not _ID.match(consent_id):
            raise TiergateError(Reason.EVENT_INVALID, "consent id")
        return SecurityEvent(event_id, sender, audience, "withdrawal", consent_id, issued_at)
