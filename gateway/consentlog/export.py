"""Writes the log as a static directory (C2SP tlog-tiles) that an auditor verifies without us.

    checkpoint                 the newest signed checkpoint, with the signatures that the trust file has keys for
    tile/<L>/<N>[.p/<W>]       hash tiles
    tile/entries/<N>[.p/<W>]   entry bundles
    bundles/<digest>.json      the exact bytes of every published policy bundle
    trust                      the trust file (C2SP tlog-policy) that the checkpoint satisfies
    shards/<NNN>/              the same again for each later shard, by its number

Files are written whole (temporary name, fsync, rename) into folders that are durable, the checkpoint last: a reader
that sees a checkpoint finds all that it covers, after a power cut too. Memory does not depend on the log's size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import NamedTuple, Protocol

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.export_lock import writing
from gateway.consentlog.merkle import Frontier, leaf_hash
from gateway.consentlog.note import MAX_NOTE_BYTES, parse_note
from gateway.consentlog.scope import Leaf
from gateway.consentlog.tiles import (
    TILE_WIDTH,
    Bundle,
    TileBuilder,
    bundle_path,
    encode_bundle,
    parse_bundle,
    tile_path,
)
from gateway.consentlog.trust import TrustPolicy, VerifiedCheckpoint
from gateway.errors import Reason, TiergateError
from gateway.files import bytes_of, make_folders, write_whole

CHECKPOINT = "checkpoint"
TRUST = "trust"
SHARDS = "shards"
"""Where the shards after the first one lie in its export, each an export of its own."""
SCOPE_FOLDER = "scope"
"""Where a scoped export (``scoped``) has its entries."""
_FOLDERS = ("bundles", SCOPE_FOLDER, "tile")
PARTS = (CHECKPOINT, TRUST, SHARDS, *_FOLDERS)
"""What lies in the folder of an export of either form."""
_PARTIAL = re.compile(r".+\.p/[1-9][0-9]{0,2}\Z")
_UNFINISHED = ".tmp"


class EntrySource(Protocol):
    """The part of a log reader that an export needs (``gateway.ports.LogReader`` has it)."""

    def checkpoint(self) -> str:
        """The newest signed checkpoint (signed note)."""
        ...

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """Exact entry bytes of ``[start, end)`` in order."""
        ...


class Form(NamedTuple):
    """How an export holds entries: where, and in which bytes, those of a bundle lie, and which files stand beside them.

    ``foreign``: where an export of the other form has them.
    """

    path: Callable[[Bundle], str]
    encode: Callable[[Sequence[Leaf]], bytes]
    foreign: Callable[[Bundle], str]
    beside: Mapping[str, bytes]


def shard_path(number: int) -> str:
    """Folder of a later shard below that of the first one."""
    return f"{SHARDS}/{number:03d}"


def policy_path(digest: str) -> str:
    """Path of a policy bundle's bytes."""
    return f"bundles/{digest}.json"


def held_entries(directory: Path, end: int) -> Iterator[bytes]:
    """Entries that an earlier export of the whole log left in ``directory``: from the first one on, below ``end``.

    They are NOT verified: whoever writes an export of them finds out whether they lead to its root. It ends where no
    bundle follows. Raises LOG_CORRUPT for a file that is no bundle.
    """
    for number in count():
        left = min(TILE_WIDTH, end - number * TILE_WIDTH)
        widths = range(left, 0, -1)
        found = next((w for w in widths if (directory / bundle_path(Bundle(number, w))).is_file()), 0)
        if found:
            yield from parse_bundle((directory / bundle_path(Bundle(number, found))).read_bytes(), found)
        if found < TILE_WIDTH:
            return


def write_export(
    source: EntrySource, directory: Path, bundles: Mapping[str, bytes], trust: bytes, *, held: bool = False
) -> VerifiedCheckpoint:
    """Write, or bring up to date, the export in ``directory``; returns the checkpoint that it now carries.

    ``bundles`` maps digest (SHA-256, hex) to bytes. Writing the same log again changes nothing; a grown log adds files
    and removes the partial tiles that it outgrew. Raises NOTE_INVALID when the checkpoint does not satisfy ``trust``;
    LOG_CORRUPT when the entries do not lead to its root, or the directory holds another log, another history of this
    one, or more of it: it is left as it was; BUNDLE_INVALID when bytes do not match their digest; STORE_FAILED when a
    file cannot be written; STORE_BUSY as ``writing`` does, which the caller is in if the folder is ``held``. Of the
    checkpoint's signatures those are written that ``trust`` has keys for.
    """
    verified = TrustPolicy.parse(trust).verify(source.checkpoint().encode())

    def leaves() -> Iterator[Leaf]:
        return (Leaf(leaf_hash(entry), entry) for entry in source.entries(0, verified.checkpoint.size))

    return write_form(leaves, verified, directory, bundles, trust, _WHOLE, held=held)


def write_form(
    leaves: Callable[[], Iterator[Leaf]], verified: VerifiedCheckpoint, directory: Path, bundles: Mapping[str, bytes],
    trust: bytes, form: Form, *, held: bool,
) -> VerifiedCheckpoint:  # fmt: skip
    """``write_export`` for either form: ``leaves`` gives all that the checkpoint covers, from the first one on.

    They are gone through twice: nothing is written before all of them are known to be this log's.
    """
    for digest, data in bundles.items():
        if sha256(data).hexdigest() != digest:
            raise TiergateError(Reason.BUNDLE_INVALID, "bundle bytes do not match their digest")
    with nullcontext() if held else writing(directory):
        try:
            _write_form(leaves, verified, directory, bundles, trust, form)
        except OSError as error:
            raise TiergateError(Reason.STORE_FAILED, f"export: {error.strerror}") from error
    return verified


