"""Erasure inside the log's transaction: what is deleted, what is logged of it, and what stays until the token's end.

- What is deleted of an entry MUST NOT be found in any file once :func:`gateway.sqlite.scrub.scrub` has returned, and
  its leaf MUST stay as it is (``tests/contract/test_store_erasure.py``).
- An erased consent MUST give the base offer to whoever still shows its token (the same).
- Every step MUST be bounded: :data:`STEP` entries, so that no decision waits for a long erasure.
"""

from __future__ import annotations

import hmac
import json
import secrets
import sqlite3
from collections.abc import Callable, Collection, Iterator

from gateway.errors import Reason, TiergateError
from gateway.storage.operations import DropConsents, EndConsent, Erasing, Shred, Sweep

Append = Callable[..., int]
STEP = 256
"""Entries that one step looks at or deletes from."""
_AHEAD_MS = 86_400_000
"""An entry of a day to come was dated by a clock that was wrong."""
PERIOD_S = 91 * 86_400
"""Tombstones that end within one such period share a secret, which goes with the last of them."""
LONGEST_CONSENT_S = 34_560_000
"""Of a consent that was never used nobody has told the end: it is this far off at most (``consent.proto``)."""
NEVER_USED_ENDED = """
    expires = 0 AND coalesce((SELECT max(leaf ->> '$.time') FROM entry WHERE entry.idx IN
    (consent.withdrawn, consent.paused, consent.resumed, consent.locked)), 0) < :ended_ms"""
ENDED = f"(expires > 0 AND expires * 1000 < :ended_ms OR {NEVER_USED_ENDED})"
"""Consents whose keys serve nothing any more: all that was decided on them is older than ``ended_ms``."""


def erase(connection: sqlite3.Connection, operation: Erasing, append: Append) -> int:
    """Do one step. Raises NOT_FOUND before anything is changed."""
    match operation:
        case Shred(indices):
            return _shred(connection, indices)
        case EndConsent():
            return _end(connection, operation, append)
        case Sweep():
            return _sweep(connection, operation, append)
        case DropConsents():
            return _drop(connection, operation, append)
        case _:
            connection.execute("UPDATE sweep SET rewrite = 0")
            return 0


def entries_of(connection: sqlite3.Connection, consent: int, start: int, end: int) -> Iterator[tuple[int, str]]:
    """(index, type) of the entries in ``[start, end)`` about the consent registered at ``consent``: also contests."""
    rows = connection.execute(
        "SELECT idx, leaf ->> '$.type' FROM entry WHERE idx >= ?2 AND idx < ?3 AND (leaf ->> '$.consent' = ?1 OR"
        " leaf ->> '$.type' = 'contest' AND (SELECT d.leaf ->> '$.consent' FROM entry d"
        " WHERE d.idx = entry.leaf ->> '$.decision') = ?1)",
        (consent, start, end),
    )
    yield from rows


def _shred(connection: sqlite3.Connection, indices: Collection[int]) -> int:
    if not indices:
        return 0
    chosen = (json.dumps(list(indices)),)
    among = "(SELECT value FROM json_each(?))"
    connection.execute(
        f"DELETE FROM attestation WHERE id IN (SELECT attestation FROM entry WHERE idx IN {among})",  # noqa: S608
        chosen,
    )
    connection.execute(
        f"DELETE FROM request WHERE key IN (SELECT substr(request, 1, 32) FROM entry WHERE idx IN {among})",  # noqa: S608
        chosen,
    )
    connection.execute(f"DELETE FROM event WHERE idx IN {among}", chosen)  # noqa: S608
    connection.execute(
        "UPDATE entry SET salt = NULL, attestation = NULL, decided_at = NULL, valid_until = NULL, request = NULL"
        " WHERE salt IS NOT NULL AND idx IN (SELECT value FROM json_each(?))",
        chosen,
    )
    connection.execute("UPDATE sweep SET rewrite = 1")
    return len(indices)


