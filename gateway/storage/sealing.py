"""Sealing a shard of a stored log and beginning the next; on a gateway that runs its store does it, in the same steps.

One transaction (seal, last checkpoint by the old key, genesis of the next shard, the policies in force, first
checkpoint by the new key), then the high-water mark, then the new key takes the old one's place, which destroys the old
one. Whatever the moment at which this ends, the log is unsealed, or sealed with :func:`finish_seal` left to do.

- No checkpoint of the sealed shard MUST be signed again, and an older copy of the database MUST NOT be signed in either
  shard (``tests/unit/storage/test_sealing.py``).
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.entry import VERSION, Value, decode, encode
from gateway.consentlog.key_file import read_signer
from gateway.consentlog.note import SignerKey, sign_note
from gateway.consentlog.shard import MAX_SHARD, located, number_of
from gateway.domain.ids import BundleDigest
from gateway.errors import Reason, TiergateError
from gateway.files import sync_folder
from gateway.sqlite.connect import DatabaseLock, connect_writer, map_sqlite_error
from gateway.sqlite.migrate import migrate
from gateway.storage.mark import HighWaterMark
from gateway.storage.schema import MIGRATIONS
from gateway.storage.shards import origin_of, root_at, stored_shards
from gateway.storage.statements import keep_bundle
from gateway.storage.tree import Head, NodeCache, TreeWriter


class Policy(NamedTuple):
    """A bundle in force, or about to be: what the new shard restates."""

    digest: BundleDigest
    version: int
    data: bytes


class Sealed(NamedTuple):
    """A shard that has been sealed, by its last head, and the first head of the next one."""

    last: Head
    first: Head


def next_key_file(log_key: Path) -> Path:
    """Where the key of the next shard lies until the shard before it is sealed."""
    return log_key.with_name(f"{log_key.name}.next")


def seal(
    database: Path, mark: Path, log_key: Path, policies: Sequence[Policy], directory_version: int, now_ms: int
) -> Sealed:
    """Seal the newest shard for the key in :func:`next_key_file`. ``now_ms``: Unix milliseconds.

    Raises STORE_BUSY while a gateway holds the database, LOG_BEHIND as a gateway's start does, KEY_INVALID for keys
    that do not follow each other, STORE_FAILED. After an error nothing has been done, or it is done but for
    :func:`finish_seal`.
    """
    old, new = read_signer(log_key), read_signer(next_key_file(log_key))
    with DatabaseLock(database), closing(connect_writer(database)) as connection:
        migrate(connection, MIGRATIONS)
        sealed, head = stored_shards(connection)
        number = len(sealed)
        require_keys(old, new, number, head)
        tree = TreeWriter(connection, NodeCache(), number, head.size)
        with closing(HighWaterMark(mark, old.name, [origin_of(item.checkpoint) for item in sealed])) as marked:
            marked.check(tree.end, lambda end: root_at(connection, end))
            try:
                done = commit_seal(connection, tree, (old, new), policies, directory_version, now_ms)
            except sqlite3.Error as error:
                raise map_sqlite_error(error) from error
            # the mark follows into the newest shard: from now on no copy from before is signed
            marked.follow(new.name)
            following = TreeWriter(connection, NodeCache(), number + 1, done.first.size)
            marked.advance(following.end, following.root())
    finish_seal(database, log_key)
    return done


def finish_seal(database: Path, log_key: Path) -> bool:
    """Put the next shard's key in place if the log is sealed for it; whether there was anything to do.

    Raises STORE_BUSY, STORE_FAILED or KEY_INVALID.
    """
    coming = next_key_file(log_key)
    if not coming.exists() or not database.exists():
        return False
    with DatabaseLock(database), closing(connect_writer(database)) as connection:
        sealed, head = stored_shards(connection)
        if not sealed or origin_of(head.checkpoint) != read_signer(coming).name:
            return False
        replace_key(log_key)
    return True


def replace_key(log_key: Path) -> None:
    """Put the next shard's key in the place of the one before, durably. Raises STORE_FAILED."""
    try:
        next_key_file(log_key).replace(log_key)
        sync_folder(log_key.parent)
    except OSError as error:
        raise TiergateError(Reason.STORE_FAILED, f"log key: {error.strerror}") from error


def current_signer(database: Path, log_key: Path) -> SignerKey:
    """The key of the log's newest shard, once an interrupted seal is finished. Raises what :func:`finish_seal` does."""
    finish_seal(database, log_key)
    return read_signer(log_key)


def require_keys(old: SignerKey, new: SignerKey, number: int, head: Head) -> None:
    """Return if ``old`` is the key of shard ``number``, the newest, and ``new`` the next one's. Raises KEY_INVALID."""
    if not head.size or origin_of(head.checkpoint) != old.name:
        raise TiergateError(Reason.KEY_INVALID, f"the log key is of {old.name}, which is not the log's newest shard")
    if number >= MAX_SHARD or number_of(new.name) != number + 1:
        raise TiergateError(Reason.KEY_INVALID, f"the next key's origin does not end in /shard{number + 1}")
    if new.verifier.public == old.verifier.public:
        raise TiergateError(Reason.KEY_INVALID, "the next key is the one in use")


def commit_seal(
    connection: sqlite3.Connection,
    tree: TreeWriter,
    keys: tuple[SignerKey, SignerKey],
    policies: Sequence[Policy],
    directory_version: int,
    now_ms: int,
) -> Sealed:
    """The transaction of a seal; ``tree`` is the newest shard's, and of no use afterwards. Raises sqlite3.Error."""
    old, new = keys
    number, _ = located(tree.first)
    (leaf,) = connection.execute("SELECT leaf FROM entry WHERE idx = ?", (tree.first,)).fetchone()
    deployment = decode(leaf.encode("ascii")).text("deployment")
    connection.execute("BEGIN IMMEDIATE")
    try:
        _append(connection, tree, now_ms, "shard_sealed", next=str(new.verifier))
        last = _sign(connection, tree, old)
        connection.execute(
            "INSERT INTO sealed (number, size, checkpoint, at) VALUES (?, ?, ?, ?)",
            (number, last.size, last.checkpoint, now_ms),
        )
        connection.execute("DELETE FROM cosigned")
        following = TreeWriter(connection, NodeCache(), number + 1, 0)
        ended = base64.b64encode(last.checkpoint.encode()).decode()
        _append(
            connection, following, now_ms, "genesis",
            origin=new.name, deployment=deployment, previous=ended, directory=directory_version,
        )  # fmt: skip
        for policy in policies:
            index = _append(
                connection, following, now_ms, "policy_published", bundle=policy.digest, version=policy.version
            )
            keep_bundle(connection, policy.digest, index, policy.data)
        first = _sign(connection, following, new)
        connection.execute("UPDATE head SET size = ?, checkpoint = ?", (first.size, first.checkpoint))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return Sealed(last, first)


def _append(connection: sqlite3.Connection, tree: TreeWriter, at_ms: int, kind: str, /, **fields: Value) -> int:
    leaf = encode({"v": VERSION, "type": kind, "time": at_ms, **fields})
    index = tree.append(leaf)
    connection.execute("INSERT INTO entry (idx, leaf) VALUES (?, ?)", (index, leaf.decode("ascii")))
    return index


def _sign(connection: sqlite3.Connection, tree: TreeWriter, signer: SignerKey) -> Head:
    tree.store_tiles(connection)
    body = Checkpoint(signer.name, tree.size, tree.root()).body()
    return Head(tree.size, sign_note(body, [signer]).decode())
