"""Checks a log in place: entries, hashes, head and stored tiles against each other, over a read-only view."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.consentlog.audit import EntryAuditor
from gateway.consentlog.export import EntrySource
from gateway.consentlog.link import require_link
from gateway.consentlog.merkle import leaf_hash
from gateway.consentlog.note import VerifierKey
from gateway.consentlog.shard import first_of, number_of
from gateway.consentlog.tiles import Tile, TileBuilder, tile_path
from gateway.consentlog.trust import TrustPolicy
from gateway.errors import Reason, TiergateError

ReadTile = Callable[[Tile], bytes]
"""Returns the stored hashes of a tile of the checkpointed tree."""


@dataclass(frozen=True, slots=True)
class CheckedLog:
    """A shard whose parts agree: size and root (32 bytes) of its newest checkpoint, entries by type; see ``link``."""

    origin: str
    size: int
    root: bytes
    entries: Mapping[str, int]
    log: VerifierKey
    deployment: str
    next: str | None
    previous: bytes | None
    auditor: EntryAuditor = field(repr=False, compare=False)


def check_log(
    source: EntrySource, trust: bytes, read_tile: ReadTile | None = None, before: CheckedLog | None = None
) -> CheckedLog:
    """Recompute a shard of the log up to its newest checkpoint; with ``read_tile`` also compare every stored tile.

    ``before``: the shard before it, from which it has to go on. Raises what ``verify_export`` raises, and LOG_CORRUPT
    for a stored tile that differs.
    """
    verified = TrustPolicy.parse(trust).verify(source.checkpoint().encode())
    head = verified.checkpoint
    auditor = EntryAuditor(head.origin, None if before is None else before.auditor)
    builder, first = TileBuilder(), first_of(number_of(head.origin))
    for raw in source.entries(first, first + head.size):
        auditor.add(raw)
        for tile, hashes in builder.add(leaf_hash(raw)):
            _compare(tile, hashes, read_tile)
    for tile, hashes in builder.partial():
        _compare(tile, hashes, read_tile)
    if builder.frontier.size != head.size:
        raise TiergateError(Reason.LOG_CORRUPT, "the log holds fewer entries than its checkpoint covers")
    if builder.frontier.root() != head.root:
        raise TiergateError(Reason.PROOF_OF_LOG_INVALID, "the entries do not lead to the checkpoint's root")
    checked = CheckedLog(
        head.origin, head.size, head.root, auditor.counts, verified.log, auditor.deployment, auditor.next,
        auditor.previous, auditor,
    )  # fmt: skip
    if before is not None:
        require_link(before, checked)
    return checked


def _compare(tile: Tile, hashes: bytes, read_tile: ReadTile | None) -> None:
    if read_tile is not None and read_tile(tile) != hashes:
        raise TiergateError(Reason.LOG_CORRUPT, f"stored {tile_path(tile)} does not match the entries")
