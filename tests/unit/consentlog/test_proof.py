from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from gateway.consentlog.merkle import inclusion_proof, leaf_hash, root_of
from gateway.consentlog.proof import MAX_EXTRA_BYTES, MAX_HASHES, LogProof
from gateway.consentlog.trust import TrustPolicy
from gateway.errors import Reason, TiergateError
from tests.unit.consentlog.samples import TRUST, MemoryLog, small_log

ENTRIES = small_log()
POLICY = TrustPolicy.parse(TRUST)


def receipt(index: int) -> LogProof:
    leaves = [leaf_hash(entry) for entry in ENTRIES]

    def subtree(level: int, number: int) -> bytes:
        return root_of(leaves[number << level : (number + 1) << level])

    hashes = tuple(inclusion_proof(index, len(leaves), subtree))
    return LogProof(index, hashes, MemoryLog(ENTRIES).checkpoint().encode())


def test_every_receipt_verifies_offline() -> None:
    for index, entry in enumerate(ENTRIES):
        proof = LogProof.parse(receipt(index).to_bytes())
        assert proof.verify(entry, POLICY).checkpoint.size == len(ENTRIES)


def test_another_entry_is_refused() -> None:
    with pytest.raises(TiergateError) as caught:
        receipt(3).verify(ENTRIES[4], POLICY)
    assert caught.value.reason is Reason.PROOF_OF_LOG_INVALID


def test_a_checkpoint_of_an_unknown_log_is_refused() -> None:
    with pytest.raises(TiergateError) as caught:
        receipt(3).verify(ENTRIES[3], TrustPolicy.parse(b"quorum none\n"))
    assert caught.value.reason is Reason.NOTE_INVALID


GOOD = receipt(3).to_bytes()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        GOOD.replace(b"@v1", b"@v2"),
        GOOD.replace(b"index 3\n", b""),
        GOOD.replace(b"index 3", b"index 3 "),
        GOOD.replace(b"index 3", b"extra \nindex 3"),
        GOOD.replace(b"index 3", b"extra AAAA\nextra AAAA\nindex 3"),
        GOOD.replace(b"index 3", b"index 9223372036854775808"),
        GOOD.partition(b"\n\n")[0] + b"\n\n",
        GOOD.partition(b"\n\n")[0] + b"\n",
        GOOD.replace(b"=\n", b"\n", 1),
        GOOD + b"x" * 2_000_000,
    ],
)
def test_malformed_proofs_are_refused(raw: bytes) -> None:
    with pytest.raises(TiergateError) as caught:
        LogProof.parse(raw)
    assert caught.value.reason is Reason.PROOF_OF_LOG_INVALID


@pytest.mark.parametrize(
    "bad",
    [
        partial(LogProof, 0, (bytes(32),) * (MAX_HASHES + 1), b"x"),
        partial(LogProof, 0, (bytes(31),), b"x"),
        partial(LogProof, 0, (), b"x", bytes(MAX_EXTRA_BYTES + 1)),
        partial(LogProof, -1, (), b"x"),
    ],
)
def test_bounds(bad: Callable[[], LogProof]) -> None:
    with pytest.raises(TiergateError) as caught:
        bad()
    assert caught.value.reason is Reason.PROOF_OF_LOG_INVALID
