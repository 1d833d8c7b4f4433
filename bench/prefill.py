"""Fill a stopped gateway's log: ``python -m bench.prefill DATABASE LOG-MARK LOG-KEY ENTRIES``.

Through the store itself, so that tree, rows and indices are what the product would have written. Decisions are spread
over the last 80 days, on a consent per 20; all are acknowledged, as in a network that is in order.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import sys
from pathlib import Path

from bench.world import CITY, OPERATOR, SCENARIO
from gateway.cli.localnet.plan import DEPLOYMENT
from gateway.clock import SystemClock
from gateway.consentlog.note import SignerKey
from gateway.crypto.consent import new_id
from gateway.domain.ids import BundleDigest, CityId, OperatorId, ScenarioId
from gateway.errors import TiergateError
from gateway.ports import AttestationRecord, DecisionDraft
from gateway.storage.sqlite_store import SqliteStore

_GROUP = 500
_SPAN_MS = 80 * 86_400_000
_DAY_MS = 86_400_000
_ATTESTATION = "a" * 650  # as long as a real one
_CONSENT_EVERY = 20


def _draft(number: int, at_ms: int) -> DecisionDraft:
    consent = number // _CONSENT_EVERY

    def digest(what: str) -> bytes:
        return hashlib.sha256(f"{what} {consent}".encode()).digest()

    return DecisionDraft(
        request=secrets.token_bytes(32),
        body=digest("body"),
        operator=OperatorId(OPERATOR),
        city=CityId(CITY),
        scenario=ScenarioId(SCENARIO),
        bundle=BundleDigest("b" * 64),
        rung=number % 2,
        decided_at_ms=at_ms,
        valid_until_ms=at_ms + 300_000,
        consent=digest("consent"),
        token_hash=digest("token"),
        bound="operator",
        consent_expires_s=at_ms // 1000 + 30 * 86_400,
        attestation=AttestationRecord(new_id(), _ATTESTATION),
        asked_at_size=1,
    )


async def prefill(database: Path, mark: Path, signer: SignerKey, entries: int) -> int:
    """Add decisions until the log has at least ``entries``; its size afterwards. Raises TiergateError."""
    clock = SystemClock()
    store = SqliteStore(database, mark, signer, clock)
    await store.start(DEPLOYMENT)
    try:
        size = store.size()
        start_ms = clock.now_ms() - _DAY_MS - _SPAN_MS
        while size < entries:
            at_ms = start_ms + _SPAN_MS * size // entries
            group = min(_GROUP, entries - size)
            for result in await store.record_many([_draft(size + i, at_ms) for i in range(group)]):
                if isinstance(result, TiergateError):
                    raise result
            size = store.size()
        await store.acknowledge(CityId(CITY), size - 1)
    finally:
        await store.close()
    return size


def main(database: Path, mark: Path, key: Path, entries: int) -> None:
    """Fill, and print the log's size."""
    signer = SignerKey.parse(key.read_text(encoding="ascii").strip())
    print(asyncio.run(prefill(database, mark, signer, entries)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
