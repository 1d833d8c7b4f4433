"""Which key this city has signed with since when, and what of it is still outstanding.

Consents do not say which key signed them; the time at which each key was taken up does, to the minute.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class KeyUse(NamedTuple):
    """A key was taken up for a purpose at a time (Unix seconds), and used until the next one of that purpose was."""

    purpose: str
    kid: str
    since_s: int


@dataclass(frozen=True, slots=True)
class Outstanding:
    """Consents that one key may have signed and that still hold: how many, and when the last of them ends.

    ``consents`` is exact but for consents of the very minute of a change, which count for both keys. ``until_s``: Unix
    seconds, None when there are none.
    """

    consents: int
    until_s: int | None


@dataclass(frozen=True, slots=True)
class UseKeys:
    """Remember the keys in use (key id by purpose), unless they are the ones remembered last."""

    kids: Mapping[str, str]
    now_s: int

    def run(self, connection: sqlite3.Connection) -> None:
        """One row for each key that is another one than before."""
        newest = {use.purpose: use.kid for use in key_uses(connection)}
        connection.executemany(
            "INSERT INTO signing_keys (purpose, kid, since) VALUES (?,?,?)",
            [(purpose, kid, self.now_s) for purpose, kid in self.kids.items() if newest.get(purpose) != kid],
        )


@dataclass(frozen=True, slots=True)
class DropAttestations:
    """Forget stored attestations of keys that are no longer listed: a repeated request gets a new one, free of charge.

    ``headers``: the first segment of the attestations that stay, one for each listed key.
    """

    headers: Sequence[str]

    def run(self, connection: sqlite3.Connection) -> None:
        """Keep requests and counts, and drop what would no longer verify."""
        marks = ",".join("?" * len(self.headers))
        connection.execute(
            "UPDATE requests SET attestation = NULL WHERE attestation IS NOT NULL"  # noqa: S608 - question marks alone
            f" AND substr(attestation, 1, instr(attestation, '.') - 1) NOT IN ({marks})",
            tuple(self.headers),
        )


def key_uses(connection: sqlite3.Connection) -> list[KeyUse]:
    """Every key taken up, oldest first."""
    rows = connection.execute("SELECT purpose, kid, since FROM signing_keys ORDER BY seq")
    return [KeyUse(*row) for row in rows]


def outstanding(connection: sqlite3.Connection, kid: str, now_s: int) -> Outstanding:
    """The consents that the consent key ``kid`` may have signed, neither withdrawn, ended nor used up at ``now_s``."""
    uses = [use for use in key_uses(connection) if use.purpose == "consent"]
    count, until_s = 0, 0
    for place, use in enumerate(uses):
        if use.kid != kid:
            continue
        # what was signed before keys were remembered was signed by the first
        first = 0 if place == 0 else use.since_s - use.since_s % 60
        last = uses[place + 1].since_s if place + 1 < len(uses) else now_s
        found, end = connection.execute(
            "SELECT COUNT(*), MAX(c.expires_at) FROM consents AS c"
            " LEFT JOIN tallies AS t ON t.token_hash = c.token_hash"
            " WHERE c.granted_at BETWEEN ? AND ? AND c.expires_at > ? AND c.withdrawn_at_ms IS NULL"
            " AND (c.uses IS NULL OR COALESCE(t.spent, 0) < c.uses)",
            (first, last, now_s),
        ).fetchone()
        count, until_s = count + found, max(until_s, end or 0)
    return Outstanding(count, until_s or None)
