"""What a witness keeps on disk: one state per key, changed by one writer, evidence whole or not there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from gateway.consentlog.note import COSIGNATURE_V1, SignerKey
from gateway.consentlog.witness import AddCheckpoint, ClockError, Fork, ForkKind, Witness
from gateway.errors import Reason, TiergateError
from gateway.witness.evidence import EvidenceFolder
from gateway.witness.state import DATABASE, EVIDENCE, SqliteWitnessState, read_rows
from tests.fakes.witnessed import ORIGIN, TIME, LogOfLeaves

KEY = SignerKey.generate("witness.example/w1", COSIGNATURE_V1)


def opened(folder: Path, found: list[Fork] | None = None, key: SignerKey = KEY) -> SqliteWitnessState:
    forks = [] if found is None else found
    return SqliteWitnessState(folder, key.verifier, unproven_kept=2, found=forks.append)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    SqliteWitnessState.create(tmp_path / "state", KEY.verifier)
    return tmp_path / "state"


def refusal(folder: Path, key: SignerKey = KEY) -> Reason:
    with pytest.raises(TiergateError) as caught:
        opened(folder, key=key)
    return caught.value.reason


def test_it_remembers_across_restarts(folder: Path) -> None:
    log = LogOfLeaves()
    old = 0
    for size in (3, 4, 4, 9):
        with opened(folder) as state:
            witness = Witness(KEY, {ORIGIN: [log.signer.verifier]}, state, lambda: TIME)
            assert witness.add_checkpoint(log.request(old, size)).status == 200
        old = size
    assert read_rows(folder) == [(ORIGIN, 9, log.note(9), TIME)]


def test_a_clock_that_went_back_over_a_restart_signs_nothing(folder: Path) -> None:
    log = LogOfLeaves()
    for old, size, now in ((0, 3, TIME), (3, 4, TIME - 1), (3, 4, TIME)):
        with opened(folder) as state:
            witness = Witness(KEY, {ORIGIN: [log.signer.verifier]}, state, lambda now=now: now)  # type: ignore[misc]
            if now < TIME:
                with pytest.raises(ClockError):
                    witness.add_checkpoint(log.request(old, size))
            else:
                assert witness.add_checkpoint(log.request(old, size)).status == 200


def test_a_state_has_one_user_one_key_and_is_never_made_again(folder: Path, tmp_path: Path) -> None:
    with opened(folder):
        assert refusal(folder) is Reason.STORE_BUSY
    assert refusal(folder, SignerKey.generate("witness.example/w1", COSIGNATURE_V1)) is Reason.KEY_INVALID
    with pytest.raises(TiergateError):
        SqliteWitnessState.create(folder, KEY.verifier)
    assert refusal(tmp_path / "elsewhere") is Reason.CONFIG_INVALID
    assert (folder / DATABASE).stat().st_mode & 0o077 == 0


def test_a_note_that_is_not_the_newest_any_more_is_not_replaced(folder: Path) -> None:
    log = LogOfLeaves()
    with opened(folder) as state:
        state.advance(ORIGIN, None, log.note(5), 5, TIME)
        for before in (None, log.note(4)):
            with pytest.raises(TiergateError) as caught:
                state.advance(ORIGIN, before, log.note(6), 6, TIME)
            assert caught.value.reason is Reason.STORE_BUSY
        assert state.newest(ORIGIN) == (log.note(5), TIME)


def fork(size: int, kind: ForkKind = "split", branch: int = 0) -> Fork:
    log = LogOfLeaves()
    other = LogOfLeaves(log.signer, f"fork {branch} ")
    return Fork(kind, ORIGIN, log.note(5), other.note(size), other.request(5, size))


def test_evidence_is_kept_once_whole_and_for_its_owner_alone(folder: Path) -> None:
    found: list[Fork] = []
    first, second = fork(5), fork(5, branch=1)
    with opened(folder, found) as state:
        for item in (first, second, first):
            state.keep(item)
    assert found == [first, second]
    kept = list(EvidenceFolder(folder / EVIDENCE).all())
    assert [item.kind for item in kept] == ["split", "split"]
    contents = {tuple((item.folder / name).read_bytes() for name in ("seen", "shown", "request")) for item in kept}
    assert contents == {(item.seen, item.shown, item.request) for item in (first, second)}
    assert all(item.folder.stat().st_mode & 0o077 == 0 for item in kept)


def test_what_proves_nothing_cannot_fill_the_disk_and_hides_no_fork(folder: Path) -> None:
    found: list[Fork] = []
    asked: list[tuple[int, ForkKind, int]] = [(9, "unproven", branch) for branch in range(5)]
    asked += [(5, "split", branch) for branch in range(5)] + [(9, "inconsistent", branch) for branch in range(5)]
    with opened(folder, found) as state:
        for item in asked:
            state.keep(fork(*item))
            assert found[-1].shown in kept_notes(folder)
    kinds = Counter(item.kind for item in EvidenceFolder(folder / EVIDENCE).all())
    assert (kinds, len(found)) == ({"unproven": 2, "split": 5, "inconsistent": 5}, 15)


def test_a_fork_is_alarmed_also_where_it_cannot_be_kept(folder: Path) -> None:
    found: list[Fork] = []
    (folder / EVIDENCE).write_bytes(b"no folder")
    with opened(folder, found) as state, pytest.raises(TiergateError) as caught:
        state.keep(fork(5))
    assert (caught.value.reason, len(found)) == (Reason.STORE_FAILED, 1)


def test_a_strangers_wrong_proofs_neither_stay_nor_hide_a_fork(folder: Path) -> None:
    """Genuine checkpoints, each with a wrong proof: more than are kept; then a fork, and then the true proofs."""
    found: list[Fork] = []
    log = LogOfLeaves()
    other = LogOfLeaves(log.signer, "fork")
    with opened(folder, found) as state:
        witness = Witness(KEY, {ORIGIN: [log.signer.verifier]}, state, lambda: TIME)
        assert witness.add_checkpoint(log.request(0, 4)).status == 200
        for size in (6, 7, 8, 9):
            assert witness.add_checkpoint(AddCheckpoint(4, (bytes(32),), log.note(size)).to_bytes()).status == 422
        assert witness.add_checkpoint(other.request(4, 12)).status == 422
        assert [item.shown for item in found] == [log.note(size) for size in (6, 7, 8, 9)] + [other.note(12)]
        assert other.note(12) in kept_notes(folder)
        assert len(kept_notes(folder)) == 2
        for old, size in ((4, 6), (6, 7), (7, 8), (8, 9), (9, 12)):
            assert witness.add_checkpoint(log.request(old, size)).status == 200
        assert kept_notes(folder) == {other.note(12)}  # the true one of 12 entries does not excuse it


def kept_notes(folder: Path) -> set[bytes]:
    return {(item.folder / "shown").read_bytes() for item in EvidenceFolder(folder / EVIDENCE).all()}


def test_evidence_that_was_broken_off_is_written_again(folder: Path) -> None:
    item = fork(5)
    evidence = EvidenceFolder(folder / EVIDENCE)
    evidence.keep(item)
    (kept,) = evidence.all()
    kept.folder.rename(kept.folder.with_name(kept.folder.name + ".partial"))
    assert list(evidence.all()) == []
    assert evidence.keep(item)
    assert [found.folder for found in evidence.all()] == [kept.folder]
