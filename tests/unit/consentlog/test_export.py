from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gateway.consentlog.export import held_entries, write_export
from gateway.consentlog.merkle import leaf_hash, root_of
from gateway.consentlog.note import COSIGNATURE_V1, SignerKey
from gateway.consentlog.verify import verify_export
from gateway.errors import Reason, TiergateError
from tests.unit.consentlog.samples import BUNDLE, DIGEST, ORIGIN, TRUST, MemoryLog, cosigned_log, long_log, small_log

BUNDLES: Mapping[str, bytes] = {DIGEST: BUNDLE}


def files(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def export(directory: Path, entries: list[bytes]) -> Path:
    write_export(MemoryLog(entries), directory, BUNDLES, TRUST)
    return directory


def refused(directory: Path, *reasons: Reason, trust: bytes = TRUST) -> TiergateError:
    with pytest.raises(TiergateError) as caught:
        verify_export(directory, trust)
    assert caught.value.reason in reasons
    return caught.value


def test_a_small_export_has_exactly_these_files(tmp_path: Path) -> None:
    export(tmp_path, small_log())
    assert set(files(tmp_path)) == {
        "checkpoint",
        "trust",
        f"bundles/{DIGEST}.json",
        "tile/0/000.p/6",
        "tile/entries/000.p/6",
    }


@pytest.mark.parametrize("size", [3, 255, 256, 257, 520])
def test_an_export_verifies_at_any_size(tmp_path: Path, size: int) -> None:
    log = long_log(size)
    verified = verify_export(export(tmp_path, log), TRUST)
    assert verified.size == size
    assert verified.origin == ORIGIN
    assert verified.root == root_of(map(leaf_hash, log))
    assert sum(verified.entries.values()) == size
    assert verified.bundles == {DIGEST}
    assert verified.witnesses == 0


@pytest.mark.parametrize("size", [3, 255, 256, 257, 520])
def test_an_export_is_gone_on_with(tmp_path: Path, size: int) -> None:
    log = long_log(530)
    assert list(held_entries(tmp_path, 530)) == []
    export(tmp_path, log[:size])
    assert list(held_entries(tmp_path, 530)) == log[:size]
    assert list(held_entries(tmp_path, size)) == log[:size]
    below = list(held_entries(tmp_path, size - 1))  # of a partial bundle all or nothing
    assert below == log[: len(below)]
    export(tmp_path, [*held_entries(tmp_path, 530), *log[size:]])
    assert verify_export(tmp_path, TRUST).size == 530


def test_a_bundle_that_is_none_is_not_gone_on_with(tmp_path: Path) -> None:
    export(tmp_path, long_log(300))
    path = tmp_path / "tile/entries/000"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TiergateError) as caught:
        list(held_entries(tmp_path, 300))
    assert caught.value.reason is Reason.LOG_CORRUPT


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    export(tmp_path, small_log())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    export(tmp_path, small_log())
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_grown_log_is_brought_up_to_date(tmp_path: Path) -> None:
    for size in (100, 256, 300):
        assert verify_export(export(tmp_path / "one", long_log(size)), TRUST).size == size
    assert files(tmp_path / "one") == files(export(tmp_path / "two", long_log(300)))


def test_the_checkpoint_comes_after_every_folder_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    folder = export(tmp_path / "made" / "export", long_log(300))
    before = set(synced[: synced.index(folder / "checkpoint.tmp")])
    holding = {path.parent for path in folder.rglob("*")} | {tmp_path, tmp_path / "made"}
    assert holding <= before


def test_what_a_broken_off_export_left_is_cleared(tmp_path: Path) -> None:
    export(tmp_path, long_log(100))
    (tmp_path / "tile/0/000.p/77.tmp").write_bytes(b"half")
    (tmp_path / "tile/0/000.p/77").write_bytes(b"older")
    for name in ("checkpoint", "trust", f"bundles/{DIGEST}.json", "tile/0/000"):
        (tmp_path / f"{name}.tmp").write_bytes(b"half")
    verify_export(export(tmp_path, long_log(100)), TRUST)


def test_a_file_of_somebody_elses_is_not_taken_for_what_a_broken_off_export_left(tmp_path: Path) -> None:
    (tmp_path / "notes.tmp").write_bytes(b"mine")
    assert "notes.tmp" in files(export(tmp_path, small_log()))


