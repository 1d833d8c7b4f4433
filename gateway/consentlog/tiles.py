"""C2SP tlog-tiles: paths, tile arithmetic, entry bundles, and the tree as read from or built into tiles.

A tile ``(level, number, width)`` holds ``width`` (1 to 256) hashes of subtrees of height ``8 * level``; 256 is full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gateway.consentlog.merkle import HASH_SIZE, CompletedNode, Frontier, GetSubtree, root_of
from gateway.errors import Reason, TiergateError

TILE_HEIGHT = 8
TILE_WIDTH = 256
MAX_TILE_LEVEL = 63
MAX_ENTRY_BYTES = 0xFFFF


class Tile(NamedTuple):
    """Coordinates of a hash tile. ``width`` 256 means full, less means the right edge of some tree."""

    level: int
    number: int
    width: int


class Bundle(NamedTuple):
    """Coordinates of an entry bundle; entries ``256 * number`` onwards, ``width`` of them."""

    number: int
    width: int


def _suffix(number: int, width: int) -> str:
    if number < 0 or not 1 <= width <= TILE_WIDTH:
        raise TiergateError(Reason.RANGE_INVALID, "tile number or width out of range")
    groups = [f"{number % 1000:03d}"]
    while number := number // 1000:
        groups.append(f"x{number % 1000:03d}")
    path = "/".join(reversed(groups))
    return path if width == TILE_WIDTH else f"{path}.p/{width}"


def tile_path(tile: Tile) -> str:
    """Path of a hash tile below the log's prefix; RANGE_INVALID for coordinates that no tile has."""
    if not 0 <= tile.level <= MAX_TILE_LEVEL:
        raise TiergateError(Reason.RANGE_INVALID, "tile level out of range")
    return f"tile/{tile.level}/{_suffix(tile.number, tile.width)}"


def bundle_path(bundle: Bundle) -> str:
    """Path of an entry bundle below the log's prefix."""
    return f"tile/entries/{_suffix(bundle.number, bundle.width)}"


def widths(level: int, size: int) -> tuple[int, int]:
    """Number of full tiles, and width of the partial one (0: none), at ``level`` of a tree of ``size`` leaves."""
    full, partial = divmod(size >> (TILE_HEIGHT * level), TILE_WIDTH)
    return full, partial


def tiles_of(size: int) -> Iterator[Tile]:
    """Every hash tile of a tree of ``size`` leaves, lowest level first."""
    level = 0
    while size >> (TILE_HEIGHT * level):
        full, partial = widths(level, size)
        yield from (Tile(level, index, TILE_WIDTH) for index in range(full))
        if partial:
            yield Tile(level, full, partial)
        level += 1


def bundles_of(size: int) -> Iterator[Bundle]:
    """Every entry bundle of a log of ``size`` entries."""
    full, partial = widths(0, size)
    yield from (Bundle(index, TILE_WIDTH) for index in range(full))
    if partial:
        yield Bundle(full, partial)


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Entries, each after its length as a big-endian uint16; RANGE_INVALID for an entry over 65535 bytes."""
    if any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise TiergateError(Reason.RANGE_INVALID, "entry too long for a bundle")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_bundle(data: bytes, width: int) -> list[bytes]:
    """The ``width`` entries of a bundle; LOG_CORRUPT when the bytes end early, late, or hold another number."""
    entries: list[bytes] = []
    position = 0
    while position < len(data) and len(entries) < width:
        start = position + 2
        position = start + int.from_bytes(data[position:start], "big")
        if start > len(data) or position > len(data):
            raise TiergateError(Reason.LOG_CORRUPT, "entry bundle is truncated")
        entries.append(data[start:position])
    if position != len(data) or len(entries) != width:
        raise TiergateError(Reason.LOG_CORRUPT, "entry bundle holds another number of entries")
    return entries


def subtree_reader(size: int, read_tile: Callable[[Tile], bytes]) -> GetSubtree:
    """How proofs fetch hashes from a log of ``size`` leaves that is stored as tiles.

    ``read_tile`` is asked for tiles of ``tiles_of(size)`` alone; what it returns must have 32 bytes per hash
    (LOG_CORRUPT).
    """

    def get_subtree(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, TILE_HEIGHT)
        number, first = divmod(index << height, TILE_WIDTH)
        width = min(TILE_WIDTH, (size >> (TILE_HEIGHT * tile_level)) - number * TILE_WIDTH)
        if first + (1 << height) > width:
            raise TiergateError(Reason.RANGE_INVALID, "subtree is not complete in the tree")
        data = read_tile(Tile(tile_level, number, width))
        if len(data) != width * HASH_SIZE:
            raise TiergateError(Reason.LOG_CORRUPT, "stored tile has the wrong length")
        start = first * HASH_SIZE
        end = start + (HASH_SIZE << height)
        return root_of(data[at : at + HASH_SIZE] for at in range(start, end, HASH_SIZE))

    return get_subtree


class TileBuilder:
    """Turns a stream of leaf hashes into finished tiles in constant memory: one open tile per level."""

    def __init__(self) -> None:
        self._frontier = Frontier()
        self._open: list[bytearray] = []

    @property
    def frontier(self) -> Frontier:
        """Size and root so far; not to be appended to by others."""
        return self._frontier

    def add(self, leaf: bytes) -> list[tuple[Tile, bytes]]:
        """Add one leaf hash; the tiles that it filled."""
        completed: list[CompletedNode] = []
        self._frontier.append(leaf, completed)
        finished = []
        for level, index, node in completed:
            tile_level, height = divmod(level, TILE_HEIGHT)
            if height:
                continue
            if tile_level == len(self._open):
                self._open.append(bytearray())
            self._open[tile_level] += node
            if index % TILE_WIDTH == TILE_WIDTH - 1:
                finished.append((Tile(tile_level, index // TILE_WIDTH, TILE_WIDTH), bytes(self._open[tile_level])))
                self._open[tile_level].clear()
        return finished

    def partial(self) -> list[tuple[Tile, bytes]]:
        """The unfinished tiles at the right edge."""
        return [
            (Tile(level, widths(level, self._frontier.size)[0], len(data) // HASH_SIZE), bytes(data))
            for level, data in enumerate(self._open)
            if data
        ]
