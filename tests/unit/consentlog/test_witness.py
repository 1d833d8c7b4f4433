"""The rules of a witness: every status of the protocol, one history alone, evidence of every other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.encoding import encode_base64
from gateway.consentlog.note import COSIGNATURE_V1, SignerKey, add_signatures, open_note, parse_note, sign_note
from gateway.consentlog.witness import MAX_PROOF_LINES, SIZE, AddCheckpoint, Answer, ClockError, Witness, log_id
from gateway.errors import Reason, TiergateError
from tests.fakes.witnessed import ORIGIN, TIME, LogOfLeaves, MemoryState

KEY = SignerKey.generate("witness.example/w1", COSIGNATURE_V1)
OTHER = "log.example/other"


@pytest.fixture
def log() -> LogOfLeaves:
    return LogOfLeaves()


@pytest.fixture
def state() -> MemoryState:
    return MemoryState()


@pytest.fixture
def witness(log: LogOfLeaves, state: MemoryState) -> Witness:
    return Witness(KEY, {ORIGIN: [log.signer.verifier]}, state, lambda: TIME)


def cosigned(answer: Answer, note: bytes) -> None:
    """The answer is one valid cosignature of the note at the witness's time."""
    assert answer.status == 200
    assert open_note(note + answer.body, [KEY.verifier]).signed_by == ((KEY.verifier, TIME),)
    assert answer.body.count(b"\n") == 1


def test_a_log_that_grows_is_cosigned_each_time(witness: Witness, log: LogOfLeaves, state: MemoryState) -> None:
    old = 0
    for size in (1, 2, 3, 7, 8, 8, 255, 256, 257):
        cosigned(witness.add_checkpoint(log.request(old, size)), log.note(size))
        assert state.notes[ORIGIN] == log.note(size)
        old = size
    assert state.forks == []


def test_a_log_may_begin_with_its_empty_tree(witness: Witness, log: LogOfLeaves) -> None:
    cosigned(witness.add_checkpoint(log.request(0, 0)), log.note(0))
    cosigned(witness.add_checkpoint(log.request(0, 5)), log.note(5))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"old 0\n\n",
        b"old 00\n\nx",
        b"old -1\n\nx",
        b"old 9223372036854775808\n\nx",
        b"old  1\n\nx",
        b"size 1\n\nx",
        b"old 1\nAAAA\n\nx",
        b"old 1\n" + encode_base64(bytes(32)).rstrip("=").encode() + b"\n\nx",
        b"old 1\n" + MAX_PROOF_LINES * (encode_base64(bytes(32)).encode() + b"\n") + b"\nno note",
        b"old 0\n\nno note",
        b"old 0\n\norigin\n1\n" + encode_base64(bytes(32)).encode() + b"\n",
    ],
)
def test_what_is_no_request_is_400(witness: Witness, body: bytes) -> None:
    assert witness.add_checkpoint(body).status == 400


def test_more_than_63_proof_lines_are_400(witness: Witness, log: LogOfLeaves) -> None:
    raw = AddCheckpoint(1, (bytes(32),) * (MAX_PROOF_LINES + 1), log.note(2)).to_bytes()
    assert witness.add_checkpoint(raw).status == 400
    fewer = AddCheckpoint(1, (bytes(32),) * MAX_PROOF_LINES, log.note(2)).to_bytes()
    assert witness.add_checkpoint(fewer).status == 409


def test_an_old_size_beyond_the_checkpoint_is_400(witness: Witness, log: LogOfLeaves) -> None:
    assert witness.add_checkpoint(AddCheckpoint(6, (), log.note(5)).to_bytes()).status == 400


def test_an_unknown_log_is_404_whoever_signed_it(witness: Witness, log: LogOfLeaves) -> None:
    other = LogOfLeaves(SignerKey(OTHER, log.signer.private))
    assert witness.add_checkpoint(other.request(0, 5)).status == 404


def test_a_checkpoint_without_a_valid_signature_of_its_log_is_403(
    witness: Witness, log: LogOfLeaves, state: MemoryState
) -> None:
    forged = LogOfLeaves(SignerKey.generate(ORIGIN))
    assert witness.add_checkpoint(forged.request(0, 5)).status == 403
    text, _, signature = log.note(5).partition(b"\n\n")
    broken = text.replace(b"\n5\n", b"\n6\n") + b"\n\n" + signature
    assert witness.add_checkpoint(AddCheckpoint(0, (), broken).to_bytes()).status == 403
    assert (state.notes, state.forks) == ({}, [])


def test_a_strangers_signature_is_neither_minded_nor_kept(
    witness: Witness, log: LogOfLeaves, state: MemoryState
) -> None:
    note = add_signatures(log.note(5), [SignerKey.generate("stranger.example")])
    cosigned(witness.add_checkpoint(AddCheckpoint(0, (), note).to_bytes()), log.note(5))
    assert state.notes[ORIGIN] == log.note(5)


