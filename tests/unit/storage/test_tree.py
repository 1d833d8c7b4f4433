"""The stored tree: what is read from tiles is what the leaves make, in whichever form a tile stands in the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from random import Random

import pytest

from gateway.consentlog.merkle import inclusion_proof, leaf_hash, root_of, verify_inclusion
from gateway.consentlog.tiles import TILE_WIDTH
from gateway.errors import Reason, TiergateError
from gateway.sqlite.migrate import migrate
from gateway.storage.schema import MIGRATIONS
from gateway.storage.tree import NodeCache, TreeReader, TreeWriter, tile_hashes, tile_id

FULL = TILE_WIDTH * 32


class Stored:
    """A tree of so many leaves, appended in groups of many sizes, without anything kept in memory."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.connection = sqlite3.connect(":memory:")
        migrate(self.connection, MIGRATIONS)
        writer, chosen = TreeWriter(self.connection, NodeCache(), 0, 0), Random(size)
        leaves = [b"%d" % number for number in range(size)]
        rows = [(number, leaf.decode()) for number, leaf in enumerate(leaves)]
        self.connection.executemany("INSERT INTO entry (idx, leaf) VALUES (?, ?)", rows)
        while writer.size < size:
            for leaf in leaves[writer.size : writer.size + chosen.randint(1, 2 * TILE_WIDTH)]:
                writer.append(leaf)
            writer.store_tiles(self.connection)
            writer.committed()
        self.hashes = [leaf_hash(leaf) for leaf in leaves]
        self.root = writer.root()

    def tile(self, level: int, number: int) -> bytes:
        (data,) = self.connection.execute(
            "SELECT hashes FROM tile WHERE id = ?", (tile_id(level, number),)
        ).fetchone()  # fmt: skip
        return bytes(data)

    def change(self, level: int, number: int, data: bytes) -> None:
        self.connection.execute("UPDATE tile SET hashes = ? WHERE id = ?", (data, tile_id(level, number)))

    def subtree(self, level: int, index: int) -> bytes:
        return TreeReader(self.connection, NodeCache(), 0).subtree(level, index, self.size)

    def close(self) -> None:
        self.connection.close()


@pytest.fixture(scope="module", params=[1, 255, 256, 257, 700, 65_536, 66_000])
def stored(request: pytest.FixtureRequest) -> Iterator[Stored]:
    made = Stored(request.param)
    yield made
    made.close()


def test_every_height_is_what_the_leaves_make(stored: Stored) -> None:
    chosen = Random(1)
    for level in range(stored.size.bit_length()):
        last = (stored.size >> level) - 1
        for index in {0, last, chosen.randint(0, last), chosen.randint(0, last)}:
            expected = root_of(stored.hashes[index << level : (index + 1) << level])
            assert stored.subtree(level, index) == expected, (level, index)


def test_a_proof_by_one_reader_verifies(stored: Stored) -> None:
    chosen = Random(2)
    reader = TreeReader(stored.connection, NodeCache(), 0)
    for index in {0, stored.size - 1, *(chosen.randrange(stored.size) for _ in range(20))}:
        proof = inclusion_proof(index, stored.size, lambda level, number: reader.subtree(level, number, stored.size))
        verify_inclusion(index, stored.size, stored.hashes[index], proof, stored.root)


def test_a_full_tile_of_hashes_alone_is_read_as_well() -> None:
    stored = Stored(600)
    expected = [stored.subtree(level, 1) for level in range(8)]
    stored.change(0, 0, stored.tile(0, 0)[:FULL])
    assert [stored.subtree(level, 1) for level in range(8)] == expected
    stored.close()


def test_a_tile_that_is_too_short_is_damage() -> None:
    stored = Stored(600)
    stored.change(0, 0, stored.tile(0, 0)[: FULL - 32])
    with pytest.raises(TiergateError) as caught:
        stored.subtree(0, 255)
    assert caught.value.reason is Reason.LOG_CORRUPT
    stored.close()


def test_nodes_that_do_not_follow_from_a_tile_are_seen() -> None:
    stored = Stored(300)
    good = stored.tile(0, 0)
    assert tile_hashes(good) == good[:FULL] == b"".join(stored.hashes[:TILE_WIDTH])
    assert tile_hashes(good[:FULL]) == good[:FULL]
    assert tile_hashes(good[:64]) == good[:64]
    for place in (FULL, FULL + 32 * 200, len(good) - 1):
        assert tile_hashes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]) == b""
    assert tile_hashes(good[:-32]) == b""
    stored.close()