def _end(connection: sqlite3.Connection, step: EndConsent, append: Append) -> int:
    row = connection.execute(
        "SELECT idx, expires, withdrawn, paused, resumed, locked FROM consent WHERE key = ?", (step.key,)
    ).fetchone()
    if row is None:
        raise TiergateError(Reason.NOT_FOUND, "no such consent, or it has been erased")
    index, expires, *events = row
    decisions = step.decisions
    late = [event for event in events if event]
    (city,) = connection.execute(
        "SELECT leaf ->> '$.city' FROM entry WHERE idx = ?", (late[0] if index is None else index,)
    ).fetchone()
    if index is not None:
        (size,) = connection.execute("SELECT coalesce(max(idx), -1) + 1 FROM entry").fetchone()
        found = list(entries_of(connection, index, step.scanned, size))
        decisions += sum(kind == "decision" for _, kind in found)
        late += [place for place, _ in found]
    _shred(connection, late)
    # of before its first check, too: their entries name no registration
    connection.execute("DELETE FROM event WHERE consent = ?", (step.key,))
    connection.execute("DELETE FROM consent WHERE key = ?", (step.key,))
    _bury(connection, step.key, expires or step.now_ms // 1000 + LONGEST_CONSENT_S, step.now_ms // 1000)
    link = {} if index is None else {"consent": index}
    return append(
        step.now_ms, "erasure", by="order", city=city, consents=1, decisions=decisions, order=step.order,
        ordered_by=step.ordered_by, **link,
    )  # fmt: skip


def _sweep(connection: sqlite3.Connection, step: Sweep, append: Append) -> int:
    now_s = step.now_ms // 1000
    connection.execute("DELETE FROM tombstone WHERE until < ?", (now_s,))
    connection.execute("DELETE FROM tombstone_secret WHERE (period + 1) * ? < ?", (PERIOD_S, now_s))
    (start,) = connection.execute("SELECT idx FROM sweep").fetchone()
    rows = connection.execute(
        "SELECT idx, coalesce(decided_at, leaf ->> '$.time'), salt IS NOT NULL, leaf ->> '$.type' = 'decision'"
        " FROM entry WHERE idx >= ? ORDER BY idx LIMIT ?",
        (start, STEP),
    ).fetchall()
    old, ahead = [], []
    for row in rows:
        if row[1] > step.now_ms + _AHEAD_MS:
            ahead.append(row)  # by a clock that was wrong: it is as old as what comes after it
        elif row[1] >= step.before_ms:
            break
        else:
            old += [*ahead, row]
            ahead = []
    if not old:
        return 0
    end = old[-1][0] + 1
    _shred(connection, [row[0] for row in old])
    connection.execute("UPDATE sweep SET idx = ?", (end,))
    decisions = sum(bool(row[2]) for row in old)
    if decisions:
        append(step.now_ms, "erasure", by="retention", consents=0, decisions=decisions, upto=end)
    return len(old)


def _drop(connection: sqlite3.Connection, step: DropConsents, append: Append) -> int:
    chosen = {"keys": json.dumps(step.keys), "ended_ms": step.before_ms}
    among = f"key IN (SELECT value FROM json_each(:keys)) AND {ENDED}"  # noqa: S608
    connection.execute(
        f"UPDATE event SET consent = NULL WHERE consent IN (SELECT key FROM consent WHERE {among})",  # noqa: S608
        chosen,
    )
    dropped = connection.execute(f"DELETE FROM consent WHERE {among}", chosen).rowcount  # noqa: S608
    if dropped:
        connection.execute("UPDATE sweep SET rewrite = 1")
        append(step.now_ms, "erasure", by="retention", consents=dropped, decisions=0)
    return dropped


# -- tombstones ------------------------------------------------------------------------------------------------------


def _mark(secret: str, key: str) -> str:
    return hmac.digest(bytes.fromhex(secret), key.encode(), "sha256")[:16].hex()


def _bury(connection: sqlite3.Connection, key: str, until: int, now_s: int) -> None:
    """Remember until the token's end that the consent was erased: by a keyed mark, which leads to no entry."""
    if until < now_s:
        return
    connection.execute(
        "INSERT OR IGNORE INTO tombstone_secret (period, secret) VALUES (?, ?)",
        (until // PERIOD_S, secrets.token_hex(32)),
    )
    (secret,) = connection.execute(
        "SELECT secret FROM tombstone_secret WHERE period = ?", (until // PERIOD_S,)
    ).fetchone()
    connection.execute("INSERT OR REPLACE INTO tombstone (key, until) VALUES (?, ?)", (_mark(secret, key), until))


def erased(connection: sqlite3.Connection, keys: Collection[str]) -> set[str]:
    """Which of these consents, of which nothing else is stored, have a tombstone."""
    if not keys:
        return set()
    marks = {
        _mark(secret, key): key
        for (secret,) in connection.execute("SELECT secret FROM tombstone_secret").fetchall()
        for key in keys
    }
    if not marks:
        return set()
    found = connection.execute(
        "SELECT key FROM tombstone WHERE key IN (SELECT value FROM json_each(?))", (json.dumps(list(marks)),)
    )
    return {marks[mark] for (mark,) in found}
