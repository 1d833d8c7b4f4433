from __future__ import annotations

import pytest

from gateway.consentlog.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from gateway.consentlog.tiles import (
    TILE_WIDTH,
    Bundle,
    Tile,
    TileBuilder,
    bundle_path,
    bundles_of,
    encode_bundle,
    parse_bundle,
    subtree_reader,
    tile_path,
    tiles_of,
)
from gateway.errors import Reason, TiergateError

SIZE = 256 * 3 + 7
LEAVES = [leaf_hash(index.to_bytes(4, "big")) for index in range(SIZE)]


def build(size: int) -> tuple[TileBuilder, dict[Tile, bytes]]:
    builder = TileBuilder()
    tiles: dict[Tile, bytes] = {}
    for leaf in LEAVES[:size]:
        tiles.update(builder.add(leaf))
    tiles.update(builder.partial())
    return builder, tiles


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, SIZE])
def test_the_builder_makes_exactly_the_tiles_of_the_tree(size: int) -> None:
    _, tiles = build(size)
    assert set(tiles) == set(tiles_of(size))
    assert all(len(data) == 32 * tile.width for tile, data in tiles.items())


def test_proofs_from_tiles_verify() -> None:
    builder, tiles = build(SIZE)
    root = builder.frontier.root()
    get = subtree_reader(SIZE, tiles.__getitem__)
    for index in (0, 1, 255, 256, 511, 767, 768, SIZE - 1):
        verify_inclusion(index, SIZE, LEAVES[index], inclusion_proof(index, SIZE, get), root)
    for old in (1, 2, 255, 256, 257, 600, SIZE - 1):
        verify_consistency(old, SIZE, build(old)[0].frontier.root(), root, consistency_proof(old, SIZE, get))


def test_a_subtree_that_is_not_complete_is_refused() -> None:
    get = subtree_reader(SIZE, build(SIZE)[1].__getitem__)
    for level, index in ((0, SIZE), (3, SIZE >> 3), (8, 3), (10, 0)):
        with pytest.raises(TiergateError) as caught:
            get(level, index)
        assert caught.value.reason is Reason.RANGE_INVALID


def test_a_stored_tile_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(TiergateError) as caught:
        subtree_reader(SIZE, lambda _: bytes(31))(0, 0)
    assert caught.value.reason is Reason.LOG_CORRUPT


def test_paths() -> None:
    assert tile_path(Tile(0, 0, TILE_WIDTH)) == "tile/0/000"
    assert tile_path(Tile(63, 999, 1)) == "tile/63/999.p/1"
    assert tile_path(Tile(1, 1000, 255)) == "tile/1/x001/000.p/255"
    assert bundle_path(Bundle(1_234_067, TILE_WIDTH)) == "tile/entries/x001/x234/067"


@pytest.mark.parametrize("tile", [Tile(64, 0, 1), Tile(-1, 0, 1), Tile(0, -1, 1), Tile(0, 0, 0), Tile(0, 0, 257)])
def test_impossible_coordinates_have_no_path(tile: Tile) -> None:
    with pytest.raises(TiergateError) as caught:
        tile_path(tile)
    assert caught.value.reason is Reason.RANGE_INVALID


def test_bundles() -> None:
    entries = [b"", b"a", b"b" * 0xFFFF]
    assert parse_bundle(encode_bundle(entries), 3) == entries
    assert list(bundles_of(300)) == [Bundle(0, TILE_WIDTH), Bundle(1, 44)]
    assert list(bundles_of(0)) == []
    with pytest.raises(TiergateError) as caught:
        encode_bundle([b"b" * 0x10000])
    assert caught.value.reason is Reason.RANGE_INVALID


@pytest.mark.parametrize(
    ("data", "width"),
    [
        (b"", 1),
        (b"\x00", 1),
        (b"\x00\x02a", 1),
        (b"\x00\x01a", 2),
        (b"\x00\x01a\x00\x01b", 1),
        (b"\x00\x01a\x00", 1),
        (b"\x00\x01a\x00", 2),
    ],
)
def test_malformed_bundles_are_refused(data: bytes, width: int) -> None:
    with pytest.raises(TiergateError) as caught:
        parse_bundle(data, width)
    assert caught.value.reason is Reason.LOG_CORRUPT