@pytest.mark.parametrize(("held", "shown"), [(300, 300), (300, 600), (300, 290), (100, 100), (100, 120), (100, 90)])
def test_another_history_is_not_written_over(tmp_path: Path, held: int, shown: int) -> None:
    export(tmp_path, long_log(held))
    before = files(tmp_path)
    other = long_log(shown)
    other[5], other[6] = other[6], other[5]
    with pytest.raises(TiergateError) as caught:
        export(tmp_path, other)
    assert caught.value.reason is Reason.LOG_CORRUPT
    assert files(tmp_path) == before


def test_less_of_the_same_log_is_not_written_over_more_of_it(tmp_path: Path) -> None:
    export(tmp_path, long_log(300))
    before = files(tmp_path)
    with pytest.raises(TiergateError) as caught:
        export(tmp_path, long_log(280))
    assert (caught.value.reason, "300 entries" in caught.value.detail) == (Reason.LOG_CORRUPT, True)
    assert files(tmp_path) == before


def test_a_log_of_another_name_or_an_unreadable_checkpoint_is_not_written_over(tmp_path: Path) -> None:
    export(tmp_path, long_log(10))
    before = files(tmp_path)
    signer = SignerKey.generate("log.example/other")
    trust = f"log {signer.verifier}\nquorum none\n".encode()
    with pytest.raises(TiergateError) as caught:
        write_export(MemoryLog(long_log(20), signer, signer.name), tmp_path, BUNDLES, trust)
    assert (caught.value.reason, ORIGIN in caught.value.detail) == (Reason.LOG_CORRUPT, True)
    assert files(tmp_path) == before
    (tmp_path / "checkpoint").write_bytes(b"none")
    with pytest.raises(TiergateError) as caught:
        export(tmp_path, long_log(20))
    assert caught.value.reason is Reason.LOG_CORRUPT
    assert files(tmp_path) == {**before, "checkpoint": b"none"}


def test_signatures_that_the_trust_file_has_no_key_for_are_not_exported(tmp_path: Path) -> None:
    write_export(cosigned_log([SignerKey.generate("witness.example", COSIGNATURE_V1)]), tmp_path, BUNDLES, TRUST)
    assert (tmp_path / "checkpoint").read_text("utf-8") == MemoryLog(small_log()).checkpoint()


class Shortened(MemoryLog):
    def entries(self, start: int, end: int) -> Iterator[bytes]:
        return super().entries(start, end - 1)


class Altered(MemoryLog):
    def entries(self, start: int, end: int) -> Iterator[bytes]:
        yield from (item.replace(b"fuzhou", b"xiamen") for item in super().entries(start, end))


@pytest.mark.parametrize("kind", [Shortened, Altered])
def test_entries_that_do_not_lead_to_the_checkpoint_are_not_exported(tmp_path: Path, kind: type[MemoryLog]) -> None:
    with pytest.raises(TiergateError) as caught:
        write_export(kind(long_log(300)), tmp_path, BUNDLES, TRUST)
    assert caught.value.reason is Reason.LOG_CORRUPT
    assert files(tmp_path) == {}


def test_bundle_bytes_must_match_their_digest(tmp_path: Path) -> None:
    with pytest.raises(TiergateError) as caught:
        write_export(MemoryLog(small_log()), tmp_path, {DIGEST: b"{}"}, TRUST)
    assert caught.value.reason is Reason.BUNDLE_INVALID
    assert files(tmp_path) == {}


def test_a_checkpoint_outside_the_trust_file_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(TiergateError) as caught:
        write_export(MemoryLog(small_log()), tmp_path, BUNDLES, b"quorum none\n")
    assert caught.value.reason is Reason.NOTE_INVALID


def test_a_place_that_cannot_be_written_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TiergateError) as caught:
        export(tmp_path / "file", small_log())
    assert caught.value.reason is Reason.STORE_FAILED


@pytest.mark.parametrize("name", ["checkpoint", "trust", f"bundles/{DIGEST}.json", "tile/0/000.p/6"])
def test_a_fifo_in_the_place_of_a_file_is_a_typed_error(tmp_path: Path, name: str) -> None:
    export(tmp_path, small_log())
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(TiergateError) as caught:
        export(tmp_path, small_log())
    assert caught.value.reason is Reason.STORE_FAILED
