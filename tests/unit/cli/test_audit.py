from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.consentlog.entry import encode
from gateway.consentlog.export import write_export
from gateway.consentlog.export_lock import writing
from gateway.consentlog.merkle import inclusion_proof, leaf_hash, root_of
from gateway.consentlog.note import COSIGNATURE_V1, SignerKey, add_signatures
from gateway.consentlog.proof import LogProof
from tests.unit.cli.conftest import Run
from tests.unit.consentlog.samples import BUNDLE, DIGEST, SIGNER, TRUST, MemoryLog, entry, small_log


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A small export."""
    write_export(MemoryLog(small_log()), tmp_path / "export", {DIGEST: BUNDLE}, TRUST)
    return tmp_path / "export"


@pytest.mark.parametrize("command", ["verify", "replay", "sample --count 1"])
def test_a_folder_without_anything_of_an_export_is_wrong_usage(
    run: Run, trust: Path, tmp_path: Path, command: str
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "letter").write_text("of something else")
    name, *more = command.split()
    done = run("audit", name, folder, "--trust", trust, *more, "--json")
    assert done.code == 2
    assert "no export here" in done.document["error"]["message"]


@pytest.mark.parametrize("left", ["trust", "tile", "bundles", "checkpoint"])
def test_an_export_of_which_anything_is_left_does_not_verify(run: Run, trust: Path, exported: Path, left: str) -> None:
    for path in exported.iterdir():
        if path.name != left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert [path.name for path in exported.iterdir()] == [left]
    assert run("audit", "verify", exported, "--trust", trust).code == 4


def receipt_of(index: int, tmp_path: Path) -> tuple[Path, Path]:
    """Entry and proof of an entry of the small log."""
    log = small_log()

    def subtree(level: int, index: int) -> bytes:
        return root_of(map(leaf_hash, log[index << level : (index + 1) << level]))

    proof = LogProof(index, tuple(inclusion_proof(index, len(log), subtree)), MemoryLog(log).checkpoint().encode())
    entry_file, proof_file = tmp_path / "r.entry", tmp_path / "r.proof"
    entry_file.write_bytes(log[index])
    proof_file.write_bytes(proof.to_bytes())
    return entry_file, proof_file


@pytest.fixture
def receipt(tmp_path: Path) -> tuple[Path, Path]:
    """Entry and proof of a decision."""
    return receipt_of(3, tmp_path)


def test_an_export_verifies(run: Run, exported: Path, trust: Path) -> None:
    done = run("audit", "verify", exported, "--trust", trust, "--json")
    assert done.code == 0
    assert done.document["verified"] is True
    assert done.document["size"] == len(small_log())
    assert done.document["root"] == root_of(map(leaf_hash, small_log())).hex()
    assert "verified: 6 entries" in run("audit", "verify", exported, "--trust", trust).out


def test_an_export_that_ends_with_a_seal_says_that_the_log_goes_on(run: Run, trust: Path, tmp_path: Path) -> None:
    coming = SignerKey.generate(f"{SIGNER.name}/shard1").verifier
    seal = encode(entry("shard_sealed", next=str(coming)))
    for name, items, goes_on in (("open", small_log(), None), ("sealed", [*small_log(), seal], str(coming))):
        write_export(MemoryLog(items), tmp_path / name, {DIGEST: BUNDLE}, TRUST)
        done = run("audit", "verify", tmp_path / name, "--trust", trust, "--json")
        assert (done.code, done.document["goes_on"]) == (0, goes_on)
        said = run("audit", "verify", tmp_path / name, "--trust", trust).out
        assert (f"the log goes on under {coming}" in said) == (goes_on is not None)


@pytest.mark.parametrize("name", ["checkpoint", "trust", f"bundles/{DIGEST}.json", "tile/0/000.p/6"])
def test_a_changed_export_does_not(run: Run, exported: Path, trust: Path, name: str) -> None:
    path = exported / name
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    done = run("audit", "verify", exported, "--trust", trust, "--json")
    assert done.code == 4
    assert done.document["error"]["exit_code"] == 4


@pytest.mark.parametrize("command", [("verify",), ("replay",), ("sample", "--count", "1")], ids=lambda words: words[0])
@pytest.mark.parametrize("name", ["checkpoint", "trust", f"bundles/{DIGEST}.json", "tile/0/000.p/6"])
def test_a_fifo_in_an_export_is_refused(
    run: Run, exported: Path, trust: Path, name: str, command: tuple[str, ...]
) -> None:
    (exported / name).unlink()
    os.mkfifo(exported / name)
    done = run("audit", *command, exported, "--trust", trust)
    assert done.code in {2, 4}
    assert "is not a regular file" in done.err


def test_a_fifo_given_as_a_file_is_refused(run: Run, exported: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = run("audit", "verify", exported, "--trust", tmp_path / "pipe")
    assert (done.code, "is not a regular file" in done.err) == (2, True)


@pytest.mark.parametrize("command", ["verify", "replay"])
@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["for people", "as JSON"])
def test_a_name_in_an_export_forges_no_line(
    run: Run, exported: Path, trust: Path, command: str, as_json: tuple[str, ...]
) -> None:
    (exported / "\x1b[2J\nverified: all\udcff").write_bytes(b"")
    done = run("audit", command, exported, "--trust", trust, *as_json)
    assert done.code == 4
    assert r"\x1b[2J\nverified: all\udcff" in done.err
    assert not {"\x1b", "\udcff"} & set(done.err + done.out)


def test_a_shard_of_a_forged_name_forges_no_line(run: Run, exported: Path, trust: Path) -> None:
    bundle = exported / "shards/\x1b[2J\nverified" / "bundles" / f"{DIGEST}.json"
    bundle.mkdir(parents=True)
    (exported / "bundles" / bundle.name).unlink()
    done = run("audit", "replay", exported, "--trust", trust)
    assert (done.code, "\x1b" in done.err, "\nverified" in done.err) == (2, False, False)


def test_an_export_that_is_being_written_is_to_be_verified_again(run: Run, exported: Path, trust: Path) -> None:
    with writing(exported):
        done = run("audit", "verify", exported, "--trust", trust)
    assert (done.code, "being written" in done.err) == (3, True)
    assert run("audit", "verify", exported, "--trust", trust).code == 0


def test_an_export_of_another_log_does_not(run: Run, exported: Path, tmp_path: Path) -> None:
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
    assert document["receipt_of"] == "decision"
    assert "verified: the receipt of a decision, in the log" in run(*arguments).out


@pytest.mark.parametrize(("index", "kind"), [(0, "genesis"), (2, "consent_registered"), (4, "consent_withdrawn")])
def test_a_receipt_of_something_else_is_not_called_a_decisions(
    run: Run, trust: Path, tmp_path: Path, index: int, kind: str
) -> None:
    files = receipt_of(index, tmp_path)
    arguments = ("audit", "verify-receipt", "--trust", trust, "--entry", files[0], "--proof", files[1])
    assert run(*arguments, "--json").document["receipt_of"] == kind
    assert f"verified: the receipt of an entry of type {kind}, NOT of a decision, in the log" in run(*arguments).out


@pytest.mark.parametrize("part", [0, 1])
def test_a_changed_receipt_does_not(run: Run, receipt: tuple[Path, Path], trust: Path, part: int) -> None:
    receipt[part].write_bytes(receipt[part].read_bytes().replace(b"3", b"4", 1))
    done = run("audit", "verify-receipt", "--trust", trust, "--entry", receipt[0], "--proof", receipt[1])
    assert done.code == 4


@pytest.mark.parametrize(("threshold", "cosigned", "code"), [(2, 2, 0), (2, 1, 4), (1, 1, 0), (2, 0, 4)])
def test_a_receipt_under_a_quorum_of_witnesses(
    run: Run, receipt: tuple[Path, Path], tmp_path: Path, threshold: int, cosigned: int, code: int
) -> None:
    witnesses = [SignerKey.generate(f"witness.example/w{number}", kind=COSIGNATURE_V1) for number in (1, 2)]
    names = [key.name for key in witnesses]
    lines = [f"witness {key.name} {key.verifier}" for key in witnesses]
    group = f"group cities {threshold} {' '.join(names)}"
    trust = tmp_path / "quorum"
    trust.write_text("\n".join([f"log {SIGNER.verifier}", *lines, group, "quorum cities"]) + "\n", "utf-8")
    proof = LogProof.parse(receipt[1].read_bytes())
    checkpoint = add_signatures(proof.checkpoint, witnesses[:cosigned], 1_793_491_200)
    receipt[1].write_bytes(replace(proof, checkpoint=checkpoint).to_bytes())
    arguments = ("audit", "verify-receipt", "--trust", trust, "--entry", receipt[0], "--proof", receipt[1], "--json")
    done = run(*arguments)
    assert done.code == code
    if code == 0:
        assert sorted(done.document["witnesses"]) == names[:cosigned]


def test_a_witness_whose_name_is_no_text_is_shown_escaped(run: Run, receipt: tuple[Path, Path], tmp_path: Path) -> None:
    """Names in a trust file are opaque."""
    witness = SignerKey.generate("witness.example/w1", kind=COSIGNATURE_V1)
    lines = (
        f"log {SIGNER.verifier}".encode(),
        b"witness \xff\xfe " + str(witness.verifier).encode(),
        b"quorum \xff\xfe",
    )
    trust = tmp_path / "quorum"
    trust.write_bytes(b"".join(line + b"\n" for line in lines))
    proof = LogProof.parse(receipt[1].read_bytes())
    checkpoint = add_signatures(proof.checkpoint, [witness], 1_793_491_200)
    receipt[1].write_bytes(replace(proof, checkpoint=checkpoint).to_bytes())
    arguments = ("audit", "verify-receipt", "--trust", trust, "--entry", receipt[0], "--proof", receipt[1])
    assert run(*arguments, "--json").document["witnesses"] == ["\\xff\\xfe"]
    assert "1 witness(es)" in run(*arguments).out


def test_a_cosignature_of_a_stranger_counts_for_nothing(run: Run, receipt: tuple[Path, Path], tmp_path: Path) -> None:
    """The same name, and another key; and the log's own key makes no witness."""
    name = "witness.example/w1"
    known, stranger = (SignerKey.generate(name, kind=COSIGNATURE_V1) for _ in range(2))
    trust = tmp_path / "quorum"
    trust.write_text(f"log {SIGNER.verifier}\nwitness {name} {known.verifier}\nquorum {name}\n", "utf-8")
    proof = LogProof.parse(receipt[1].read_bytes())
    for signer in (stranger, SIGNER):
        checkpoint = add_signatures(proof.checkpoint, [signer], 1_793_491_200)
        receipt[1].write_bytes(replace(proof, checkpoint=checkpoint).to_bytes())
        done = run("audit", "verify-receipt", "--trust", trust, "--entry", receipt[0], "--proof", receipt[1], "--json")
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
