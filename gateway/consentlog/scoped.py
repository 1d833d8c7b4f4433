"""A scoped export: every hash of the log, and of its entries those that an auditor's scope shows.

    checkpoint, trust, bundles/<digest>.json, tile/<L>/<N>[.p/<W>]    as in a whole export
    scope/cities                     the scope's text (``gateway.domain.audit_scope``)
    scope/entries/<N>[.p/<W>]        for each entry bundle that a whole log has: those of its entries that are in scope

There is no ``tile/entries``: entry bundles (C2SP tlog-tiles) cannot have holes. A file below ``scope/entries`` holds,
for each entry in scope, its place among the 256 (one byte), its length (two bytes, big-endian) and its bytes, in the
order of the log; it is empty when there is none. All others are known by the leaf hashes in the tiles of level 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from gateway.consentlog.audit import EntryAuditor
from gateway.consentlog.entry import MAX_ENTRY_BYTES, Entry
from gateway.consentlog.export import SCOPE_FOLDER, Form, write_form
from gateway.consentlog.export_lock import reading
from gateway.consentlog.merkle import HASH_SIZE, leaf_hash
from gateway.consentlog.scope import Leaf, sees
from gateway.consentlog.tiles import TILE_WIDTH, Bundle, Tile, bundle_path, tile_path
from gateway.consentlog.trust import TrustPolicy, VerifiedCheckpoint
from gateway.consentlog.verify import VerifiedExport, read_part, verify_form
from gateway.domain.audit_scope import MAX_SCOPE_BYTES, AuditScope
from gateway.errors import Reason, TiergateError

CITIES = f"{SCOPE_FOLDER}/cities"
_HEADER = 3
_MAX_FILE_BYTES = TILE_WIDTH * (MAX_ENTRY_BYTES + _HEADER)


def scoped_path(bundle: Bundle) -> str:
    """Path of the entries in scope of a bundle."""
    return bundle_path(bundle).replace("tile", SCOPE_FOLDER, 1)


def encode_scoped(leaves: Sequence[Leaf]) -> bytes:
    """The entries in scope among the (at most 256) leaves of a bundle."""
    return b"".join(
        bytes([place]) + len(leaf.entry).to_bytes(2, "big") + leaf.entry
        for place, leaf in enumerate(leaves)
        if leaf.entry is not None
    )


def parse_scoped(data: bytes, width: int) -> dict[int, bytes]:
    """The entries in scope of a bundle by their places; LOG_CORRUPT unless the bytes are the one encoding of some."""
    entries: dict[int, bytes] = {}
    position, last = 0, -1
    while position < len(data):
        start = position + _HEADER
        place, size = data[position], int.from_bytes(data[position + 1 : start], "big")
        position = start + size
        if position > len(data) or not last < place < width or not 0 < size <= MAX_ENTRY_BYTES:
            raise TiergateError(Reason.LOG_CORRUPT, "entries in scope are cut short, out of place or too large")
        entries[place] = data[start:position]
        last = place
    return entries


class ScopedSource(Protocol):
    """The log as a scope shows it."""

    def checkpoint(self) -> str:
        """A signed checkpoint (signed note)."""
        ...

    def leaves(self) -> Iterator[Leaf]:
        """Every place that the checkpoint covers, in order."""
        ...


def write_scoped(
    source: ScopedSource, scope: AuditScope, directory: Path, bundles: Mapping[str, bytes], trust: bytes, *,
    held: bool = False,
) -> VerifiedCheckpoint:  # fmt: skip
    """Write, or bring up to date, a scoped export: see ``write_export``, whose errors these are.

    A folder belongs to one scope, and to one form of export: for another take another folder (LOG_CORRUPT).
    """
    verified = TrustPolicy.parse(trust).verify(source.checkpoint().encode())
    form = Form(scoped_path, encode_scoped, bundle_path, {CITIES: scope.text()})
    return write_form(source.leaves, verified, directory, bundles, trust, form, held=held)


def is_scoped(directory: Path) -> bool:
    """Whether a folder claims to be a scoped export."""
    return (directory / SCOPE_FOLDER).exists()


def scope_of(directory: Path) -> AuditScope:
    """The scope that a folder claims. Raises LOG_CORRUPT; STORE_BUSY while the folder is written."""
    with reading(directory):
        return AuditScope.parse(read_part(directory, CITIES, MAX_SCOPE_BYTES))


def verify_scoped(
    directory: Path, trust: bytes, each: Callable[[int, Entry], object] = lambda _index, _entry: None
) -> VerifiedExport:
    """Verify every byte of a scoped export under the auditor's own trust file.

    All hashes lead to the root; each entry has the hash of its place, is in scope, and keeps the rules of ``audit``.
    The scope is one under which the log has recorded a read, so it is none that the folder's maker thought of. That
    nothing else of the log is in scope cannot be seen from hashes. ``each`` gets index and entry as they are read; what
    it made of them counts once this has returned. Raises what ``verify_export`` raises.
    """
    scope = scope_of(directory)
    digest = scope.digest()
    recorded = False

    def leaves(directory: Path, bundle: Bundle, auditor: EntryAuditor) -> Iterator[bytes]:
        nonlocal recorded
        if scope_of(directory) != scope:
            raise TiergateError(Reason.AUDIT_SCOPE, "the shards of the export are of different scopes")
        first = auditor.index
        tile = tile_path(Tile(0, bundle.number, bundle.width))
        hashes = read_part(directory, tile, bundle.width * HASH_SIZE)
        if len(hashes) != bundle.width * HASH_SIZE:
            raise TiergateError(Reason.PROOF_OF_LOG_INVALID, f"{tile} is cut short")
        entries = parse_scoped(read_part(directory, scoped_path(bundle), _MAX_FILE_BYTES), bundle.width)
        for place in range(bundle.width):
            leaf = hashes[place * HASH_SIZE : (place + 1) * HASH_SIZE]
            raw = entries.get(place)
            if raw is None:
                auditor.skip()
            else:
                if leaf_hash(raw) != leaf:
                    raise TiergateError(Reason.PROOF_OF_LOG_INVALID, f"entry {first + place} is not the log's")
                entry = auditor.add(raw)
                if not sees(scope, entry):
                    raise TiergateError(Reason.LOG_CORRUPT, f"entry {first + place} is outside the scope")
                recorded = recorded or (entry.type == "audit_read" and entry.text("scope") == digest)
                each(first + place, entry)
            yield leaf

    verified = verify_form(directory, trust, leaves, scoped_path, [CITIES])
    if not recorded:
        raise TiergateError(Reason.PROOF_OF_LOG_INVALID, "the log has no record of a read under the export's scope")
    return verified
