"""What the log's receipts prove to a home city: of its events, and of the registrations of its consents.

An acknowledgement is worth what can be verified of it: the entry is in a log that the city trusts, and it is the entry
of exactly this event.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import NamedTuple

from gateway.consentlog.entry import Entry, decode
from gateway.consentlog.proof import LogProof
from gateway.consentlog.shard import place_of
from gateway.consentlog.trust import TrustPolicy
from gateway.crypto.event import URNS, event_claims, event_digest
from gateway.domain.consent import EventKind
from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError

OPENING_BYTES = 32
ENTRY_OF: Mapping[EventKind, str] = {
    "withdrawal": "consent_withdrawn",
    "pause": "consent_paused",
    "resumption": "consent_resumed",
    "correction": "correction",
    "contest": "contest",
    "erasure": "erasure_requested",
}
"""The type of entry that an event has to have. An event without a row is never settled: no receipt verifies for it."""
_ENTRY_OF_URN = {URNS[kind]: entry for kind, entry in ENTRY_OF.items()}


class ProvedEntry(NamedTuple):
    """An entry that is in a trusted log: where, what, and the size of the signed checkpoint that says so.

    ``log_index`` counts over all shards (``shard``), ``size`` in that of the entry alone.
    """

    log_index: int
    entry: Entry
    size: int


def prove(entry: bytes, proof: bytes, trust: TrustPolicy) -> ProvedEntry:
    """The entry, if ``proof`` (C2SP tlog-proof) leads from its exact bytes to a checkpoint that ``trust`` accepts.

    Raises PROOF_OF_LOG_INVALID, NOTE_INVALID or LOG_CORRUPT.
    """
    parsed = LogProof.parse(proof)
    verified = parsed.verify(entry, trust)
    head, found = verified.checkpoint, decode(entry)
    trust.require_time(verified, found.time)
    return ProvedEntry(place_of(head.origin, parsed.index), found, head.size)


def prove_event(event: str, city: CityId, entry: bytes, proof: bytes, trust: TrustPolicy) -> ProvedEntry:
    """The entry of one signed event of ``city``: of its kind, and naming its digest.

    Raises PROOF_OF_LOG_INVALID, NOTE_INVALID or LOG_CORRUPT.
    """
    found = prove(entry, proof, trust)
    kinds = event_claims(event).get("events")
    (kind,) = kinds if isinstance(kinds, dict) and len(kinds) == 1 else (None,)
    named = event_digest(event).hex()
    if found.entry.type != _ENTRY_OF_URN.get(str(kind)):
        raise _other("an event of another kind")
    if (found.entry.text("city"), found.entry.text("event")) != (city, named):
        raise _other("another event")
    return found


def opens(opening: bytes, token_hash: bytes, registration: Entry) -> Entry:
    """The ``consent_registered`` entry, if its token commitment opens to this token. Raises PROOF_OF_LOG_INVALID."""
    if registration.type != "consent_registered":
        raise _other("no registration")
    commitment = hmac.digest(opening, token_hash, "sha256").hex()
    if len(opening) != OPENING_BYTES or not hmac.compare_digest(commitment, registration.text("token")):
        raise _other("the registration of another token")
    return registration


def _other(what: str) -> TiergateError:
    return TiergateError(Reason.PROOF_OF_LOG_INVALID, f"the entry is of {what}")