def _write_form(
    leaves: Callable[[], Iterator[Leaf]], verified: VerifiedCheckpoint, directory: Path, bundles: Mapping[str, bytes],
    trust: bytes, form: Form,
) -> None:  # fmt: skip
    if (directory / form.foreign(Bundle(0, 1))).parents[1].exists():
        raise TiergateError(Reason.LOG_CORRUPT, "the directory holds an export of another form")
    _require_history(leaves(), verified.checkpoint, _held(directory))
    _remove_unfinished(directory)
    for name, data in form.beside.items():
        _write_immutable(directory, name, data)
    current = _write_tree(leaves(), directory, form)
    for digest, data in bundles.items():
        _write_immutable(directory, policy_path(digest), data)
    _write(directory / TRUST, trust)
    _write(directory / CHECKPOINT, verified.note)  # every byte of it can be verified
    _remove_outgrown(directory, current)


def _encode_whole(leaves: Sequence[Leaf]) -> bytes:
    return encode_bundle([leaf.entry for leaf in leaves if leaf.entry is not None])


_WHOLE = Form(bundle_path, _encode_whole, lambda bundle: bundle_path(bundle).replace("tile", SCOPE_FOLDER, 1), {})


def _held(directory: Path) -> Checkpoint | None:
    """The head of the export that the directory holds; None without one. Raises LOG_CORRUPT for a file that is none.

    Its signatures count for nothing here: whatever it is, nothing else than its history is written over it.
    """
    try:
        return Checkpoint.parse(parse_note(bytes_of(directory / CHECKPOINT, MAX_NOTE_BYTES + 1)).text)
    except FileNotFoundError:
        return None
    except TiergateError as error:
        raise TiergateError(Reason.LOG_CORRUPT, f"the directory's checkpoint cannot be read: {error.detail}") from error


def _require_history(leaves: Iterator[Leaf], head: Checkpoint, held: Checkpoint | None) -> None:
    """Return if the leaves lead to ``head``, and ``head`` goes on from what the directory holds. Raises LOG_CORRUPT."""
    if held is not None and held.origin != head.origin:
        raise TiergateError(Reason.LOG_CORRUPT, f"the directory holds an export of {held.origin}")
    if held is not None and held.size > head.size:
        raise TiergateError(
            Reason.LOG_CORRUPT, f"the directory holds {held.size} entries, more than the {head.size} shown"
        )
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf.hash)
        if held is not None and frontier.size == held.size and frontier.root() != held.root:
            raise TiergateError(Reason.LOG_CORRUPT, "the directory holds another history of this log")
    if frontier.size != head.size or frontier.root() != head.root:
        raise TiergateError(Reason.LOG_CORRUPT, "the entries do not lead to the checkpoint's root")


def _write_tree(leaves: Iterator[Leaf], directory: Path, form: Form) -> set[str]:
    """Write bundles and tiles; the paths of the partial ones."""
    builder = TileBuilder()
    pending: list[Leaf] = []
    partial: set[str] = set()
    for leaf in leaves:
        pending.append(leaf)
        full = builder.add(leaf.hash)
        if len(pending) == TILE_WIDTH:
            bundle = Bundle(builder.frontier.size // TILE_WIDTH - 1, TILE_WIDTH)
            _write_immutable(directory, form.path(bundle), form.encode(pending))
            pending.clear()
        for tile, hashes in full:
            _write_immutable(directory, tile_path(tile), hashes)
    if pending:
        path = form.path(Bundle(builder.frontier.size // TILE_WIDTH, len(pending)))
        partial.add(path)
        _write(directory / path, form.encode(pending))
    for tile, hashes in builder.partial():
        partial.add(tile_path(tile))
        _write(directory / tile_path(tile), hashes)
    return partial


def _write_immutable(directory: Path, path: str, data: bytes) -> None:
    """A file that never changes once it is full: other bytes under its name are another log's."""
    target = directory / path
    if target.exists() and not _holds(target, data):
        raise TiergateError(Reason.LOG_CORRUPT, f"{path} holds other bytes: the directory belongs to another log")
    _write(target, data)


def _holds(target: Path, data: bytes) -> bool:
    return bytes_of(target, len(data) + 1) == data


def _write(target: Path, data: bytes) -> None:
    if target.exists() and _holds(target, data):
        return
    make_folders(target.parent)
    write_whole(target, data, partial=target.with_name(target.name + _UNFINISHED))


def _remove_unfinished(directory: Path) -> None:
    """Remove what exports that were killed had not given its name yet."""
    for name in (CHECKPOINT, TRUST):
        (directory / f"{name}{_UNFINISHED}").unlink(missing_ok=True)
    for folder in _FOLDERS:
        for path in (directory / folder).rglob(f"*{_UNFINISHED}"):
            path.unlink()


def _remove_outgrown(directory: Path, current: set[str]) -> None:
    """Remove partial tiles of earlier sizes (which tlog-tiles allows), and their folders once empty."""
    for path in sorted(directory.rglob("*.p/*")):
        name = path.relative_to(directory).as_posix()
        if not name.startswith(f"{SHARDS}/") and _PARTIAL.match(name) and name not in current:
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
