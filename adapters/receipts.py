"""Consent receipts for residents: what the city has kept of a consent, signed by it (PIPL 45)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from adapters.clock import Clock
from adapters.custody import CitySigner
from adapters.reference import Reference
from adapters.store.city_store import CityStore
from adapters.store.registrations import Kept, KeptChange
from adapters.terms import Offer
from gateway.consentlog.consent_receipt import MAX_CHARS, Change, LogEvidence, ReceiptContent
from gateway.consentlog.entry import decode
from gateway.consentlog.proof import LogProof, hashes_of
from gateway.consentlog.shard import located
from gateway.crypto.consent import ConsentToken, new_id
from gateway.crypto.event import event_claims
from gateway.domain.consent_record import REPLACED, STATES, Grant, record_of, with_change
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason, TiergateError


def record_text(token: ConsentToken, agreed: Offer, reference: Reference) -> str:
    """The record of a consent as it is kept from its grant on: what she was shown may change later, this does not."""
    grant = Grant(
        id=token.id,
        subject=token.subject,
        scenario=agreed.scenario,
        operator=reference.bundle.operators[token.operator],
        uses=token.uses,
        bound=token.bound,
        granted_at=token.issued_at,
        expires_at=token.expires_at,
        template=reference.bundle.notice,
        notice=token.notice,
    )
    record = record_of(grant, reference.city, reference.directory.gateway.deployment)
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


class ConsentReceipts:
    """Makes receipts of one city's consents."""

    def __init__(self, *, keys: CitySigner, reference: Callable[[], Reference], store: CityStore, clock: Clock) -> None:
        self._keys = keys
        self._reference = reference
        self._store = store
        self._clock = clock

    def issue(self, resident: ResidentRef, consent_id: str) -> str:
        """The receipt of a consent (JWS compact), as of now.

        Raises CONSENT_UNKNOWN, also for a consent of somebody else; CONSENT_STATE for one that was granted before
        records were kept, or that was changed more often than fits.
        """
        kept = self._store.kept_of(resident, consent_id)
        if kept is None:
            raise TiergateError(Reason.CONSENT_UNKNOWN)
        if kept.record is None:
            raise TiergateError(Reason.CONSENT_STATE, "granted before records were kept")
        record: dict[str, Any] = json.loads(kept.record)
        for change in kept.changes:
            state = REPLACED if change.kind == "withdrawal" and kept.replaced else STATES[change.kind][0]
            record = with_change(record, state, event_claims(change.event)["iat"])
        registration = _registered(kept)
        content = ReceiptContent(
            city=self._reference().city.id,
            id=new_id(),
            issued_at=self._clock.now_ms() // 1000,
            record=record,
            token_hash=kept.token_hash,
            reported=kept.reported,
            registration=registration,
            opening=None if kept.registration is None else kept.registration.opening,
            changes=tuple(
                Change(self._keys.current_event(change.event), _acknowledged(change, registration))
                for change in kept.changes
            ),
        )
        text = self._keys.sign_receipt(content)
        if len(text) > MAX_CHARS:
            raise TiergateError(Reason.CONSENT_STATE, "more changes than fit a receipt")
        return text


def _registered(kept: Kept) -> LogEvidence | None:
    held = kept.registration
    if held is None or kept.checkpoint is None:
        return None
    proof = LogProof(located(held.log_index)[1], hashes_of(held.inclusion), kept.checkpoint.encode())
    return LogEvidence(held.entry, proof.to_bytes())


def _acknowledged(change: KeptChange, registration: LogEvidence | None) -> LogEvidence | None:
    """The log's entry of a change. One that names a registration waits for it: alone it would prove nothing of it."""
    if change.entry is None or change.proof is None:
        return None
    if registration is None and "consent" in decode(change.entry).fields:
        return None
    return LogEvidence(change.entry, change.proof)
