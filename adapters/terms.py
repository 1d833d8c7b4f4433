"""The rules of what may be consented to: pure, from the bundle and the directory alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.clock import utc_day
from adapters.reference import Reference
from adapters.store.consents import ConsentRow
from gateway.crypto.keys import parse_jwk, thumbprint
from gateway.domain.consent import Life
from gateway.domain.evaluate import at_best
from gateway.domain.ids import Bound, OperatorId, ScenarioId
from gateway.domain.notice import RenderedNotice, render_notice
from gateway.domain.scenario import Scenario, Terms
from gateway.errors import Reason, TiergateError

MINUTE_S = MIN_LIFETIME_S = 60


@dataclass(frozen=True, slots=True)
class ConsentTerms:
    """What a resident is asked to consent to.

    ``lifetime_s``: whole minutes, in seconds. ``uses`` 0: not counted. ``bound``: to the operator's key;
    ``device_key``: to this key of her device (public JWK).
    """

    operator: OperatorId
    scenario: ScenarioId
    lifetime_s: int
    uses: int
    bound: bool
    device_key: Mapping[str, str] | None = None

    @property
    def holder(self) -> Bound:
        """Whose key the token will be bound to."""
        return "operator" if self.bound else "none" if self.device_key is None else "device"


@dataclass(frozen=True, slots=True)
class Offer:
    """Terms that may be consented to, with the notice that belongs to them.

    ``key_thumbprint``: the operator's or the device's key that the token will be bound to; None if to none.
    ``best``: what it can bring anybody at best.
    """

    terms: ConsentTerms
    scenario: Scenario
    notice: RenderedNotice
    key_thumbprint: str | None
    best: Terms
    illustrative: bool


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when a consent holds: Unix seconds on whole minutes."""

    start: int
    end: int


def offer(terms: ConsentTerms, reference: Reference, now_s: float) -> Offer:
    """Check the terms and render their notice.

    Raises SCENARIO_UNKNOWN, SCENARIO_NOT_OPEN, HOME_NOT_HONOURED, HOST_NOT_VOUCHED, CONSENT_LIMITS or
    DEVICE_KEY_INVALID.
    """
    bundle = reference.bundle
    scenario = bundle.scenario_for(terms.scenario, terms.operator, reference.city.id, utc_day(now_s))
    limits = scenario.consent
    if not MIN_LIFETIME_S <= terms.lifetime_s <= limits.max_lifetime_s or terms.lifetime_s % MINUTE_S:
        raise TiergateError(Reason.CONSENT_LIMITS, "lifetime: whole minutes, within the scenario's limit")
    if terms.bound and terms.device_key is not None:
        raise TiergateError(Reason.CONSENT_LIMITS, "a token is bound to the operator or to a device, not to both")
    if terms.uses != 1 and not terms.bound and terms.device_key is None:  # DESIGN, I4
        raise TiergateError(Reason.CONSENT_LIMITS, "a token that is good more than once is bound to somebody's key")
    if not 0 <= terms.uses <= limits.max_uses or (terms.uses == 0 and not limits.unlimited):
        raise TiergateError(Reason.CONSENT_LIMITS, "number of uses")
    best = at_best(bundle, scenario, reference.city.id)
    return Offer(
        terms=terms,
        scenario=scenario,
        notice=render_notice(
            bundle.notice,
            bundle.operators[terms.operator],
            scenario,
            reference.city.name_zh,
            reference.city.name_en,
            lifetime_s=terms.lifetime_s,
            uses=terms.uses or None,
            bound=terms.holder,
            best=best,
        ),
        key_thumbprint=_key_thumbprint(terms, reference),
        best=best.terms,
        illustrative=best.illustrative,
    )


def require_narrower(new: ConsentRow, old: ConsentRow, life: Life) -> None:
    """Return if ``new`` allows less than ``old`` in something and more in nothing. Raises CONSENT_LIMITS.

    What is left of a count is what counts: the uses that were spent are gone.
    """
    left = None if old.uses is None else old.uses - life.spent
    wider = (
        new.expires_at > old.expires_at
        or (left is not None and (new.uses is None or new.uses > left))
        or old.bound not in {"none", new.bound}  # another holder is somebody else, not less
    )
    if wider:
        raise TiergateError(Reason.CONSENT_LIMITS, "wider than the consent that it is to narrow")
    if (new.expires_at, new.uses, new.bound) == (old.expires_at, left, old.bound):
        raise TiergateError(Reason.CONSENT_LIMITS, "as wide as the consent that it is to narrow")


def _key_thumbprint(terms: ConsentTerms, reference: Reference) -> str | None:
    if terms.bound:
        return _proof_key(reference, terms.operator)
    if terms.device_key is None:
        return None
    try:
        parse_jwk(terms.device_key)
    except TiergateError as error:
        raise TiergateError(Reason.DEVICE_KEY_INVALID, error.detail) from error
    return thumbprint(terms.device_key)


def _proof_key(reference: Reference, operator: OperatorId) -> str:
    """Thumbprint of the operator's first proof key in the directory, where an operator puts the one to use next."""
    peer = reference.directory.operators.get(operator)
    for key in () if peer is None else peer.keys:
        if key.purpose == "proof":
            return key.kid
    raise TiergateError(Reason.CONSENT_LIMITS, "the operator has no proof key to bind a token to")


def span(now_s: float, lifetime_s: int) -> Span:
    """Start rounded down and end rounded up to whole minutes: a finer time would be a mark of the person."""
    now = int(now_s)
    return Span(now - now % 60, -(-(now + lifetime_s) // 60) * 60)
