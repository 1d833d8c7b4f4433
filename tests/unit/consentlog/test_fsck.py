from __future__ import annotations

import pytest

from gateway.consentlog.entry import encode
from gateway.consentlog.fsck import check_log
from gateway.consentlog.merkle import leaf_hash
from gateway.consentlog.note import SignerKey
from gateway.consentlog.tiles import Tile, TileBuilder
from gateway.errors import Reason, TiergateError
from tests.unit.consentlog.samples import ORIGIN, TRUST, MemoryLog, decision, long_log, small_log
from tests.unit.consentlog.test_export import Altered, Shortened

LOG = long_log(300)


def stored_tiles() -> dict[Tile, bytes]:
    builder = TileBuilder()
    tiles: dict[Tile, bytes] = {}
    for raw in LOG:
        tiles.update(builder.add(leaf_hash(raw)))
    return tiles | dict(builder.partial())


def refused(log: MemoryLog) -> Reason:
    with pytest.raises(TiergateError) as caught:
        check_log(log, TRUST)
    return caught.value.reason


def test_a_sound_log() -> None:
    checked = check_log(MemoryLog(LOG), TRUST, stored_tiles().__getitem__)
    assert (checked.size, checked.entries["decision"]) == (300, 297)


@pytest.mark.parametrize("tile", sorted(stored_tiles()))
def test_a_wrong_stored_tile_is_found(tile: Tile) -> None:
    tiles = stored_tiles()
    tiles[tile] = bytes(len(tiles[tile]))
    with pytest.raises(TiergateError) as caught:
        check_log(MemoryLog(LOG), TRUST, tiles.__getitem__)
    assert caught.value.reason is Reason.LOG_CORRUPT


def test_a_missing_entry_is_found() -> None:
    assert refused(Shortened(small_log())) is Reason.LOG_CORRUPT


def test_a_changed_entry_is_found() -> None:
    assert refused(Altered(small_log())) is Reason.PROOF_OF_LOG_INVALID


def test_an_entry_that_breaks_a_rule_is_found() -> None:
    assert refused(MemoryLog([*small_log(), encode(decision(2))])) is Reason.LOG_CORRUPT


def test_a_head_signed_by_another_key_is_found() -> None:
    assert refused(MemoryLog(LOG, signer=SignerKey.generate(ORIGIN))) is Reason.NOTE_INVALID
