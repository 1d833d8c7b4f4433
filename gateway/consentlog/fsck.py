"""Checks a log in place: entries, hashes, head and stored tiles against each other, over a read-only view."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.consentlog.audit import EntryAuditor
from gateway.consentlog.export import EntrySource
from gateway.consentlog.merkle import leaf_hash
from gateway.consentlog.tiles import Tile, TileBuilder, tile_path
from gateway.consentlog.trust import TrustPolicy
from gateway.errors import Reason, TiergateError

ReadTile = Callable[[Tile], bytes]
"""Returns the stored hashes of a tile of the checkpointed tree."""


@dataclass(frozen=True, slots=True)
class CheckedLog:
    """A log whose parts agree: size and root (32 bytes) of its newest checkpoint, entries by type."""

    size: int
    root: bytes
    entries: Mapping[str, int]


def check_log(source: EntrySource, trust: bytes, read_tile: ReadTile | None = None) -> CheckedLog:
    """Recompute the whole log up to its newest checkpoint; with ``read_tile`` also compare every stored tile.

    Raises what ``verify_export`` raises, and LOG_CORRUPT for a stored tile that differs.
    """
    head = TrustPolicy.parse(trust).verify(source.checkpoint().encode()).checkpoint
    auditor = EntryAuditor(head.origin)
    builder = TileBuilder()
    for raw in source.entries(0, head.size):
        auditor.add(raw)
        for tile, hashes in builder.add(leaf_hash(raw)):
            _compare(tile, hashes, read_tile)
    for tile, hashes in builder.partial():
        _compare(tile, hashes, read_tile)
    if builder.frontier.size != head.size:
        raise TiergateError(Reason.LOG_CORRUPT, "the log holds fewer entries than its checkpoint covers")
    if builder.frontier.root() != head.root:
        raise TiergateError(Reason.PROOF_OF_LOG_INVALID, "the entries do not lead to the checkpoint's root")
    return CheckedLog(head.size, head.root, auditor.counts)


def _compare(tile: Tile, hashes: bytes, read_tile: ReadTile | None) -> None:
    if read_tile is not None and read_tile(tile) != hashes:
        raise TiergateError(Reason.LOG_CORRUPT, f"stored {tile_path(tile)} does not match the entries")
