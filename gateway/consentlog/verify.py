"""Verifies an export offline: every hash from the raw entries up to a checkpoint that the auditor's trust file accepts.

The directory must hold exactly the files that the checkpoint calls for, so that nothing in it is unverified. Later
shards lie below it (``shards/001`` and so on), each an export of its own, and are verified in order: see ``link``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import chain
from pathlib import Path

from gateway.consentlog.audit import EntryAuditor
from gateway.consentlog.entry import Entry
from gateway.consentlog.export import CHECKPOINT, SCOPE_FOLDER, SHARDS, TRUST, policy_path, shard_path
from gateway.consentlog.export_lock import reading
from gateway.consentlog.link import require_link, require_previous
from gateway.consentlog.merkle import leaf_hash
from gateway.consentlog.note import MAX_NOTE_BYTES, VerifierKey
from gateway.consentlog.shard import first_of, number_of
from gateway.consentlog.tiles import (
    MAX_ENTRY_BYTES,
    TILE_WIDTH,
    Bundle,
    Tile,
    TileBuilder,
    bundle_path,
    bundles_of,
    parse_bundle,
    tile_path,
    tiles_of,
)
from gateway.consentlog.trust import MAX_TRUST_BYTES, TrustPolicy
from gateway.errors import Reason, TiergateError
from gateway.files import bytes_of, shown

MAX_BUNDLE_FILE_BYTES = 16 * 1024 * 1024
_MAX_TILE_FILE_BYTES = TILE_WIDTH * (MAX_ENTRY_BYTES + 2)


@dataclass(frozen=True, slots=True)
class VerifiedExport:
    """What a verified export holds: tree size, root (32 bytes), entries by type, bundle digests, witness count.

    All of the newest shard in it; ``earlier``: the others, oldest first. ``next``: the key of the shard that follows,
    if this one is sealed. ``unchecked``: how many entries rest on shards that are not in it: they could not be checked.
    """

    origin: str
    size: int
    root: bytes
    entries: Mapping[str, int]
    bundles: frozenset[str]
    witnesses: int
    log: VerifierKey
    deployment: str
    next: str | None
    previous: bytes | None
    unchecked: Mapping[str, int]
    auditor: EntryAuditor = field(repr=False, compare=False)
    earlier: tuple[VerifiedExport, ...] = ()

    @property
    def end(self) -> int:
        """The log index after the last entry."""
        return first_of(number_of(self.origin)) + self.size

    @property
    def shards(self) -> tuple[VerifiedExport, ...]:
        """All, oldest first."""
        return (*self.earlier, self)

    @property
    def all_entries(self) -> Mapping[str, int]:
        """Entries by type, of all shards."""
        total: Counter[str] = Counter()
        for shard in self.shards:
            total.update(shard.entries)
        return dict(sorted(total.items()))


def verify_export(
    directory: Path, trust: bytes, each: Callable[[int, Entry], object] = lambda _index, _entry: None
) -> VerifiedExport:
    """Verify every byte of an export under the auditor's own trust file, obtained out of band; all shards in it.

    ``each`` is given all entries with their log indices, in order, while they are read, before it is known whether they
    lead to the root: what it made of them counts once this has returned. The export's copy of the trust file must be
    the same bytes. Raises POLICY_INVALID (trust file), NOTE_INVALID (checkpoint), PROOF_OF_LOG_INVALID (hashes do not
    lead to the root), LOG_CORRUPT (a file missing, unexpected or changed, an entry that breaks its schema or a rule of
    ``audit``, a shard that does not follow the one before), BUNDLE_INVALID (policy bundle), AUDIT_SCOPE for a scoped
    export, which ``scoped.verify_scoped`` verifies; STORE_BUSY while the export is written, which is no verdict.
    """
    if (directory / SCOPE_FOLDER).exists():
        raise TiergateError(Reason.AUDIT_SCOPE, "a scoped export, where the whole log is asked for")

    def leaves(folder: Path, bundle: Bundle, auditor: EntryAuditor) -> Iterator[bytes]:
        for raw in parse_bundle(read_part(folder, bundle_path(bundle), _MAX_TILE_FILE_BYTES), bundle.width):
            each(auditor.index, auditor.add(raw))
            yield leaf_hash(raw)

    return verify_form(directory, trust, leaves, bundle_path, ())


Leaves = Callable[[Path, Bundle, EntryAuditor], Iterator[bytes]]


def verify_form(
    directory: Path, trust: bytes, leaves: Leaves, path: Callable[[Bundle], str], beside: Iterable[str]
) -> VerifiedExport:
    """``verify_export`` for either form of export: shard after shard, each from where the one before it ended.

    ``leaves`` reads and audits the entries of a bundle and yields all of its leaf hashes; ``path`` is where they lie;
    ``beside`` names files that have been read already.
    """
    with reading(directory):
        found = _verify_shard(directory, trust, leaves, path, beside, None)
    if number_of(found.origin) and found.previous is not None:
        found = replace(found, unchecked=Counter(found.unchecked) + require_previous(found.previous, trust))
    for folder in _later(directory, number_of(found.origin)):
        with reading(folder):
            later = _verify_shard(folder, trust, leaves, path, beside, found.auditor)
        require_link(found, later)
        found = replace(later, earlier=found.shards)
    return found


def _later(directory: Path, first: int) -> list[Path]:
    """The folders of the shards after ``first``. Raises LOG_CORRUPT unless they are numbered without a gap."""
    inner = directory / SHARDS
    if not inner.exists() and not inner.is_symlink():
        return []
    names = sorted(path.name for path in inner.iterdir()) if inner.is_dir() and not inner.is_symlink() else []
    folders = [directory / shard_path(first + 1 + place) for place in range(len(names))]
    if not names or [folder.name for folder in folders] != names or any(folder.is_symlink() for folder in folders):
        raise TiergateError(Reason.LOG_CORRUPT, f"export: {SHARDS} does not hold the next shards, each in its folder")
    return folders


def _verify_shard(
    directory: Path,
    trust: bytes,
    leaves: Leaves,
    path: Callable[[Bundle], str],
    beside: Iterable[str],
    before: EntryAuditor | None,
) -> VerifiedExport:
    policy = TrustPolicy.parse(trust)
    if read_part(directory, TRUST, MAX_TRUST_BYTES) != trust:
        raise TiergateError(Reason.LOG_CORRUPT, "the export's trust file is not the one given")
    raw = read_part(directory, CHECKPOINT, MAX_NOTE_BYTES)
    verified = policy.verify(raw)
    if raw != verified.note:
        raise TiergateError(Reason.NOTE_INVALID, "the checkpoint has a signature without a key in the trust file")
    head = verified.checkpoint
    auditor = EntryAuditor(head.origin, before, policy.window(verified.log))
    builder = TileBuilder()
    for bundle in bundles_of(head.size):
        for leaf in leaves(directory, bundle, auditor):
            for tile, hashes in builder.add(leaf):
                _compare(directory, tile, hashes)
    for tile, hashes in builder.partial():
        _compare(directory, tile, hashes)
    if builder.frontier.root() != head.root:
        raise TiergateError(Reason.PROOF_OF_LOG_INVALID, "the entries do not lead to the checkpoint's root")
    for digest in auditor.bundles:
        if sha256(read_part(directory, policy_path(digest), MAX_BUNDLE_FILE_BYTES)).hexdigest() != digest:
            raise TiergateError(Reason.BUNDLE_INVALID, "a policy bundle does not match its digest")
    _check_files(directory, chain(_expected(head.size, auditor.bundles, path), beside), first=before is None)
    return VerifiedExport(
        origin=head.origin,
        size=head.size,
        root=head.root,
        entries=auditor.counts,
        bundles=auditor.bundles,
        witnesses=len(verified.witnessed),
        log=verified.log,
        deployment=auditor.deployment,
        next=auditor.next,
        previous=auditor.previous,
        unchecked=dict(auditor.unchecked),
        auditor=auditor,
    )


def read_part(directory: Path, path: str, limit: int) -> bytes:
    """A file of the export, of at most ``limit`` bytes."""
    try:
        data = bytes_of(directory / path, limit + 1)
    except OSError as error:
        raise TiergateError(Reason.LOG_CORRUPT, f"export: {path}: {error.strerror}") from error
    if len(data) > limit:
        raise TiergateError(Reason.LOG_CORRUPT, f"export: {path} is larger than it may be")
    return data


def _compare(directory: Path, tile: Tile, hashes: bytes) -> None:
    if read_part(directory, tile_path(tile), _MAX_TILE_FILE_BYTES) != hashes:
        raise TiergateError(Reason.PROOF_OF_LOG_INVALID, f"{tile_path(tile)} does not match the entries")


def _expected(size: int, bundles: frozenset[str], path: Callable[[Bundle], str]) -> Iterator[str]:
    yield CHECKPOINT
    yield TRUST
    yield from map(policy_path, bundles)
    yield from map(path, bundles_of(size))
    yield from map(tile_path, tiles_of(size))


def _check_files(directory: Path, expected: Iterator[str], *, first: bool) -> None:
    """Every expected file has been read by now; find what is there beside them. ``first``: later shards lie in it."""
    names = set(expected)
    for path in directory.rglob("*"):
        name = path.relative_to(directory).as_posix()
        if first and name.partition("/")[0] == SHARDS:
            continue  # exports of their own
        if path.is_symlink() or (not path.is_dir() and name not in names):
            raise TiergateError(Reason.LOG_CORRUPT, f"unexpected file in the export: {shown(name)}")
