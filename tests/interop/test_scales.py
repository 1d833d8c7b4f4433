"""tlog-scales, written by others, accepts exports, receipts and cosignatures; changed ones not. Its proofs are ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gateway.consentlog.note import COSIGNATURE_V1, SignerKey, add_signatures
from gateway.consentlog.proof import LogProof
from tests.interop.logs import (
    ORIGIN,
    SIZES,
    change_last_signature,
    checkpoint_with_root,
    export,
    flip,
    grow,
    log_of,
    tiles_of,
    vkey,
)
from tests.interop.verifier import Verifier, refused

TIME = 1_793_491_200


@pytest.mark.parametrize("size", SIZES)
def test_an_export_of_any_size_is_accepted_and_no_changed_one(scales: Verifier, tmp_path: Path, size: int) -> None:
    log = log_of(size)
    directory = export(log, tmp_path)
    assert scales("export", vkey(log), directory) == (True, f"export: {size} entries")
    for path in tiles_of(directory):
        flip(path)
        refused(scales("export", vkey(log), directory), "export: ")
        flip(path)
    assert scales("export", vkey(log), directory).accepted


def test_an_export_grows_from_its_older_checkpoints_and_from_no_fork(scales: Verifier, tmp_path: Path) -> None:
    log = log_of(SIZES[0])
    older = []
    for size in SIZES:
        grow(log, size)
        older.append(tmp_path / f"checkpoint-{size}")
        older[-1].write_text(log.checkpoint(), encoding="utf-8")
    fork = log.fork()
    grow(fork, 700)
    grow(log, 800)
    directory = export(log, tmp_path / "export")
    verdict = scales("export", vkey(log), directory, *older)
    assert verdict.accepted, verdict.said
    older[0].write_text(fork.checkpoint(), encoding="utf-8")
    refused(scales("export", vkey(log), directory, older[0]), "export: ConsistencyProofInvalid")


def test_a_checkpoint_with_another_signature_root_or_key_is_refused(scales: Verifier, tmp_path: Path) -> None:
    log = log_of(257)
    directory = export(log, tmp_path)
    refused(scales("export", str(SignerKey.generate(ORIGIN).verifier), directory), "no signature matched")
    change_last_signature(directory / "checkpoint")
    refused(scales("export", vkey(log), directory), "export: InvalidSignature")
    (directory / "checkpoint").write_bytes(checkpoint_with_root(log, bytes(32)))
    refused(scales("export", vkey(log), directory), "the tiles lead to another root")


def test_a_witness_cosignature_is_accepted_and_no_changed_one(scales: Verifier, tmp_path: Path) -> None:
    log = log_of(257)
    directory = export(log, tmp_path)
    witness = SignerKey.generate("witness.example", COSIGNATURE_V1)
    path = directory / "checkpoint"
    both = f"{vkey(log)},{witness.verifier}"
    refused(scales("export", both, directory), "no signature matched")
    path.write_bytes(add_signatures(path.read_bytes(), [witness], TIME))
    verdict = scales("export", both, directory)
    assert verdict.accepted, verdict.said
    change_last_signature(path)
    refused(scales("export", both, directory), "export: InvalidSignature")


@pytest.mark.parametrize("size", SIZES)
def test_a_receipt_is_accepted_and_no_changed_one(scales: Verifier, tmp_path: Path, size: int) -> None:
    log = log_of(size)
    index = size // 2
    entry, raw = log.receipt(index)
    proof = LogProof.parse(raw)
    receipt, entry_path = tmp_path / "receipt", tmp_path / "entry"
    entry_path.write_bytes(entry)
    receipt.write_bytes(raw)
    assert scales("receipt", vkey(log), receipt, entry_path) == (True, f"receipt: entry {index} of {size}")
    for number in range(len(proof.hashes)):
        changed = list(proof.hashes)
        changed[number] = bytes(32)
        receipt.write_bytes(LogProof(index, tuple(changed), proof.checkpoint).to_bytes())
        refused(scales("receipt", vkey(log), receipt, entry_path), "receipt: InclusionProofInvalid")
    receipt.write_bytes(raw)
    flip(entry_path)
    refused(scales("receipt", vkey(log), receipt, entry_path), "receipt: InclusionProofInvalid")


@pytest.mark.parametrize("size", SIZES)
def test_its_proof_from_our_export_is_our_receipt_to_the_byte(scales_python: Path, tmp_path: Path, size: int) -> None:
    log = log_of(size)
    directory = export(log, tmp_path)
    for index in sorted({0, size // 2, size - 1}):
        made = subprocess.run(
            [scales_python, "-I", "-m", "tlog_scales.cli", "gen-proof", directory, str(index)],
            capture_output=True,
            check=True,
            timeout=300,
        )
        assert made.stdout == log.receipt(index)[1]
