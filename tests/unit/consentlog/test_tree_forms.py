"""One tree in three forms, at every size up to 300: by its definition, as tiles, as a frontier."""

from __future__ import annotations

from functools import cache

import pytest

from gateway.consentlog.merkle import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    inclusion_proofs,
    leaf_hash,
    root_at,
    verify_consistency,
    verify_inclusion,
)
from gateway.consentlog.tiles import Tile, TileBuilder, subtree_reader, tiles_of
from tests.fakes.naive_tree import NaiveTree

SIZE = 300
LEAVES = [leaf_hash(b"%d" % index) for index in range(SIZE)]
NAIVE = NaiveTree(LEAVES)


def test_roots_agree_at_every_size() -> None:
    builder, frontier = TileBuilder(), Frontier()
    full: dict[Tile, bytes] = {}
    for size in range(SIZE + 1):
        tiles = full | dict(builder.partial())
        assert set(tiles) == set(tiles_of(size))
        get = subtree_reader(size, tiles.__getitem__)
        assert NAIVE.root(size) == frontier.root() == builder.frontier.root() == root_at(size, get)
        assert Frontier.from_subtrees(size, get).to_bytes() == frontier.to_bytes()
        if size < SIZE:
            frontier.append(LEAVES[size])
            full.update(builder.add(LEAVES[size]))


@pytest.mark.parametrize("part", range(10))  # ten parts of a second each, which run side by side
def test_proofs_from_tiles_are_those_of_the_definition_at_every_size(part: int) -> None:
    for size in range(1 + part, SIZE + 1, 10):
        builder = TileBuilder()
        tiles: dict[Tile, bytes] = {}
        for leaf in LEAVES[:size]:
            tiles.update(builder.add(leaf))
        get = cache(subtree_reader(size, (tiles | dict(builder.partial())).__getitem__))
        together = inclusion_proofs(range(size), size, get)
        for index in range(size):
            path = inclusion_proof(index, size, get)
            assert path == NAIVE.path(index, size) == together[index]
            verify_inclusion(index, size, LEAVES[index], path, NAIVE.root(size))
        for old in range(1, size + 1):
            proof = consistency_proof(old, size, get)
            assert proof == NAIVE.proof(old, size)
            verify_consistency(old, size, NAIVE.root(old), NAIVE.root(size), proof)