@pytest.mark.parametrize("old", [0, 3, 7])
def test_another_old_size_is_409_with_the_size_that_was_cosigned(
    witness: Witness, log: LogOfLeaves, state: MemoryState, old: int
) -> None:
    assert witness.add_checkpoint(log.request(3, 8)) == Answer(409, b"0\n", SIZE)
    witness.add_checkpoint(log.request(0, 5))
    assert witness.add_checkpoint(log.request(old, 8)) == Answer(409, b"5\n", SIZE)
    assert witness.add_checkpoint(log.request(3, 3)) == Answer(409, b"5\n", SIZE)
    assert state.notes[ORIGIN] == log.note(5)
    assert state.forks == []


@pytest.mark.parametrize("old", [5, 0, 2])
def test_the_same_size_with_another_root_is_409_and_evidence(
    witness: Witness, log: LogOfLeaves, state: MemoryState, old: int
) -> None:
    witness.add_checkpoint(log.request(0, 5))
    fork = LogOfLeaves(log.signer, "fork")
    raw = fork.request(old, 5)
    assert witness.add_checkpoint(raw) == Answer(409, b"5\n", SIZE)
    (kept,) = state.forks
    assert (kept.kind, kept.origin, kept.request) == ("split", ORIGIN, raw)
    heads = [Checkpoint.parse(open_note(note, [log.signer.verifier]).text) for note in (kept.seen, kept.shown)]
    assert [head.size for head in heads] == [5, 5]
    assert heads[0].root != heads[1].root
    assert state.notes[ORIGIN] == log.note(5)


@pytest.mark.parametrize(
    ("old", "proof", "kind"),
    [
        (5, (), "unproven"),
        (5, (bytes(32),), "unproven"),
        (5, (bytes(32),) * 4, "unproven"),
        (5, None, "inconsistent"),
        (6, None, "inconsistent"),
        (4, None, "unproven"),  # a complete tree's own root is no part of its proof
    ],
)
def test_a_fork_that_has_grown_is_422_and_evidence(
    witness: Witness, log: LogOfLeaves, state: MemoryState, old: int, proof: tuple[bytes, ...] | None, kind: str
) -> None:
    witness.add_checkpoint(log.request(0, old))
    fork = LogOfLeaves(log.signer, "fork")
    raw = AddCheckpoint(old, fork.proof(old, 9) if proof is None else proof, fork.note(9)).to_bytes()
    assert witness.add_checkpoint(raw).status == 422
    (kept,) = state.forks
    assert (kept.kind, kept.seen, kept.shown, kept.request) == (kind, log.note(old), fork.note(9), raw)
    assert state.notes[ORIGIN] == log.note(old)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 3), st.binary(min_size=32, max_size=32))
def test_no_wrong_proof_convicts_a_log_that_grows(old: int, more: int, place: int, wrong: bytes) -> None:
    log, state = LogOfLeaves(), MemoryState()
    witness = Witness(KEY, {ORIGIN: [log.signer.verifier]}, state, lambda: TIME)
    witness.add_checkpoint(log.request(0, old))
    proof = list(log.proof(old, old + more))
    proof[place % len(proof)] = wrong
    assert witness.add_checkpoint(AddCheckpoint(old, tuple(proof), log.note(old + more)).to_bytes()).status == 422
    assert [fork.kind for fork in state.forks] == ["unproven"]


def test_a_proof_where_none_may_be_is_422(witness: Witness, log: LogOfLeaves, state: MemoryState) -> None:
    assert witness.add_checkpoint(AddCheckpoint(0, (bytes(32),), log.note(5)).to_bytes()).status == 422
    witness.add_checkpoint(log.request(0, 5))
    assert witness.add_checkpoint(AddCheckpoint(5, (bytes(32),), log.note(5)).to_bytes()).status == 422
    assert state.forks == []


