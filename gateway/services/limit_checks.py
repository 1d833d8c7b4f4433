"""How often one consent may be asked about: else an operator could poll it and watch a person's tier move.

Tested before anything that the operator cannot see, so that the limit is the same whatever the answer would be (I3).
The key is the token's hash alone: a verified token names the one operator that may present it.

A retry is free while the decision that it asks for again stands. Once that has ended a known request id is evaluated
anew, which shows as much as a new one, and counts; from ten minutes after its first decision on it is refused, so that
one use, or one proof of a device, is no standing question about the person. What ends without a decision has shown
nothing and is given back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from gateway.domain.decision import Decision
from gateway.errors import Reason, TiergateError
from gateway.ports import Clock, DecisionStore, consent_key
from gateway.rates import KeyRates
from gateway.services.check import Check
from gateway.services.trust import standing_decision


class LimitChecks:
    """Counts checks by consent and tells retries from new questions."""

    def __init__(self, *, clock: Clock, store: DecisionStore, rates: KeyRates) -> None:
        self._clock = clock
        self._store = store
        self._rates = rates

    def admit(self, check: Check, stale: TiergateError | None, now_ms: int) -> None:
        """Settle whether the request is known, and count it if it is new.

        The look-up is made only where something depends on it: where it can save a question to the city, where the
        proof is ``stale``, and where the rate is used up.
        Raises ``stale``, PROOF_REPLAYED, REQUEST_CONFLICT, REQUEST_ENDED, RATE_LIMITED.
        """
        key, monotonic = check.token.hash, self._clock.monotonic()
        if check.live is not None and stale is None and not self._rates.take(key, monotonic):
            check.counted_at_ms = now_ms
            return
        consent = consent_key(check.token.issuer, check.token.id)
        known = self._store.known_request(check.request, check.body, consent, check.bundle.digest, now_ms)
        if known is None and stale is not None:
            raise stale
        if known is None and check.proof is not None and self._store.proof_used(check.proof):
            raise TiergateError(Reason.PROOF_REPLAYED)  # the log's transaction decides; this spares the city
        if known is None or not known.running:
            self._rates.require(key, monotonic)
            check.counted_at_ms = now_ms
        check.known = standing_decision(known, check, now_ms / 1000)

    def settle(self, check: Check, decision: Decision) -> None:
        """What was counted on the short way and turned out to be a retry is given back.

        Of twins that come within one millisecond both are counted: neither is older than the other.
        """
        if check.counted_at_ms is not None and decision.decided_at_ms < check.counted_at_ms:
            self.give_back(check)

    def give_back(self, check: Check) -> None:
        """Uncount a check."""
        if check.counted_at_ms is not None:
            self._rates.give_back(check.token.hash)
            check.counted_at_ms = None

    @contextmanager
    def deciding(self, checks: Collection[Check]) -> Iterator[None]:
        """Give back what this block, however it ends, leaves undecided: who asks again in trouble keeps her rate.

        ``checks`` is looked at when it ends. A cancelled call's decision may be in the log: then it stays counted, and
        a retry that is told it costs nothing.
        """
        try:
            yield
        finally:
            for check in checks:
                if not check.decided:
                    self.give_back(check)
