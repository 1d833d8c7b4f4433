from __future__ import annotations

from pathlib import Path

import pytest

from gateway.consentlog.export import write_export
from gateway.consentlog.merkle import inclusion_proof, leaf_hash, root_of
from gateway.consentlog.proof import LogProof
from tests.unit.cli.conftest import Run
from tests.unit.consentlog.samples import BUNDLE, DIGEST, TRUST, MemoryLog, small_log


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    """The auditor's trust file."""
    path = tmp_path / "trust"
    path.write_bytes(TRUST)
    return path


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A small export."""
    write_export(MemoryLog(small_log()), tmp_path / "export", {DIGEST: BUNDLE}, TRUST)
    return tmp_path / "export"


@pytest.fixture
def receipt(tmp_path: Path) -> tuple[Path, Path]:
    """Entry and proof of a decision."""
    log = small_log()

    def subtree(level: int, index: int) -> bytes:
        return root_of(map(leaf_hash, log[index << level : (index + 1) << level]))

    proof = LogProof(3, tuple(inclusion_proof(3, len(log), subtree)), MemoryLog(log).checkpoint().encode())
    entry, proof_file = tmp_path / "r.entry", tmp_path / "r.proof"
    entry.write_bytes(log[3])
    proof_file.write_bytes(proof.to_bytes())
    return entry, proof_file


def test_an_export_verifies(run: Run, exported: Path, trust: Path) -> None:
    done = run("audit", "verify", exported, "--trust", trust, "--json")
    assert done.code == 0
    assert done.document["verified"] is True
    assert done.document["size"] == len(small_log())
    assert done.document["root"] == root_of(map(leaf_hash, small_log())).hex()
    assert "verified: 6 entries" in run("audit", "verify", exported, "--trust", trust).out


@pytest.mark.parametrize("name", ["checkpoint", "trust", f"bundles/{DIGEST}.json", "tile/0/000.p/6"])
def test_a_changed_export_does_not(run: Run, exported: Path, trust: Path, name: str) -> None:
    path = exported / name
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    done = run("audit", "verify", exported, "--trust", trust, "--json")
    assert done.code == 4
    assert done.document["error"]["exit_code"] == 4


def test_an_export_of_another_log_does_not(run: Run, exported: Path, tmp_path: Path) -> None:
    from gateway.consentlog.note import SignerKey

    (tmp_path / "other").write_bytes(f"log {SignerKey.generate('other/log').verifier}\nquorum none\n".encode())
    assert run("audit", "verify", exported, "--trust", tmp_path / "other").code == 4


def test_a_folder_that_is_none(run: Run, trust: Path, tmp_path: Path) -> None:
    assert run("audit", "verify", tmp_path / "nowhere", "--trust", trust).code == 2


@pytest.mark.parametrize("content", [None, b"log\n", b"log x\nquorum none\n", b""])
def test_an_unreadable_trust_file_is_no_verdict(
    run: Run, exported: Path, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "bad").write_bytes(content)
    assert run("audit", "verify", exported, "--trust", tmp_path / "bad").code == 2


def test_a_receipt_verifies(run: Run, receipt: tuple[Path, Path], trust: Path) -> None:
    arguments = ("audit", "verify-receipt", "--trust", trust, "--entry", receipt[0], "--proof", receipt[1])
    document = run(*arguments, "--json").document
    assert document["verified"] is True
    assert document["entry"]["outcome"] == "entitled"
    assert document["entry"]["index"] == 3
    assert "verified" in run(*arguments).out


@pytest.mark.parametrize("part", [0, 1])
def test_a_changed_receipt_does_not(run: Run, receipt: tuple[Path, Path], trust: Path, part: int) -> None:
    receipt[part].write_bytes(receipt[part].read_bytes().replace(b"3", b"4", 1))
    done = run("audit", "verify-receipt", "--trust", trust, "--entry", receipt[0], "--proof", receipt[1])
    assert done.code == 4


def test_a_receipt_that_is_not_there(run: Run, receipt: tuple[Path, Path], trust: Path) -> None:
    receipt[0].unlink()
    done = run("audit", "verify-receipt", "--trust", trust, "--entry", receipt[0], "--proof", receipt[1])
    assert done.code == 2


@pytest.mark.parametrize(
    "arguments",
    [("--from", "yesterday"), ("--to", "2026-13-01"), ("--last", "-1"), ("--token", "ab" * 31), ("--token", "AB" * 32)],
    ids=" ".join,
)
def test_filters_that_mean_nothing(run: Run, arguments: tuple[str, ...]) -> None:
    assert run("audit", "list", *arguments).code == 2


def test_one_form_at_a_time(run: Run) -> None:
    done = run("audit", "list", "--csv", "--json")
    assert (done.code, done.document["error"]["reason"]) == (2, "USAGE")


def test_the_entries_of_a_consent_are_not_cut_short(run: Run, receipt: tuple[Path, Path]) -> None:
    assert run("audit", "list", "--receipt", receipt[0], "--last", "5").code == 2


def test_a_receipt_of_what_is_no_decision(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "other.entry"
    path.write_bytes(small_log()[2])
    assert run("audit", "list", "--receipt", path).code == 2
    path.write_bytes(b"{}")
    assert run("audit", "list", "--receipt", path).code == 4
    assert run("audit", "list", "--receipt", tmp_path / "nowhere").code == 2


def test_a_position_that_is_none(run: Run) -> None:
    assert run("audit", "show", "--", "-1").code == 2
