from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.consentlog.entry import encode
from gateway.consentlog.export import shard_path, write_export
from gateway.consentlog.proof import LogProof
from gateway.consentlog.receipt import prove
from gateway.consentlog.scope import Leaf, scoped
from gateway.consentlog.scoped import verify_scoped, write_scoped
from gateway.consentlog.trust import TrustPolicy, Window
from gateway.domain.audit_scope import AuditScope
from gateway.errors import Reason, TiergateError
from tests.unit.consentlog.samples import (
    BUNDLE,
    DIGEST,
    SIGNER,
    TIME,
    MemoryLog,
    decision,
    entry,
    published,
    registered,
    withdrawn,
)
from tests.unit.consentlog.test_export import files
from tests.unit.consentlog.test_shards import BOTH, FIRST, NEW, SEAL, SOUND, beginning, log_of, refused, verified

# -- windows of validity ---------------------------------------------------------------------------------------------


def windowed(window: str) -> bytes:
    return f"# tiergate-valid {window}\nlog {SIGNER.verifier}\nlog {NEW.verifier}\nquorum none\n".encode()


def test_a_trust_file_gives_a_key_its_time() -> None:
    policy = TrustPolicy.parse(windowed("2025-10-01T00:00:00Z 2025-12-31T00:00:00Z"))
    assert policy.window(SIGNER.verifier) == Window(1_759_276_800_000, 1_767_139_200_000)
    assert policy.window(NEW.verifier) == Window(None, None)
    assert TrustPolicy.parse(windowed("- -")).window(SIGNER.verifier) == Window(None, None)


@pytest.mark.parametrize(
    "window", ["", "-", "- - -", "2025-10-01 -", "- 2025-13-01T00:00:00Z", "2025-10-01T00:00:00+00:00 -"]
)
def test_a_window_that_cannot_be_read_is_no_window(window: str) -> None:
    with pytest.raises(TiergateError) as caught:
        TrustPolicy.parse(windowed(window))
    assert caught.value.reason is Reason.POLICY_INVALID


def test_a_window_belongs_to_the_log_line_after_it() -> None:
    with pytest.raises(TiergateError) as caught:
        TrustPolicy.parse(f"# tiergate-valid - -\nquorum none\nlog {SIGNER.verifier}\n".encode())
    assert caught.value.reason is Reason.POLICY_INVALID


def test_entries_of_another_time_are_not_accepted_from_a_key(tmp_path: Path) -> None:
    assert TIME == 1_760_000_000_000  # 2025-10-09
    for window, good in (
        ("2025-10-01T00:00:00Z 2025-12-31T00:00:00Z", True),
        ("- 2025-10-09T00:00:00Z", False),
        ("2025-10-11T00:00:00Z -", False),
    ):
        trust, folder = windowed(window), tmp_path / window[:13]
        write_export(log_of(SOUND), folder, {DIGEST: BUNDLE}, trust)
        proof = LogProof(0, (), log_of(SOUND[:1]).checkpoint().encode()).to_bytes()
        if good:
            verified(folder, trust)
            prove(encode(SOUND[0]), proof, TrustPolicy.parse(trust))
        else:
            assert "does not trust" in refused(folder, trust)
            with pytest.raises(TiergateError) as caught:
                prove(encode(SOUND[0]), proof, TrustPolicy.parse(trust))
            assert caught.value.reason is Reason.NOTE_INVALID


def test_an_export_of_one_shard_has_the_form_that_it_always_had(tmp_path: Path) -> None:
    write_export(log_of(SOUND), tmp_path, {DIGEST: BUNDLE}, BOTH)
    assert set(files(tmp_path)) == {
        "checkpoint", "trust", f"bundles/{DIGEST}.json", "tile/0/000.p/5", "tile/entries/000.p/5",
    }  # fmt: skip


# -- scoped exports --------------------------------------------------------------------------------------------------

FUZHOU = AuditScope.of(["fuzhou"])


@dataclass
class Shown:
    """A log as a scope shows it."""

    log: MemoryLog

    def checkpoint(self) -> str:
        return self.log.checkpoint()

    def leaves(self) -> Iterator[Leaf]:
        return (scoped(FUZHOU, raw) for raw in self.log.items)


def scoped_export(folder: Path, *, recorded: bool, rung: int = 0) -> Path:
    first = log_of([*SOUND[:3], registered(city="xiamen", token="cd" * 32), withdrawn(consent=2), SEAL])
    items = [beginning(first), published(), decision(2, rung=rung)]
    if recorded:
        items.append(entry("audit_read", auditor="fuzhou", start=0, end=5, scope=FUZHOU.digest()))
    write_scoped(Shown(first), FUZHOU, folder, {DIGEST: BUNDLE}, BOTH)
    write_scoped(Shown(log_of(items, NEW)), FUZHOU, folder / shard_path(1), {DIGEST: BUNDLE}, BOTH)
    return folder


def test_a_scoped_export_of_two_shards_verifies(tmp_path: Path) -> None:
    seen: list[tuple[int, str]] = []
    found = verify_scoped(
        scoped_export(tmp_path, recorded=True), BOTH, lambda index, item: seen.append((index, item.type))
    )
    assert [shard.size for shard in found.shards] == [6, 4]
    assert (3, "consent_registered") not in seen  # xiamen's
    assert (FIRST + 2, "decision") in seen


def test_a_scoped_export_is_held_to_the_same_across_shards(tmp_path: Path) -> None:
    for folder, recorded, rung, said in (
        (tmp_path / "entitled", True, 1, "after withdrawal"),
        (tmp_path / "unrecorded", False, 0, "no record"),
    ):
        with pytest.raises(TiergateError) as caught:
            verify_scoped(scoped_export(folder, recorded=recorded, rung=rung), BOTH)
        assert said in caught.value.detail
