from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest

from gateway.consentlog.merkle import (
    EMPTY_ROOT,
    CompletedNode,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_at,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from gateway.errors import Reason, TiergateError
from tests.fakes.naive_tree import NaiveTree

SIZE = 300
LEAVES = [leaf_hash(str(index).encode()) for index in range(SIZE)]


NAIVE = NaiveTree(LEAVES)


def subtree(level: int, index: int) -> bytes:
    assert (index + 1) << level <= SIZE
    return NaiveTree(LEAVES[index << level : (index + 1) << level]).root(1 << level)


NODES = {(level, index): subtree(level, index) for level in range(9) for index in range(SIZE >> level)}
ROOTS = [NAIVE.root(size) for size in range(SIZE + 1)]


def get(level: int, index: int) -> bytes:
    return NODES[level, index]


def test_frontier_agrees_with_the_definition_at_every_size() -> None:
    frontier = Frontier()
    completed: list[CompletedNode] = []
    for size in range(SIZE + 1):
        assert frontier.size == size
        assert frontier.root() == ROOTS[size] == root_of(LEAVES[:size]) == root_at(size, get)
        assert Frontier.from_bytes(frontier.to_bytes()).root() == ROOTS[size]
        assert Frontier.from_subtrees(size, get).to_bytes() == frontier.to_bytes()
        if size < SIZE:
            frontier.append(LEAVES[size], completed)
    assert {(level, index): node for level, index, node in completed} == NODES
    assert ROOTS[0] == EMPTY_ROOT


def test_frontier_goes_back_to_a_copy() -> None:
    frontier = Frontier.from_subtrees(100, get)
    saved = frontier.copy()
    for leaf in LEAVES[100:]:
        frontier.append(leaf)
    assert saved.root() == ROOTS[100]
    frontier.restore(saved)
    frontier.append(LEAVES[100])
    assert frontier.root() == ROOTS[101]
    assert saved.root() == ROOTS[100]


def test_every_inclusion_proof_verifies() -> None:
    for size in range(1, SIZE + 1):
        for index in range(size):
            proof = inclusion_proof(index, size, get)
            verify_inclusion(index, size, LEAVES[index], proof, ROOTS[size])


def test_every_consistency_proof_verifies() -> None:
    for new in range(1, SIZE + 1):
        for old in range(1, new + 1):
            verify_consistency(old, new, ROOTS[old], ROOTS[new], consistency_proof(old, new, get))


def refused(call: Callable[[], None]) -> None:
    with pytest.raises(TiergateError) as caught:
        call()
    assert caught.value.reason is Reason.PROOF_OF_LOG_INVALID


@pytest.mark.parametrize("size", [2, 7, 64, 65, 129, 130])
def test_changed_inclusion_proofs_are_refused(size: int) -> None:
    index = size // 2
    leaf, root = LEAVES[index], ROOTS[size]
    proof = inclusion_proof(index, size, get)
    for position in range(len(proof)):
        bad = [*proof[:position], sha256(proof[position]).digest(), *proof[position + 1 :]]
        refused(lambda bad=bad: verify_inclusion(index, size, leaf, bad, root))  # type: ignore[misc]
    refused(lambda: verify_inclusion(index, size, leaf, proof[:-1], root))
    refused(lambda: verify_inclusion(index, size, leaf, [*proof, root], root))
    refused(lambda: verify_inclusion(index, size, leaf, [proof[0][:31], *proof[1:]], root))
    refused(lambda: verify_inclusion(index - 1, size, leaf, proof, root))
    refused(lambda: verify_inclusion(-1, size, leaf, proof, root))
    refused(lambda: verify_inclusion(size, size, leaf, proof, root))
    refused(lambda: verify_inclusion(index, size, LEAVES[index - 1], proof, root))
    refused(lambda: verify_inclusion(index, size, leaf, proof, ROOTS[size - 1]))
    refused(lambda: verify_inclusion(index, size, leaf, proof, b""))


@pytest.mark.parametrize(("old", "new"), [(1, 2), (3, 7), (64, 65), (65, 130), (100, 129)])
def test_changed_consistency_proofs_are_refused(old: int, new: int) -> None:
    proof = consistency_proof(old, new, get)
    for position in range(len(proof)):
        bad = [*proof[:position], sha256(proof[position]).digest(), *proof[position + 1 :]]
        refused(lambda bad=bad: verify_consistency(old, new, ROOTS[old], ROOTS[new], bad))  # type: ignore[misc]
    refused(lambda: verify_consistency(old, new, ROOTS[old], ROOTS[new], proof[:-1]))
    refused(lambda: verify_consistency(old, new, ROOTS[old], ROOTS[new], [*proof, ROOTS[1]]))
    refused(lambda: verify_consistency(old, new, ROOTS[old], ROOTS[new], [proof[0] + b"x", *proof[1:]]))
    refused(lambda: verify_consistency(old, new, ROOTS[new], ROOTS[old], proof))
    refused(lambda: verify_consistency(new, old, ROOTS[new], ROOTS[old], proof))
    refused(lambda: verify_consistency(0, new, EMPTY_ROOT, ROOTS[new], proof))
    refused(lambda: verify_consistency(old, old, ROOTS[old], ROOTS[old], proof))
    refused(lambda: verify_consistency(old, old, ROOTS[old], ROOTS[new], []))


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_no_inclusion_proof_outside_the_tree(index: int, size: int) -> None:
    with pytest.raises(TiergateError) as caught:
        inclusion_proof(index, size, get)
    assert caught.value.reason is Reason.RANGE_INVALID


@pytest.mark.parametrize(("old", "new"), [(0, 3), (4, 3), (-1, 3)])
def test_no_consistency_proof_between_impossible_sizes(old: int, new: int) -> None:
    with pytest.raises(TiergateError) as caught:
        consistency_proof(old, new, get)
    assert caught.value.reason is Reason.RANGE_INVALID


@pytest.mark.parametrize("data", [b"", b"\x00" * 7, b"\x00" * 7 + b"\x01", b"\x00" * 8 + b"x" * 32])
def test_a_stored_frontier_of_the_wrong_length_is_refused(data: bytes) -> None:
    with pytest.raises(TiergateError) as caught:
        Frontier.from_bytes(data)
    assert caught.value.reason is Reason.LOG_CORRUPT
