"""The consent authority: preview, grant, withdraw, list, for the city's own residents (PIPL 14, 15, 17, 23)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from adapters.clock import Clock
from adapters.custody import CityKeys
from adapters.events import EventPusher
from adapters.reference import Reference
from adapters.store.city_store import CityStore
from adapters.store.consents import ConsentRow, ListedConsent, RecordConsent, Withdraw
from adapters.terms import ConsentTerms, Offer, offer, span
from gateway.crypto.consent import ConsentToken, new_id
from gateway.crypto.event import SecurityEvent
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason, TiergateError

State = Literal["active", "withdrawn", "expired", "spent"]
DEFAULT_LIST = 50
MAX_LIST = 200


@dataclass(frozen=True, slots=True, repr=False)
class Granted:
    """A new consent. The token is returned this once and never stored. It has no ``repr``."""

    id: str
    token: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A withdrawal in force. ``log_index`` is None until the gateway has acknowledged it.

    While it has not, answers given before may stand until ``exposed_until_ms`` (Unix milliseconds): one attestation's
    lifetime.
    """

    at_ms: int
    log_index: int | None
    exposed_until_ms: int


@dataclass(frozen=True, slots=True, repr=False)
class ConsentView:
    """A consent as its giver sees it. ``ends_at``: Unix seconds of its end, by time or by withdrawal."""

    listed: ListedConsent
    state: State
    ends_at: int


class ConsentAuthority:
    """Keeps the consents of one city. ``ack_wait_s``: how long a withdrawal waits for the gateway's acknowledgement."""

    def __init__(
        self,
        *,
        keys: CityKeys,
        reference: Callable[[], Reference],
        store: CityStore,
        pusher: EventPusher,
        clock: Clock,
        attestation_lifetime_s: int,
        ack_wait_s: float,
    ) -> None:
        self._keys = keys
        self._reference = reference
        self._store = store
        self._pusher = pusher
        self._clock = clock
        self._lifetime_ms = attestation_lifetime_s * 1000
        self._ack_wait_s = ack_wait_s

    def preview(self, terms: ConsentTerms) -> Offer:
        """What she is to be shown. Raises SCENARIO_UNKNOWN, SCENARIO_NOT_OPEN or CONSENT_LIMITS."""
        return offer(terms, self._reference(), self._clock.now_ms() / 1000)

    async def grant(self, resident: ResidentRef, terms: ConsentTerms, notice_digest: str) -> Granted:
        """Record a consent and sign its token.

        Raises what ``preview`` raises; CONSENT_STATE if the notice that she saw is not the one in force now.
        """
        reference = self._reference()
        now_s = self._clock.now_ms() / 1000
        agreed = offer(terms, reference, now_s)
        if agreed.notice.digest != notice_digest:
            raise TiergateError(Reason.CONSENT_STATE, "the notice has changed: preview again")
        held = span(now_s, terms.lifetime_s)
        token = ConsentToken(
            hash=b"",
            issuer=reference.city.id,
            audience=reference.directory.gateway.deployment,
            subject=self._keys.pairwise.subject(terms.operator, resident),
            operator=terms.operator,
            scenarios={terms.scenario: agreed.scenario.purpose},
            issued_at=held.start,
            not_before=held.start,
            expires_at=held.end,
            id=new_id(),
            uses=terms.uses or None,
            notice=notice_digest,
            key_thumbprint=agreed.key_thumbprint,
        )
        text, digest = self._keys.sign_consent(token)
        row = ConsentRow(
            id=token.id,
            resident=resident,
            operator=terms.operator,
            scenario=terms.scenario,
            purpose=agreed.scenario.purpose,
            token_hash=digest,
            bound=terms.bound,
            uses=token.uses,
            notice=notice_digest,
            granted_at=held.start,
            expires_at=held.end,
        )
        await self._store.submit(RecordConsent(row))
        return Granted(token.id, text, held.end)

    async def withdraw(self, resident: ResidentRef, consent_id: str) -> Withdrawn:
        """End a consent; from the commit on, every attestation of it is rung 0. Repeating it returns the first one.

        Raises CONSENT_UNKNOWN, also for a consent of somebody else.
        """
        at_ms = self._clock.now_ms()
        reference = self._reference()
        event = SecurityEvent(
            new_id(), reference.city.id, reference.directory.gateway.deployment, "withdrawal", consent_id, at_ms // 1000
        )
        found = await self._store.submit(Withdraw(resident, consent_id, at_ms, event.id, self._keys.sign_event(event)))
        log_index = found.log_index
        if log_index is None:
            await self._pusher.wait_settled(found.event_id, self._ack_wait_s)
            log_index = self._store.withdrawal(consent_id, found.at_ms).log_index
        return Withdrawn(found.at_ms, log_index, found.at_ms + self._lifetime_ms)

    def list(self, resident: ResidentRef, limit: int) -> list[ConsentView]:
        """Her consents, newest first; ``limit`` 0 means 50, and no more than 200 are given."""
        now_s = self._clock.now_ms() / 1000
        found = self._store.consents_of(resident, min(limit or DEFAULT_LIST, MAX_LIST))
        return [_view(item, now_s) for item in found]

    def reported_index(self) -> int | None:
        """Log index up to which the gateway has reported uses; None before the first report."""
        return self._store.reported_index()


def _view(item: ListedConsent, now_s: float) -> ConsentView:
    row = item.row
    if item.withdrawn_at_ms is not None:
        return ConsentView(item, "withdrawn", min(row.expires_at, item.withdrawn_at_ms // 1000))
    if row.expires_at <= now_s:
        return ConsentView(item, "expired", row.expires_at)
    spent = row.uses is not None and item.spent >= row.uses
    return ConsentView(item, "spent" if spent else "active", row.expires_at)
