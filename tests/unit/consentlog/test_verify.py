from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from gateway.consentlog.export import write_export
from gateway.consentlog.note import COSIGNATURE_V1, SignerKey, add_signatures
from gateway.consentlog.verify import verify_export
from gateway.errors import Reason, TiergateError
from tests.unit.consentlog.samples import BUNDLE, DIGEST, ORIGIN, SIGNER, TRUST, MemoryLog, cosigned_log, small_log
from tests.unit.consentlog.test_export import export, files, refused

ANY = (Reason.LOG_CORRUPT, Reason.PROOF_OF_LOG_INVALID, Reason.NOTE_INVALID, Reason.BUNDLE_INVALID)
WITNESSES = [SignerKey.generate(name, COSIGNATURE_V1) for name in ("a.example", "b.example")]


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


@pytest.mark.parametrize("trusted", [(), WITNESSES], ids=["no witness", "any of two"])
def test_any_changed_byte_of_a_cosigned_export_is_found(tmp_path: Path, trusted: Sequence[SignerKey]) -> None:
    """Also where the log's signature would do, or one cosignature of the two."""
    lines = [f"log {SIGNER.verifier}", *(f"witness {key.name} {key.verifier}" for key in trusted)]
    quorum = ["group some any " + " ".join(key.name for key in trusted), "quorum some"] if trusted else ["quorum none"]
    trust = "\n".join([*lines, *quorum, ""]).encode()
    write_export(cosigned_log(WITNESSES), tmp_path, {DIGEST: BUNDLE}, trust)
    assert damaged(tmp_path, lambda: refused(tmp_path, *ANY, trust=trust)) > 2000
    assert verify_export(tmp_path, trust).witnesses == len(trusted)


def test_a_signature_that_nobody_can_verify_is_found(tmp_path: Path) -> None:
    path = export(tmp_path, small_log()) / "checkpoint"
    path.write_bytes(add_signatures(path.read_bytes(), [SignerKey.generate("stranger.example")]))
    assert "signature" in refused(tmp_path, Reason.NOTE_INVALID).detail
    path.write_bytes(add_signatures(MemoryLog(small_log()).checkpoint().encode(), [SIGNER]))
    assert "signature" in refused(tmp_path, Reason.NOTE_INVALID).detail


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
