"""What is appended: decisions under the shipped policies, each of which a replay recomputes without a difference."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from gateway.clock import SystemClock
from gateway.consentlog.note import SignerKey
from gateway.crypto.consent import new_id
from gateway.domain.decision import Decision
from gateway.domain.ids import BundleDigest, CityId, OperatorId, ScenarioId
from gateway.errors import TiergateError
from gateway.policy.bundle import build_bundle, digest_of
from gateway.policy.load import load_policies
from gateway.ports import AttestationRecord, DecisionDraft
from gateway.storage.sqlite_store import SqliteStore

ROOT = Path(__file__).resolve().parents[2]
DEPLOYMENT = "bench"
CITY, OPERATOR = CityId("fuzhou"), OperatorId("xiamen-library")
SCENARIO = ScenarioId("xiamen-library")
START_MS = 1_793_491_200_000 // 86_400_000 * 86_400_000
"""A day on which the shipped policies are in force."""
STEP_MS = 250
"""Between two decisions: a log of 10⁷ spans a month."""
GRAIN_MS = 60_000
"""The time grain of that scenario."""
PER_CONSENT = 20
GROUP = 500
DATA, MARK = "data/log.db", "log.mark"
_ATTESTATION = "a" * 650  # as long as a real one


@cache
def bundle_bytes() -> bytes:
    """The policy bundle that everything is decided under."""
    return build_bundle(load_policies(ROOT / "policies"), 1, date(2027, 12, 31))


@cache
def bundle_digest() -> BundleDigest:
    """Its digest."""
    return digest_of(bundle_bytes())


def draft(name: str, number: int) -> DecisionDraft:
    """One decision. Twenty in a row share a consent, and the attestation that lives meanwhile."""
    consent = f"{name} {number // PER_CONSENT}"

    def digest(what: str) -> bytes:
        return hashlib.sha256(f"{what} {consent}".encode()).digest()

    at_ms = START_MS + number * STEP_MS
    return DecisionDraft(
        request=secrets.token_bytes(32),
        body=digest("body"),
        operator=OPERATOR,
        city=CITY,
        scenario=SCENARIO,
        bundle=bundle_digest(),
        rung=number % 2,
        decided_at_ms=at_ms,
        valid_until_ms=at_ms + 300_000,
        consent=digest("consent"),
        token_hash=digest("token"),
        bound="operator",
        consent_expires_s=at_ms // 1000 + 60 * 86_400,
        attestation=_attestation(consent),
        asked_at_size=1,
        grain_ms=GRAIN_MS,
    )


_attestations: dict[str, AttestationRecord] = {}


def _attestation(consent: str) -> AttestationRecord:
    found = _attestations.get(consent)
    if found is None:
        _attestations.clear()
        found = _attestations[consent] = AttestationRecord(new_id(), _ATTESTATION)
    return found


@dataclass(frozen=True, slots=True)
class Log:
    """One log in a folder of its own, with the key that signs it."""

    folder: Path
    signer: SignerKey

    @classmethod
    def make(cls, folder: Path) -> Log:
        """A new, empty one."""
        (folder / DATA).parent.mkdir(parents=True)
        return cls(folder, SignerKey.generate("bench.invalid/log"))

    @property
    def trust(self) -> bytes:
        """The trust file of its auditor."""
        return f"log {self.signer.verifier}\nquorum none\n".encode()

    async def open(self) -> SqliteStore:
        """The product's store on it, started, with the bundle published."""
        store = SqliteStore(self.folder / DATA, self.folder / MARK, self.signer, SystemClock())
        await store.start(DEPLOYMENT)
        await store.publish_bundle(bundle_digest(), 1, bundle_bytes(), START_MS)
        return store


async def fill(store: SqliteStore, name: str, size: int) -> None:
    """Append decisions, in groups of many, until the log has ``size`` entries or more. Raises what an append raises."""
    number = 0
    while store.size() < size:
        group = min(GROUP, size - store.size())
        for result in await store.record_many([draft(name, number + place) for place in range(group)]):
            decided(result)
        number += group


def decided(result: Decision | TiergateError) -> Decision:
    """The decision, if it is one; else raises the error."""
    if isinstance(result, TiergateError):
        raise result
    return result
