from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.consentlog.export import write_export
from gateway.consentlog.note import COSIGNATURE_V1, SignerKey, add_signatures
from gateway.consentlog.verify import verify_export
from gateway.errors import Reason, TiergateError
from tests.unit.consentlog.samples import BUNDLE, DIGEST, ORIGIN, SIGNER, TRUST, MemoryLog, small_log
from tests.unit.consentlog.test_export import export, files, refused

WITNESSES = [SignerKey.generate(f"witness.example/{number}", COSIGNATURE_V1) for number in range(2)]
ANY = (Reason.LOG_CORRUPT, Reason.PROOF_OF_LOG_INVALID, Reason.NOTE_INVALID, Reason.BUNDLE_INVALID)


def damaged(folder: Path, check: Callable[[], object]) -> int:
    """Call ``check`` with each byte of each file of an export changed in turn; how many there were."""
    changed = 0
    for name, data in files(folder).items():
        path = folder / name
        for position in range(len(data)):
            path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
            check()
            changed += 1
        path.write_bytes(data)
    return changed


def test_any_changed_byte_is_found(tmp_path: Path) -> None:
    export(tmp_path, small_log())
    assert damaged(tmp_path, lambda: refused(tmp_path, *ANY)) > 2000
    verify_export(tmp_path, TRUST)


class Cosigned(MemoryLog):
    """A log whose checkpoints two witnesses have cosigned."""

    def checkpoint(self) -> str:
        return add_signatures(super().checkpoint().encode(), WITNESSES, 1_760_000_000).decode()


@pytest.mark.parametrize("known", [0, 1, 2])
def test_any_changed_byte_of_a_cosigned_checkpoint_is_found(tmp_path: Path, known: int) -> None:
    """However many of the witnesses the auditor knows: the others' lines are not in the export."""
    names = [f"w{number}" for number in range(known)]
    lines = [f"witness {name} {key.verifier}" for name, key in zip(names, WITNESSES, strict=False)]
    quorum = [f"group g any {' '.join(names)}", "quorum g"] if names else ["quorum none"]
    trust = "\n".join([f"log {SIGNER.verifier}", *lines, *quorum, ""]).encode()
    write_export(Cosigned(small_log()), tmp_path, {DIGEST: BUNDLE}, trust)
    assert verify_export(tmp_path, trust).witnesses == known
    checkpoint = tmp_path / "checkpoint"
    data = checkpoint.read_bytes()
    for position in range(len(data)):
        for bit in range(8):
            checkpoint.write_bytes(data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :])
            refused(tmp_path, *ANY, trust=trust)
    checkpoint.write_bytes(add_signatures(data, [SignerKey.generate("w.example", COSIGNATURE_V1)], 1_760_000_000))
    refused(tmp_path, Reason.NOTE_INVALID, trust=trust)


def test_any_missing_cut_or_lengthened_file_is_found(tmp_path: Path) -> None:
    export(tmp_path, small_log())
    for name, data in files(tmp_path).items():
        path = tmp_path / name
        path.unlink()
        assert name in refused(tmp_path, Reason.LOG_CORRUPT).detail
        for bad in (b"", data[:-1], data + b"\n"):
            path.write_bytes(bad)
            refused(tmp_path, *ANY)
        path.write_bytes(data)
    verify_export(tmp_path, TRUST)


@pytest.mark.parametrize("name", ["notes.txt", "tile/1/000", "tile/0/000.p/5", f"bundles/{'0' * 64}.json"])
def test_an_unexpected_file_is_found(tmp_path: Path, name: str) -> None:
    path = export(tmp_path, small_log()) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    assert name in refused(tmp_path, Reason.LOG_CORRUPT).detail


def test_a_link_is_found(tmp_path: Path) -> None:
    export(tmp_path / "export", small_log())
    (tmp_path / "export" / "checkpoint").rename(tmp_path / "checkpoint")
    (tmp_path / "export" / "checkpoint").symlink_to(tmp_path / "checkpoint")
    refused(tmp_path / "export", Reason.LOG_CORRUPT)


def test_the_auditors_own_trust_file_decides(tmp_path: Path) -> None:
    export(tmp_path, small_log())
    other = f"log {SignerKey.generate(ORIGIN).verifier}\nquorum none\n".encode()
    refused(tmp_path, Reason.LOG_CORRUPT, trust=other)
    (tmp_path / "trust").write_bytes(other)
    refused(tmp_path, Reason.NOTE_INVALID, trust=other)
    with pytest.raises(TiergateError) as caught:
        verify_export(tmp_path, b"nonsense")
    assert caught.value.reason is Reason.POLICY_INVALID


def test_a_published_bundle_must_be_there(tmp_path: Path) -> None:
    export(tmp_path, small_log())
    (tmp_path / f"bundles/{DIGEST}.json").unlink()
    refused(tmp_path, Reason.LOG_CORRUPT)
