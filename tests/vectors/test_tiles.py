from __future__ import annotations

from gateway.consentlog.tiles import TILE_WIDTH, Tile, tile_path, tiles_of, widths
from tests.vectors.conftest import load, vectors_dir

FOLDER_FILES = 1
PATH_CASES = 1
TREE_CASES = 2


def test_paths() -> None:
    cases = load("tlog-tiles/spec.json")["paths"]
    for case in cases:
        assert tile_path(Tile(0, case["index"], TILE_WIDTH)) == f"tile/0/{case['path']}"
    assert len(cases) == PATH_CASES
    assert len(list((vectors_dir() / "tlog-tiles").iterdir())) == FOLDER_FILES


def test_the_tiles_of_a_tree() -> None:
    cases = load("tlog-tiles/spec.json")["trees"]
    for case in cases:
        expected = {int(level): (tile["full"], tile["partial"]) for level, tile in case["tiles"].items()}
        assert {level: widths(level, case["size"]) for level in expected} == expected
        tiles = list(tiles_of(case["size"]))
        assert {tile.level for tile in tiles} == set(expected)
        for level, (full, partial) in expected.items():
            at_level = [tile.width for tile in tiles if tile.level == level]
            assert at_level == [TILE_WIDTH] * full + [partial] * bool(partial)
    assert len(cases) == TREE_CASES
