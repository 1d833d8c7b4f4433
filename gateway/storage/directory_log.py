"""What changes in the peer directory, as entries of the log: peers that come, go or move, and the keys of each.

The log has what was in force before each decision. Entries are appended in the transaction that remembers the new
state, so that each change is logged once, also over restarts; the first directory of a log is logged whole.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

import rfc8785

from gateway.crypto.keys import thumbprint
from gateway.domain.directory import Directory, DirectoryKey

Append = Callable[..., int]


class ListedPeer(NamedTuple):
    """A peer as a directory lists it: SHA-256 of what it is (hex), and its keys as (purpose, thumbprint in hex)."""

    digest: str
    keys: frozenset[tuple[str, str]]


Listed = Mapping[tuple[str, str], ListedPeer]
"""By role and name."""


def listed_of(directory: Directory) -> Listed:
    """The peers of a directory. What a peer is: its identity, its endpoint if it serves, an auditor's scope."""
    gateway = directory.gateway
    found = {("gateway", gateway.deployment): _peer(gateway.identity.uri, (), asdict(gateway.endpoint))}
    for name, city in directory.cities.items():
        found["city", name] = _peer(city.identity.uri, city.keys, asdict(city.endpoint))
    for operator, item in directory.operators.items():
        found["operator", operator] = _peer(item.identity.uri, item.keys)
    for auditor, identity in directory.auditors.items():
        scope = directory.auditor_scopes.get(auditor)
        found["auditor", auditor] = _peer(identity.uri, (), {"scope": "" if scope is None else scope.digest()})
    for witness, identity in directory.witnesses.items():
        found["witness", witness] = _peer(identity.uri, ())
    return found


def _peer(identity: str, keys: Sequence[DirectoryKey], more: Mapping[str, str] | None = None) -> ListedPeer:
    digest = hashlib.sha256(rfc8785.dumps({"identity": identity, **(more or {})})).hexdigest()
    return ListedPeer(digest, frozenset((key.purpose, _hex(thumbprint(key.jwk))) for key in keys))


def _hex(encoded: str) -> str:
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).hex()


def log_directory(connection: sqlite3.Connection, listed: Listed, version: int, append: Append, at_ms: int) -> int:
    """Append what differs from what was logged before; how many entries. ``version``: of the directory."""
    rows = connection.execute("SELECT role, name, digest, keys FROM listed").fetchall()
    known = {(role, name): ListedPeer(digest, _keys(keys)) for role, name, digest, keys in rows}
    changed = sorted(key for key in known.keys() | listed.keys() if known.get(key) != listed.get(key))
    entries = 0
    for role, name in changed:
        for kind, fields in _changes(known.get((role, name)), listed.get((role, name))):
            append(at_ms, kind, directory=version, role=role, name=name, **fields)
            entries += 1
    connection.executemany("DELETE FROM listed WHERE role = ? AND name = ?", changed)
    connection.executemany(
        "INSERT INTO listed (role, name, digest, keys) VALUES (?, ?, ?, ?)",
        [(*key, listed[key].digest, json.dumps(sorted(listed[key].keys))) for key in changed if key in listed],
    )
    return entries


def _keys(text: str) -> frozenset[tuple[str, str]]:
    return frozenset((purpose, key) for purpose, key in json.loads(text))


def _changes(before: ListedPeer | None, after: ListedPeer | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Type and fields of the entries that one peer's change makes."""
    if before is None or after is None or before.digest != after.digest:
        yield "peer_changed", {} if after is None else {"peer": after.digest}
    old = frozenset[tuple[str, str]]() if before is None else before.keys
    new = frozenset[tuple[str, str]]() if after is None else after.keys
    for state, keys in (("removed", old - new), ("added", new - old)):
        for purpose, key in sorted(keys):
            yield "key_rotated", {"purpose": purpose, "key": key, "state": state}
