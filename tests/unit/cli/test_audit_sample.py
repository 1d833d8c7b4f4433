from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from gateway.consentlog.entry import decode
from gateway.consentlog.export import write_export
from gateway.consentlog.merkle import leaf_hash, root_of
from gateway.consentlog.sample import sample
from gateway.errors import Reason, TiergateError
from tests.unit.cli.conftest import Run
from tests.unit.consentlog.samples import BUNDLE, DIGEST, TRUST, MemoryLog, long_log

LOG = long_log(600)
ROOT = root_of(map(leaf_hash, LOG)).hex()
Export = tuple[Path, Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """An export of three entry bundles, and the auditor's trust file."""
    write_export(MemoryLog(LOG), tmp_path / "export", {DIGEST: BUNDLE}, TRUST)
    (tmp_path / "trust").write_bytes(TRUST)
    return tmp_path / "export", tmp_path / "trust"


def _drawn(run: Run, export: Export, *more: object) -> dict[str, object]:
    done = run("audit", "sample", export[0], "--trust", export[1], *more, "--json")
    assert done.code == 0, done.err
    document: dict[str, object] = done.document
    return document


@pytest.mark.parametrize("nonce", ["", "抽样 2026"])
def test_the_checkpoint_and_the_nonce_choose(run: Run, export: Export, nonce: str) -> None:
    document = _drawn(run, export, "--count", 20, "--type", "decision", *(("--nonce", nonce) if nonce else ()))
    seed = sha256(f"tiergate audit sample v1\n600\n{ROOT}\n{nonce}\n".encode()).digest()
    assert (document["seed"], document["population"]) == (seed.hex(), 597)
    indices = [3 + place for place in sample(seed, 597, 20)]
    entries = document["sample"]
    assert isinstance(entries, list)
    assert [item["index"] for item in entries] == indices
    assert [item["id"] for item in entries] == [decode(LOG[index]).text("id") for index in indices]


def test_all_types_and_all_entries(run: Run, export: Export) -> None:
    document = _drawn(run, export, "--count", 1000)
    entries = document["sample"]
    assert isinstance(entries, list)
    assert sorted(item["index"] for item in entries) == list(range(600))
    assert _drawn(run, export, "--count", 3, "--type", "contest")["sample"] == []


def test_people_are_told_what_to_recompute(run: Run, export: Export) -> None:
    done = run("audit", "sample", export[0], "--trust", export[1], "--count", 2, "--type", "decision")
    assert done.code == 0
    assert ROOT in done.out
    assert "time (UTC)" in done.out
    assert "2 of 597 entries" in done.out


def test_nothing_is_drawn_from_what_does_not_verify(run: Run, export: Export) -> None:
    path = export[0] / "tile/entries/001"
    path.write_bytes(path.read_bytes().replace(b"xiamen", b"fuzhou", 1))
    done = run("audit", "sample", export[0], "--trust", export[1], "--count", 2)
    assert (done.code, done.out) == (4, "")


def test_an_export_is_not_written_while_it_is_read(
    run: Run, export: Export, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from gateway.cli import audit_sample

    def grows(seed: bytes, population: int, count: int) -> list[int]:
        with pytest.raises(TiergateError) as caught:
            write_export(MemoryLog(long_log(601)), tmp_path / "export", {DIGEST: BUNDLE}, TRUST)
        assert caught.value.reason is Reason.STORE_BUSY
        return sample(seed, population, count)

    monkeypatch.setattr(audit_sample, "sample", grows)
    assert run("audit", "sample", export[0], "--trust", export[1], "--count", 2).code == 0


def test_an_export_that_changes_while_it_is_read(
    run: Run, export: Export, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from gateway.cli import audit_sample

    def grows(seed: bytes, population: int, count: int) -> list[int]:
        """By somebody who asks for no lock."""
        write_export(MemoryLog(long_log(601)), tmp_path / "export", {DIGEST: BUNDLE}, TRUST, held=True)
        return sample(seed, population, count)

    monkeypatch.setattr(audit_sample, "sample", grows)
    done = run("audit", "sample", export[0], "--trust", export[1], "--count", 2)
    assert (done.code, done.out) == (4, "")


@pytest.mark.parametrize("wrong", [("--count", 0), ("--count", 1, "--type", "decisions")], ids=str)
def test_what_cannot_be_drawn(run: Run, export: Export, wrong: tuple[object, ...]) -> None:
    assert run("audit", "sample", export[0], "--trust", export[1], *wrong).code == 2


def test_a_folder_that_is_none(run: Run, export: Export, tmp_path: Path) -> None:
    assert run("audit", "sample", tmp_path / "nowhere", "--trust", export[1], "--count", 1).code == 2
