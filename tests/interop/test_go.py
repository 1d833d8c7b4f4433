"""Go's sumdb packages, written by others, accept the log's checkpoints, tiles, entries and proofs; changed ones not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.consentlog.note import SignerKey
from tests.fakes.log import FakeLog
from tests.interop.logs import (
    ORIGIN,
    SIZES,
    change_base64,
    change_last_signature,
    checkpoint_with_root,
    export,
    flip,
    grow,
    growth,
    log_of,
    tiles_of,
    vkey,
)
from tests.interop.verifier import Verifier, refused

LARGEST = SIZES[-1]


@pytest.fixture(scope="module")
def large() -> FakeLog:
    return log_of(LARGEST)


@pytest.mark.parametrize("size", SIZES)
def test_an_export_of_any_size_is_accepted(go: Verifier, tmp_path: Path, size: int) -> None:
    log = log_of(size)
    verdict = go("export", vkey(log), export(log, tmp_path))
    assert verdict.accepted, verdict.said
    assert f"export: {size} entries, " in verdict.said


@pytest.mark.parametrize("size", SIZES)
def test_a_changed_bit_in_any_tile_or_bundle_is_found(go: Verifier, tmp_path: Path, size: int) -> None:
    log = log_of(size)
    directory = export(log, tmp_path)
    for path in tiles_of(directory):
        flip(path)
        refused(go("export", vkey(log), directory), "entry " if "entries" in path.parts else "tiles: ")
        flip(path)
    assert go("export", vkey(log), directory).accepted


def test_an_export_that_grew_is_accepted_at_every_size(go: Verifier, tmp_path: Path) -> None:
    log = log_of(SIZES[0])
    older = []
    for size in SIZES:
        grow(log, size)
        directory = export(log, tmp_path / "export")
        older.append(tmp_path / f"checkpoint-{size}")
        older[-1].write_bytes((directory / "checkpoint").read_bytes())
        for checkpoint in older:
            verdict = go("export", vkey(log), directory, checkpoint)
            assert verdict.accepted, verdict.said


def test_a_growth_proof_of_the_log_is_accepted_and_no_other(go: Verifier, tmp_path: Path) -> None:
    log = log_of(SIZES[0])
    older, newer, proof = tmp_path / "older", tmp_path / "newer", tmp_path / "proof"
    for size in SIZES:
        grow(log, size)
        older.write_text(log.checkpoint(), encoding="utf-8")
        later = log.fork()
        grow(later, LARGEST + 1)
        newer.write_text(later.checkpoint(), encoding="utf-8")
        proof.write_text(growth(later, size), encoding="utf-8")
        verdict = go("growth", vkey(log), older, newer, proof)
        assert verdict.accepted, verdict.said
        proof.write_text(growth(later, size + 1 if size < LARGEST else size - 1), encoding="utf-8")
        refused(go("growth", vkey(log), older, newer, proof), f"growth: from {size} to {LARGEST + 1}")


def test_a_fork_of_the_log_is_no_older_state_of_it(go: Verifier, tmp_path: Path) -> None:
    log = log_of(200)
    fork = log.fork()
    grow(log, 300)
    grow(fork, 250)
    (tmp_path / "older").write_text(fork.checkpoint(), encoding="utf-8")
    refused(go("export", vkey(log), export(log, tmp_path / "export"), tmp_path / "older"), "growth: from 250 to 300")


def test_a_log_that_shrank_is_refused(go: Verifier, tmp_path: Path) -> None:
    log = log_of(200)
    later = log.fork()
    grow(later, 201)
    (tmp_path / "older").write_text(later.checkpoint(), encoding="utf-8")
    refused(go("export", vkey(log), export(log, tmp_path / "export"), tmp_path / "older"), "growth: ")


def change_signature(directory: Path, log: FakeLog) -> None:
    change_last_signature(directory / "checkpoint")


def change_root(directory: Path, log: FakeLog) -> None:
    path = directory / "checkpoint"
    lines = path.read_bytes().split(b"\n")
    lines[2] = change_base64(lines[2])
    path.write_bytes(b"\n".join(lines))


def sign_another_root(directory: Path, log: FakeLog) -> None:
    (directory / "checkpoint").write_bytes(checkpoint_with_root(log, bytes(32)))


def drop_a_tile(directory: Path, log: FakeLog) -> None:
    (directory / "tile/0/000").unlink()


def shorten_a_tile(directory: Path, log: FakeLog) -> None:
    path = directory / "tile/0/001"
    path.write_bytes(path.read_bytes()[:-32])


def swap_two_entries(directory: Path, log: FakeLog) -> None:
    path = directory / "tile/entries/000"
    first, second = (len(entry).to_bytes(2, "big") + entry for entry in log.entries[:2])
    data = path.read_bytes()
    assert data.startswith(first + second)
    path.write_bytes(second + first + data[len(first + second) :])


def leave_out_the_last_entry(directory: Path, log: FakeLog) -> None:
    path = directory / "tile/entries/000"
    path.write_bytes(path.read_bytes()[: -2 - len(log.entries[255])])


def add_a_tile(directory: Path, log: FakeLog) -> None:
    (directory / "tile/0/003").write_bytes(bytes(256 * 32))


FAULTS: dict[str, Callable[[Path, FakeLog], None]] = {
    "checkpoint: invalid signature": change_signature,
    "checkpoint: invalid signature for": change_root,
    "tiles: downloaded inconsistent tile": sign_another_root,
    "tile/0/000": drop_a_tile,
    "tiles: TileReader returned bad result": shorten_a_tile,
    "entry 0: ": swap_two_entries,
    "entries: tile/entries/000 holds 255": leave_out_the_last_entry,
    "files: tile/0/003": add_a_tile,
}


@pytest.mark.parametrize(("named", "fault"), FAULTS.items(), ids=[fault.__name__ for fault in FAULTS.values()])
def test_an_export_with_a_fault_is_refused(
    go: Verifier, large: FakeLog, tmp_path: Path, named: str, fault: Callable[[Path, FakeLog], None]
) -> None:
    directory = export(large, tmp_path)
    fault(directory, large)
    refused(go("export", vkey(large), directory), named)


def test_another_logs_key_opens_nothing(go: Verifier, large: FakeLog, tmp_path: Path) -> None:
    directory = export(large, tmp_path)
    for other in (SignerKey.generate(ORIGIN), SignerKey.generate("log.example/other")):
        refused(go("export", str(other.verifier), directory), "checkpoint: ")


def write_receipt(log: FakeLog, index: int, folder: Path) -> tuple[Path, Path]:
    entry, proof = log.receipt(index)
    (folder / "entry").write_bytes(entry)
    (folder / "receipt").write_bytes(proof)
    return folder / "receipt", folder / "entry"


@pytest.mark.parametrize("size", SIZES)
def test_receipts_of_a_log_of_any_size_are_accepted(go: Verifier, tmp_path: Path, size: int) -> None:
    log = log_of(size)
    for index in sorted({0, size // 2, size - 1}):
        verdict = go("receipt", vkey(log), *write_receipt(log, index, tmp_path))
        assert verdict.accepted, verdict.said
        assert verdict.said == f"receipt: entry {index} of {size}"


def test_a_changed_receipt_is_refused(go: Verifier, large: FakeLog, tmp_path: Path) -> None:
    receipt, entry = write_receipt(large, 300, tmp_path)
    good = receipt.read_bytes()
    lines = good.split(b"\n")
    hashes = range(2, lines.index(b""))
    assert len(hashes) >= 9
    for number in hashes:
        changed = list(lines)
        changed[number] = change_base64(lines[number])
        receipt.write_bytes(b"\n".join(changed))
        refused(go("receipt", vkey(large), receipt, entry), "receipt: inclusion of entry 300")
    receipt.write_bytes(good.replace(b"index 300\n", b"index 301\n"))
    refused(go("receipt", vkey(large), receipt, entry), "receipt: inclusion of entry 301")
    receipt.write_bytes(good)
    change_last_signature(receipt)
    refused(go("receipt", vkey(large), receipt, entry), "receipt: checkpoint: invalid signature")
    receipt.write_bytes(good)
    assert go("receipt", vkey(large), receipt, entry).accepted


def test_a_receipt_of_another_entry_or_log_is_refused(go: Verifier, large: FakeLog, tmp_path: Path) -> None:
    receipt, entry = write_receipt(large, 300, tmp_path)
    entry.write_bytes(large.entries[301])
    refused(go("receipt", vkey(large), receipt, entry), "receipt: inclusion of entry 300")
    entry.write_bytes(large.entries[300])
    other = SignerKey.generate(ORIGIN)
    refused(go("receipt", str(other.verifier), receipt, entry), "receipt: checkpoint: ")
