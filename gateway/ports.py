"""What the services need from outside, as narrow contracts. Implementations: ``storage``; fakes in tests.

What they need of a city is declared where it is asked: ``services.ask_cities`` and ``services.report_uses``.

MUST sentences here are held by the contract suite ``tests/contract/test_store.py``, which every store runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from gateway.domain.consent import Contested, EventKind
from gateway.domain.decision import Decision
from gateway.domain.ids import Bound, BundleDigest, CityId, OperatorId, ScenarioId
from gateway.errors import TiergateError


class Clock(Protocol):
    """Time, injected. One reference time is taken per operation."""

    def now_ms(self) -> int:
        """Unix milliseconds, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; for lifetimes (I7)."""
        ...


def consent_key(city: CityId, consent_id: str) -> bytes:
    """Key of a consent in the gateway's store: 32 bytes, SHA-256 over (city, jti)."""
    return hashlib.sha256(f"{city}\0{consent_id}".encode()).digest()


@dataclass(frozen=True, slots=True)
class AttestationRecord:
    """A verified attestation as kept beside the log: its id (``jti``) and its exact characters (JWS compact)."""

    id: str
    jws: str
    digest: bytes = field(init=False)
    """SHA-256 of the characters: 32 bytes."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", hashlib.sha256(self.jws.encode("ascii")).digest())


@dataclass(frozen=True, slots=True)
class DecisionDraft:
    """A decision about to be logged.

    ``request`` and ``consent`` are the keys above, ``token_hash`` and ``body`` SHA-256 digests; times are Unix
    milliseconds, ``consent_expires_s`` Unix seconds. ``rung`` is what the attestation allows; the store lowers it to 0
    when the consent has been withdrawn by the time of the commit. ``asked_at_size`` is the log's end before the city
    was asked for the attestation: a correction of that city at this index or later has made it void. ``grain_ms`` is
    the scenario's time grain: times are rounded to it in the entry (down, and ``valid_until`` up), so that the log
    holds no movement profile; the stored decision keeps its exact times for as long as its request is known. ``proof``
    is the mark of a proof that is good once (32 bytes), if the token asks for one and the request is not a known one.
    """

    request: bytes
    body: bytes
    operator: OperatorId
    city: CityId
    scenario: ScenarioId
    bundle: BundleDigest
    rung: int
    decided_at_ms: int
    valid_until_ms: int
    consent: bytes
    token_hash: bytes
    bound: Bound
    consent_expires_s: int
    attestation: AttestationRecord
    asked_at_size: int
    grain_ms: int = 1
    proof: bytes | None = None


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """A verified event of a home city. ``consent`` is the key of the one that it names (I6: a correction names none).

    ``digest``: see ``crypto.event.event_digest``; ``contested`` is set for a contest alone.
    """

    city: CityId
    event_id: str
    kind: EventKind
    consent: bytes | None
    digest: bytes
    received_at_ms: int
    contested: Contested | None = None


@dataclass(frozen=True, slots=True)
class ReceiptParts:
    """What a receipt is made of: exact entry bytes, index, inclusion hashes, and the signed checkpoint they lead to."""

    index: int
    entry: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class UnreportedUse:
    """One decision (at ``decided_at_ms``, exactly) that its home city has not acknowledged yet.

    ``opening``: of a consent's first one, after its registration, until it is erased: the key of both commitments.
    """

    index: int
    attestation_id: str
    rung: int
    entry: bytes
    decided_at_ms: int
    opening: bytes | None = None


@dataclass(frozen=True, slots=True)
class KnownRequest:
    """A request seen before; ``decision`` is set while the stored one may be returned again.

    ``attestation`` is what it rests on (JWS compact); empty when that has been erased. ``running``: the stored decision
    has not ended, whether or not it may still be returned. It says nothing that the caller does not know: a withdrawal
    does not change it.
    """

    decision: Decision | None
    running: bool
    attestation: str = ""


class DecisionStore(Protocol):
    """The one place where decisions become facts."""

    def end(self) -> int:
        """See ``LogReader``."""
        ...

    async def record_many(self, drafts: Sequence[DecisionDraft]) -> list[Decision | TiergateError]:
        """Log decisions, durably, each on its own; results in order.

        - MUST NOT return before the entries, the requests' rows and the consents' registrations are committed together.
        - MUST register a consent (entry ``consent_registered``) in the same transaction at its first decision, as the
          entry right before it: a use report finds the registration there.
        - MUST read the consent's state inside that transaction and record rung 0 if it is withdrawn or paused (I7).
        - MUST refuse with ATTESTATION_INVALID, nothing written, what was attested before the city's newest correction
          or before the consent was last resumed.
        - A known request with the same body, bundle and resulting rung whose decision is still valid at
          ``decided_at_ms``: MUST return the stored decision and write nothing, unless it is entitled and the city has
          made a correction since. No longer valid: evaluated again, a new entry; from ten minutes after the first
          decision on REQUEST_ENDED, nothing written.
        - A known request with another body: REQUEST_CONFLICT, nothing written.
        - A request not known whose proof's mark has been committed before: PROOF_REPLAYED, nothing written. MUST keep
          the mark in the same transaction, and for 80 seconds: of several with one mark, exactly one is decided.
        - Log cannot be written: raises LOG_UNAVAILABLE; nothing is half stored; overload raises BUSY.
        """
        ...

    def known_request(
        self, request: bytes, body: bytes, consent: bytes, bundle: BundleDigest, now_ms: int
    ) -> KnownRequest | None:
        """What is known of a request (ids are kept 24 hours), read from committed state; None when it is new.

        Raises REQUEST_CONFLICT and REQUEST_ENDED as ``record_many``. A hint: that has the last word.
        """
        ...

    def proof_used(self, proof: bytes) -> bool:
        """Whether a proof's mark is kept, read from committed state: a hint, which saves asking a city."""
        ...

    async def record_event(self, event: ConsentEvent) -> int:
        """Log an event and make it effective in the same transaction; returns the log index.

        - Idempotent on (city, event_id): a repeated event MUST return the index that it had and write nothing, also
          when its first commit was durable and was reported as failed (``tests/contract/test_store_commits.py``).
        - Once it has returned, no decision that is recorded later MUST be entitled, or be made on what was attested
          before a correction (``tests/property/test_withdrawal_race.py``, ``test_store_commits.py``).
        - Raises EVENT_INVALID for the contest of an entry that is no decision about a resident of that city.
        """
        ...

    async def record_refusal(self, operator: OperatorId, scenario: str, code: str, at_ms: int) -> int:
        """Log an over-asking (a scenario not open to the operator); returns the log index."""
        ...

    async def publish_bundle(self, digest: BundleDigest, version: int, data: bytes, at_ms: int) -> None:
        """Keep a bundle's bytes and log ``policy_published`` unless the log's newest publication is this digest."""
        ...


