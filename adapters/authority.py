"""The consent authority: what a resident does about her consents (PIPL 14-17, 23). In force when it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from adapters.announce import Announced, Announcer
from adapters.clock import DAY_S, Clock, utc_day
from adapters.custody import CitySigner
from adapters.receipts import record_text
from adapters.reference import Reference
from adapters.store.city_store import CityStore
from adapters.store.consents import ChangeConsent, ConsentRow, Decline, ListedConsent, RecordConsent
from adapters.terms import ConsentTerms, Offer, offer, require_narrower, span
from gateway.crypto.consent import ConsentToken, new_id
from gateway.domain.consent import Act, EventKind, Life, State
from gateway.domain.ids import OperatorId, ResidentRef, ScenarioId
from gateway.errors import Reason, TiergateError

DEFAULT_LIST = 50
MAX_LIST = 200
_TOLD: dict[Act, EventKind] = {
    "pause": "pause",
    "resume": "resumption",
    "withdraw": "withdrawal",
    "narrow": "withdrawal",
    "renew": "withdrawal",
}
"""What the gateway is told. A consent that was replaced has ended for it, like one that was withdrawn."""


@dataclass(frozen=True, slots=True, repr=False)
class Granted:
    """A new consent. The token is returned this once and never stored. It has no ``repr``."""

    id: str
    token: str
    expires_at: int


@dataclass(frozen=True, slots=True, repr=False)
class ConsentView:
    """A consent as its giver sees it. ``ends_at``: Unix seconds of its end, by time or by withdrawal."""

    listed: ListedConsent
    state: State
    ends_at: int


class ConsentAuthority:
    """Keeps the consents of one city. ``quiet_days``: for how long nobody is asked again for what she has refused."""

    def __init__(
        self,
        *,
        keys: CitySigner,
        reference: Callable[[], Reference],
        store: CityStore,
        announcer: Announcer,
        clock: Clock,
        quiet_days: int = 30,
    ) -> None:
        self._keys = keys
        self._reference = reference
        self._store = store
        self._announcer = announcer
        self._clock = clock
        self._quiet_s = quiet_days * DAY_S

    def preview(self, terms: ConsentTerms, *, asked_of: ResidentRef | None = None) -> Offer:
        """What she is to be shown. ``asked_of``: whom an operator wants to ask; None when it is she who asks.

        Raises SCENARIO_UNKNOWN, SCENARIO_NOT_OPEN or CONSENT_LIMITS; CONSENT_DECLINED (with a retry time) if she has
        refused the same lately (PIPL 16: not to be asked over and over).
        """
        now_s = self._clock.now_ms() / 1000
        found = offer(terms, self._reference(), now_s)
        if asked_of is not None:
            left_s = self._store.declined_until(asked_of, terms.operator, terms.scenario) - now_s
            if left_s > 0:
                raise TiergateError(Reason.CONSENT_DECLINED, retry_after_s=left_s)
        return found

    async def decline(self, resident: ResidentRef, operator: OperatorId, scenario: ScenarioId) -> int:
        """Remember that she refused; until when (Unix seconds) she is not to be asked again.

        Raises SCENARIO_UNKNOWN or SCENARIO_NOT_OPEN: nobody can have asked her for that.
        """
        at_ms = self._clock.now_ms()
        reference = self._reference()
        reference.bundle.scenario_for(scenario, operator, reference.city.id, utc_day(at_ms / 1000))
        until = at_ms // 1000 + self._quiet_s
        await self._store.submit(Decline(resident, operator, scenario, at_ms, until))
        return until

    async def grant(self, resident: ResidentRef, terms: ConsentTerms, notice_digest: str) -> Granted:
        """Record a consent and sign its token.

        Raises what ``preview`` raises of the terms; CONSENT_STATE if the notice that she saw is not the one in force
        now; DEVICE_KEY_REUSED for a device's key that was made for another operator, or for somebody else (I6).
        """
        record, granted = self.prepare(resident, terms, notice_digest)
        await self._store.submit(record)
        return granted

    async def replace(
        self, resident: ResidentRef, consent_id: str, act: Act, terms: ConsentTerms, notice_digest: str
    ) -> tuple[Granted, Announced]:
        """Narrow or renew a consent: end it, and make a new one with a token of its own, both in one transaction.

        A narrowed one allows nothing that the old one did not; a renewed one is of the same operator and scenario.
        Raises what ``grant`` raises; CONSENT_UNKNOWN; CONSENT_STATE where the act has no place; CONSENT_LIMITS where
        the new terms do not fit the old ones.
        """
        record, granted = self.prepare(resident, terms, notice_digest)
        row = record.row

        def fits(old: ConsentRow, life: Life) -> None:
            if (old.operator, old.scenario) != (row.operator, row.scenario):
                raise TiergateError(Reason.CONSENT_LIMITS, "another operator or scenario is another consent")
            if act == "narrow":
                require_narrower(row, old, life)

        return granted, await self._change(resident, consent_id, act, record, fits)

    async def change(self, resident: ResidentRef, consent_id: str, act: Act) -> Announced:
        """Pause, resume or withdraw a consent. From the commit on, a consent that is not active attests rung 0.

        Repeating a pause or withdrawal returns the first one. Raises CONSENT_UNKNOWN, also for a consent of somebody
        else, and CONSENT_STATE.
        """
        return await self._change(resident, consent_id, act)

    async def _change(
        self,
        resident: ResidentRef,
        consent_id: str,
        act: Act,
        successor: RecordConsent | None = None,
        fits: Callable[[ConsentRow, Life], None] | None = None,
    ) -> Announced:
        event = self._announcer.event(_TOLD[act], consent_id)
        change = ChangeConsent(resident, consent_id, act, self._clock.now_ms, event, successor, fits)
        return await self._announcer.settled(await self._store.submit(change))

    def prepare(self, resident: ResidentRef, terms: ConsentTerms, notice_digest: str) -> tuple[RecordConsent, Granted]:
        """The write that records a consent, and its token, which is good for nothing until that is committed.

        Raises what ``grant`` raises, but DEVICE_KEY_REUSED, which is the write's.
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
            of_device=terms.device_key is not None,
        )
        text, digest = self._keys.sign_consent(token)
        row = ConsentRow(
            id=token.id,
            resident=resident,
            operator=terms.operator,
            scenario=terms.scenario,
            purpose=agreed.scenario.purpose,
            token_hash=digest,
            bound=token.bound,
            uses=token.uses,
            notice=notice_digest,
            granted_at=held.start,
            expires_at=held.end,
        )
        record = RecordConsent(row, record_text(token, agreed, reference), self._keys.device_key(token))
        return record, Granted(token.id, text, held.end)

    def list(self, resident: ResidentRef, limit: int, consent_id: str | None = None) -> list[ConsentView]:
        """Her consents, newest first; ``limit`` 0 means 50, and no more than 200 are given.

        ``consent_id``: this one alone; nothing if it is not hers.
        """
        now_s = self._clock.now_ms() / 1000
        if consent_id is not None:
            one = self._store.consent_of(resident, consent_id)
            return [] if one is None else [_view(one, now_s)]
        found = self._store.consents_of(resident, min(limit or DEFAULT_LIST, MAX_LIST))
        return [_view(item, now_s) for item in found]

    def reported_index(self) -> int | None:
        """Log index up to which the gateway has reported uses; None before the first report."""
        return self._store.reported_index()


def _view(item: ListedConsent, now_s: float) -> ConsentView:
    ends_at = item.row.expires_at
    if item.ended_at_ms is not None:
        ends_at = min(ends_at, item.ended_at_ms // 1000)
    return ConsentView(item, item.life.state(now_s), ends_at)
