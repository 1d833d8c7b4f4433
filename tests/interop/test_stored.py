"""What the product's own store has committed, over the change of a shard, is what Go and tlog-scales accept."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.consentlog.export import shard_path
from gateway.consentlog.key_file import read_signer
from gateway.consentlog.shard import located
from gateway.consentlog.verify import verify_export
from gateway.domain.decision import Decision
from gateway.domain.ids import BundleDigest
from gateway.services.read_log import receipt_text
from gateway.storage.sealing import Policy, next_key_file
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import draft, withdrawal
from tests.interop.logs import change_last_signature, flip, tiles_of
from tests.interop.verifier import Verifier, refused
from tests.unit.consentlog.samples import BUNDLE, DIGEST
from tests.unit.storage.sealed import StoredLog

DECISIONS = 300
"""Of each shard: more than a tile holds."""
AT_ONCE = 60


@dataclass(frozen=True)
class Receipt:
    """What an operator is given: proof and entry, of a shard."""

    shard: int
    index: int
    proof: bytes
    entry: bytes


@dataclass(frozen=True)
class Stored:
    """An export of two shards; the key and the size of each; receipts of both, asked for after the seal."""

    folder: Path
    vkeys: tuple[str, ...]
    sizes: tuple[int, ...]
    receipts: tuple[Receipt, ...]

    def copied(self, folder: Path) -> list[Path]:
        """The folders of the shards, in a copy that a test may change."""
        shutil.copytree(self.folder, folder)
        return [folder, folder / shard_path(1)]


async def _decide(log: StoredLog, store: SqliteStore, start: int) -> list[int]:
    """Decisions on several consents, in groups; their log indices."""
    made: list[int] = []
    for first in range(start, start + DECISIONS, AT_ONCE):
        asked = [
            draft(log.clock, number, consent=f"consent-{number % 7}", asked_at_size=store.end())
            for number in range(first, first + AT_ONCE)
        ]
        for decided in await store.record_many([replace(item, bundle=BundleDigest(DIGEST)) for item in asked]):
            assert isinstance(decided, Decision)
            made.append(decided.log_index)
    return made


@pytest.fixture(scope="module")
async def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    base = tmp_path_factory.mktemp("stored")
    log = StoredLog(base / "log")
    log.prepare()
    async with log.running() as store:
        first = await _decide(log, store, 0)
        await store.record_event(withdrawal(log.clock, "consent-1", "event-1"))
        await store.seal(read_signer(next_key_file(log.key)), [Policy(BundleDigest(DIGEST), 1, BUNDLE)], 7)
        second = await _decide(log, store, DECISIONS)
        receipts = []
        for place in (first[0], first[-1], second[0], second[-1]):
            parts = store.receipt(place)
            receipts.append(Receipt(*located(place), receipt_text(parts).encode(), parts.entry))
        export = log.export(store, base / "export")
    found = verify_export(export, log.trust())
    assert found.all_entries["decision"] == 2 * DECISIONS
    return Stored(export, tuple(log.vkeys), tuple(shard.size for shard in found.shards), tuple(receipts))


@pytest.fixture(params=["go", "scales"])
def verifier(request: pytest.FixtureRequest) -> Verifier:
    found: Verifier = request.getfixturevalue(request.param)
    return found


def test_both_shards_are_accepted_each_under_its_own_key(verifier: Verifier, stored: Stored, tmp_path: Path) -> None:
    for number, folder in enumerate(stored.copied(tmp_path / "copy")):
        verdict = verifier("export", stored.vkeys[number], folder)
        assert verdict.accepted, verdict.said
        assert f"export: {stored.sizes[number]} entries" in verdict.said
        refused(verifier("export", stored.vkeys[1 - number], folder), "")


def test_a_changed_bit_of_either_shard_is_found(verifier: Verifier, stored: Stored, tmp_path: Path) -> None:
    for number, folder in enumerate(stored.copied(tmp_path / "copy")):
        for path in tiles_of(folder):
            if number == 0 and path.is_relative_to(folder / "shards"):
                continue
            flip(path)
            refused(verifier("export", stored.vkeys[number], folder), "")
            flip(path)
        assert verifier("export", stored.vkeys[number], folder).accepted
        change_last_signature(folder / "checkpoint")
        refused(verifier("export", stored.vkeys[number], folder), "")


def test_receipts_of_both_shards_are_accepted(verifier: Verifier, stored: Stored, tmp_path: Path) -> None:
    proof, entry = tmp_path / "proof", tmp_path / "entry"
    assert {receipt.shard for receipt in stored.receipts} == {0, 1}
    for receipt in stored.receipts:
        proof.write_bytes(receipt.proof)
        entry.write_bytes(receipt.entry)
        verdict = verifier("receipt", stored.vkeys[receipt.shard], proof, entry)
        assert verdict.accepted, verdict.said
        assert verdict.said == f"receipt: entry {receipt.index} of {stored.sizes[receipt.shard]}"
        refused(verifier("receipt", stored.vkeys[1 - receipt.shard], proof, entry), "")
        flip(entry)
        refused(verifier("receipt", stored.vkeys[receipt.shard], proof, entry), "receipt: ")