class LogReader(Protocol):
    """Reading the log; every method may block on disk and is called off the event loop or for one row.

    Indices are places, sizes those of a shard's tree (``gateway.consentlog.shard``). ``shard`` None: the newest.
    """

    def size(self, shard: int | None = None) -> int:
        """Size of the tree of a shard's newest signed checkpoint. Raises RANGE_INVALID for no shard, as all below."""
        ...

    def end(self) -> int:
        """The place after the last entry that the newest checkpoint covers."""
        ...

    def checkpoint(self, shard: int | None = None) -> str:
        """A shard's newest signed checkpoint (signed note)."""
        ...

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """Exact entry bytes of ``[start, end)``, of one shard, in order. Raises RANGE_INVALID beyond its ``size``."""
        ...

    def receipt(self, index: int) -> ReceiptParts:
        """The entry with its proof in its shard's newest checkpoint. Raises RANGE_INVALID."""
        ...

    def receipts(self, indices: Sequence[int]) -> list[ReceiptParts]:
        """Several of one shard, all under one checkpoint."""
        ...

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Inclusion proof of ``index`` in the tree of ``size`` (RFC 9162, 2.1.3). Raises RANGE_INVALID."""
        ...

    def consistency(self, first: int, second: int, shard: int | None = None) -> list[bytes]:
        """Consistency proof between two sizes of a shard (RFC 9162, 2.1.4). Raises RANGE_INVALID."""
        ...

    def bundle(self, digest: BundleDigest) -> bytes:
        """Bytes of a published bundle. Raises NOT_FOUND."""
        ...


class Cosigned(NamedTuple):
    """A checkpoint with its cosignatures (signed note), its size, and when it was kept (Unix milliseconds)."""

    size: int
    checkpoint: str
    at_ms: int


class ReportCursor(Protocol):
    """The durable outbox of use reports: a cursor on the log per city, not a second queue."""

    def unreported(self, city: CityId, limit: int) -> tuple[UnreportedUse, ...]:
        """The city's oldest unacknowledged decisions below the newest checkpoint, in log order, of one shard."""
        ...

    async def acknowledge(self, city: CityId, index: int) -> None:
        """The city holds all of its reports up to and including ``index``. Never moves back."""
        ...
