"""A large log at once: decisions written straight into the tables, with tree, head and mark as appends leave them.

What an append has committed and 24 hours have passed over is imported: entries, tiles, consents, attestations; requests
are kept for a day and are left out. Salts are random, so commitments open to nothing; no append or proof looks at them.
"""

from __future__ import annotations

import secrets
import sqlite3
from hashlib import sha256

from bench.log.material import (
    CITY,
    DATA,
    GRAIN_MS,
    MARK,
    OPERATOR,
    PER_CONSENT,
    SCENARIO,
    START_MS,
    STEP_MS,
    Log,
    bundle_digest,
)
from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.entry import Value, encode, encode_decision
from gateway.consentlog.note import sign_note
from gateway.domain.evaluate import logged_from, logged_until
from gateway.storage.mark import HighWaterMark
from gateway.storage.tree import NodeCache, TreeWriter

_GROUP = 20_000
_ATTESTATION = "a" * 650


def bulk_import(log: Log, size: int) -> None:
    """Bring a closed log to ``size`` entries. A break leaves a database that no store opens."""
    connection = sqlite3.connect(log.folder / DATA, isolation_level=None)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-262144"):
        connection.execute(f"PRAGMA {pragma}")
    (stored,) = connection.execute("SELECT COALESCE((SELECT size FROM head), 0)").fetchone()
    tree = TreeWriter(connection, NodeCache(), 0, stored)
    number = 0
    while tree.size < size:
        connection.execute("BEGIN")
        end = min(size, tree.size + _GROUP)
        while tree.size < end:
            number = _consent(connection, tree, number, end)
        tree.store_tiles(connection)
        tree.committed()
        _head(connection, log, tree)
        connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    mark = HighWaterMark(log.folder / MARK, log.signer.name)
    mark.advance(tree.size, tree.root())
    mark.close()


def _consent(connection: sqlite3.Connection, tree: TreeWriter, number: int, end: int) -> int:
    """One consent with its decisions; the number of the next decision."""
    at_ms = START_MS + number * STEP_MS
    expires, token = at_ms // 1000 + 60 * 86_400, secrets.token_hex(32)
    registration: dict[str, Value] = {"v": 1, "type": "consent_registered", "time": at_ms, "city": CITY}
    leaf = encode(registration | {"operator": OPERATOR, "token": token, "bound": "operator", "expires": expires})
    consent = tree.append(leaf)
    rows: list[tuple[object, ...]] = [(consent, leaf.decode("ascii"), None, None, None, None, None, None)]
    attestation = secrets.token_urlsafe(16)
    for place in range(min(PER_CONSENT, end - tree.size)):
        at_ms = START_MS + (number + place) * STEP_MS
        random = secrets.token_hex(112)
        text = encode_decision(
            time=logged_from(at_ms, GRAIN_MS),
            decision_id=random[:32],
            city=CITY,
            operator=OPERATOR,
            scenario=SCENARIO,
            bundle=bundle_digest(),
            consent=consent,
            token=token,
            private=random[32:96],
            rung=place % 2,
            valid_until=logged_until(at_ms + 300_000, GRAIN_MS),
        )
        index = tree.append(text.encode("ascii"))
        rows.append((index, text, CITY, attestation, random[96:160], at_ms, at_ms + 300_000, random[160:224]))
    connection.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.execute("INSERT INTO attestation VALUES (?, ?)", (attestation, _ATTESTATION))
    connection.execute(
        "INSERT INTO consent (key, idx, secret, expires, token) VALUES (?, ?, ?, ?, ?)",
        (sha256(token.encode()).hexdigest()[:32], consent, secrets.token_hex(32), expires, secrets.token_hex(32)),
    )
    return number + PER_CONSENT


def _head(connection: sqlite3.Connection, log: Log, tree: TreeWriter) -> None:
    checkpoint = sign_note(Checkpoint(log.signer.name, tree.size, tree.root()).body(), [log.signer]).decode()
    connection.execute("INSERT OR REPLACE INTO head (one, size, checkpoint) VALUES (1, ?, ?)", (tree.size, checkpoint))