def test_nothing_is_signed_unless_it_is_kept(log: LogOfLeaves, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(MemoryState):
        def advance(self, *_: Any) -> None:
            raise TiergateError(Reason.STORE_FAILED, "SQLITE_FULL")

    signed: list[str] = []
    monkeypatch.setattr(SignerKey, "sign", lambda _self, text, _time=None: signed.append(text))
    raw = log_request_made_before(log)
    with pytest.raises(TiergateError):
        Witness(KEY, {ORIGIN: [log.signer.verifier]}, Full(), lambda: TIME).add_checkpoint(raw)
    assert signed == []


def log_request_made_before(log: LogOfLeaves) -> bytes:
    body = Checkpoint(ORIGIN, 5, log.root(5)).body()
    signature = encode_base64(log.signer.verifier.id + log.signer.private.sign(body.encode()))
    return AddCheckpoint(0, (), f"{body}\n— {ORIGIN} {signature}\n".encode()).to_bytes()


@pytest.mark.parametrize(("first", "then"), [(TIME, TIME - 1), (TIME, -5), (None, -5), (None, 0), (None, 2**63)])
def test_nothing_is_changed_or_signed_at_a_time_that_a_cosignature_must_not_have(
    log: LogOfLeaves, state: MemoryState, first: int | None, then: int
) -> None:
    """As of its time the tree was the largest seen: a larger one must not have an earlier time."""
    now = [then]
    witness = Witness(KEY, {ORIGIN: [log.signer.verifier]}, state, lambda: now[0])
    old = 0
    if first is not None:
        now[0], old = first, 6
        assert witness.add_checkpoint(log.request(0, 6)).status == 200
        now[0] = then
    before = dict(state.notes)
    for size in (old, 7):
        with pytest.raises(ClockError) as caught:
            witness.add_checkpoint(log.request(old, size))
        assert f"the clock shows {then}" in caught.value.detail
    assert state.notes == before
    now[0] = TIME
    cosigned(witness.add_checkpoint(log.request(old, 7)), log.note(7))


def test_the_newest_checkpoint_is_shown_as_of_when_it_was_cosigned(log: LogOfLeaves, state: MemoryState) -> None:
    """A later time, which nobody keeps, could be after that of a larger tree once the clock has gone back."""
    now = [TIME]
    witness = Witness(KEY, {ORIGIN: [log.signer.verifier]}, state, lambda: now[0])
    answer = witness.add_checkpoint(log.request(0, 6))
    for now[0] in (TIME - 9, TIME + 9):
        assert witness.cosigned(log_id(ORIGIN)).body == log.note(6) + answer.body


def test_logs_do_not_know_of_each_other(state: MemoryState) -> None:
    one, two = LogOfLeaves(), LogOfLeaves(SignerKey.generate(OTHER), "two")
    witness = Witness(KEY, {ORIGIN: [one.signer.verifier], OTHER: [two.signer.verifier]}, state, lambda: TIME)
    cosigned(witness.add_checkpoint(one.request(0, 5)), one.note(5))
    cosigned(witness.add_checkpoint(two.request(0, 3)), two.note(3))
    assert witness.add_checkpoint(two.request(0, 4)) == Answer(409, b"3\n", SIZE)
    shown = witness.cosigned(log_id(OTHER))
    assert open_note(shown.body, [KEY.verifier, two.signer.verifier]).text == parse_note(two.note(3)).text
    assert witness.cosigned(log_id("nobody")).status == 404


def test_a_log_may_change_its_key_while_both_are_known(state: MemoryState, log: LogOfLeaves) -> None:
    newer = LogOfLeaves(SignerKey.generate(ORIGIN))
    both = [log.signer.verifier, newer.signer.verifier]
    witness = Witness(KEY, {ORIGIN: both}, state, lambda: TIME)
    cosigned(witness.add_checkpoint(log.request(0, 5)), log.note(5))
    cosigned(witness.add_checkpoint(newer.request(5, 8)), newer.note(8))
    neither = sign_note(Checkpoint(ORIGIN, 9, newer.root(9)).body(), [SignerKey.generate(ORIGIN)])
    assert witness.add_checkpoint(AddCheckpoint(8, newer.proof(8, 9), neither).to_bytes()).status == 403


def test_only_a_cosigners_key_makes_a_witness(state: MemoryState) -> None:
    with pytest.raises(TiergateError) as caught:
        Witness(SignerKey.generate("witness.example"), {}, state, lambda: TIME)
    assert caught.value.reason is Reason.KEY_INVALID


SHARED = 6
"""Leaves at which the two histories of the property test part."""


class Parted(LogOfLeaves):
    """A history that is the other one's up to ``SHARED`` leaves."""

    def leaf(self, index: int) -> bytes:
        return LogOfLeaves(self.signer, "" if index < SHARED else "fork").leaf(index)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12), st.integers(0, 12)), max_size=12))
def test_whatever_is_asked_the_cosigned_heads_are_one_growing_history(asked: list[tuple[bool, int, int]]) -> None:
    """Against the naive rule: it is cosigned exactly if all leaves that were cosigned before are in it, unchanged."""
    trunk = LogOfLeaves()
    branch = Parted(trunk.signer)
    state = MemoryState()
    witness = Witness(KEY, {ORIGIN: [trunk.signer.verifier]}, state, lambda: TIME)
    before: list[bytes] = []
    for forked, old, size in asked:
        log = branch if forked else trunk
        raw = AddCheckpoint(old, log.proof(old, size) if old <= size else (), log.note(size)).to_bytes()
        leaves = [log.leaf(index) for index in range(size)]
        continues = old == len(before) and leaves[: len(before)] == before and size >= old
        answer = witness.add_checkpoint(raw)
        assert (answer.status == 200) == continues
        if continues:
            before = leaves
