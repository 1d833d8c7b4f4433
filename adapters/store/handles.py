"""Writes of one-time codes: issue, redeem, and the limit on codes that cannot be redeemed.

A code is known here by a keyed hash alone. Its consent's token is kept sealed under a key that only the code gives, so
that the file of this store redeems nothing. A code is used when the one use of its token is: there is no second state.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from adapters.store.consents import RecordConsent
from gateway.domain.ids import OperatorId, ScenarioId, request_body

MISSES_PER_HOUR: Final = 60
"""How many codes an operator may present that cannot be redeemed: so many at once, and so many an hour after that.

The odds of guessing: a code has at least 31^11 = 2.5 * 10^16 values (54.5 bits), is good for ten minutes, and for one
operator and scenario. With M = 1000 codes alive for that pair at every moment and N = 60 misses an hour, N * M / 31^11
= 2.4 * 10^-12 an hour: once in 48 million years for each operator that does nothing else. In the first hour it is up
to 2 N. The limit is kept on disk in the transaction that looks the code up, so that neither a restart nor any number
of questions at once gives more.
"""
_HOUR_MS = 3_600_000
_GAP_MS = _HOUR_MS // MISSES_PER_HOUR


@dataclass(frozen=True, slots=True, repr=False)
class HandleRow:
    """One code. ``key``: its keyed hash; ``sealed``: the token; times in Unix seconds. It has no ``repr``.

    ``keep_until``: as long as a retry of its redemption can be answered.
    """

    key: bytes
    operator: OperatorId
    scenario: ScenarioId
    token_hash: bytes
    sealed: bytes
    expires_at: int
    keep_until: int


@dataclass(frozen=True, slots=True, repr=False)
class IssueHandle:
    """Store a new consent and its code, together."""

    consent: RecordConsent
    row: HandleRow

    def run(self, connection: sqlite3.Connection) -> None:
        """Insert both; a code that comes up twice is a fault that fails the group."""
        self.consent.run(connection)
        row = self.row
        connection.execute(
            "INSERT INTO handles (key, operator, scenario, token_hash, sealed, expires_at, keep_until)"
            " VALUES (?,?,?,?,?,?,?)",
            (row.key, row.operator, row.scenario, row.token_hash, row.sealed, row.expires_at, row.keep_until),
        )


@dataclass(frozen=True, slots=True)
class Limited:
    """The operator has presented too many: nothing was looked up. ``wait_ms``: until one more is."""

    wait_ms: int


@dataclass(frozen=True, slots=True, repr=False)
class Redeem:
    """Look up a code for one operator, scenario and request. It is used up by the attestation that follows, not here.

    ``request``: SHA-256 of (operator, request id). The request that a code was redeemed by may come again.
    """

    key: bytes
    operator: OperatorId
    scenario: ScenarioId
    request: bytes
    now_ms: int

    def run(self, connection: sqlite3.Connection) -> bytes | Limited | None:
        """The sealed token; None, and one miss counted, for what cannot be redeemed: the reasons have one path."""
        found = connection.execute("SELECT until_ms FROM misses WHERE operator = ?", (self.operator,)).fetchone()
        # a clock that was set back must not lock an operator out for longer than the hour
        until_ms = min(max(found[0], self.now_ms), self.now_ms + _HOUR_MS) if found else self.now_ms
        wait_ms = until_ms + _GAP_MS - self.now_ms - _HOUR_MS
        if wait_ms > 0:
            return Limited(wait_ms)
        row = connection.execute(
            "SELECT h.operator, h.scenario, h.expires_at, h.token_hash, h.sealed, COALESCE(t.spent, 0), r.body"
            " FROM handles AS h LEFT JOIN tallies AS t ON t.token_hash = h.token_hash"
            " LEFT JOIN requests AS r ON r.key = ?2 WHERE h.key = ?1",
            (self.key, self.request),
        ).fetchone()
        if row is not None and self._may_have(*row[:4], *row[5:]):
            sealed: bytes = row[4]
            return sealed
        connection.execute(
            "INSERT INTO misses (operator, until_ms) VALUES (?1, ?2)"
            " ON CONFLICT (operator) DO UPDATE SET until_ms = excluded.until_ms",
            (self.operator, until_ms + _GAP_MS),
        )
        return None

    def _may_have(
        self, operator: str, scenario: str, expires_at: int, token_hash: bytes, spent: int, body: bytes | None
    ) -> bool:
        own = (operator, scenario) == (self.operator, self.scenario)
        alive = spent == 0 and expires_at * 1000 > self.now_ms
        again = body == request_body(token_hash, self.scenario)
        return own and (alive or again)
