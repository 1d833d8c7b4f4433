"""Reads of the journal for an auditor: what was reported, and what was attested and never reported; nobody is named."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

_USES = """
    SELECT u.log_index, u.attestation_id, u.outcome, u.entry, u.inclusion, p.note, a.operator, a.scenario, a.bundle,
        a.rung, a.at
    FROM uses AS u JOIN checkpoints AS p ON p.id = u.checkpoint LEFT JOIN attestations AS a ON a.id = u.attestation_id
    WHERE u.log_index >= ? AND u.log_index < ? ORDER BY u.log_index"""
# The journal has no index on what reports name; SQLite gathers it once, in a file of its own if it is much.
_UNREPORTED = """
    SELECT id, operator, scenario, bundle, rung, at FROM attestations
    WHERE id NOT IN (SELECT attestation_id FROM uses) ORDER BY seq"""


class HeldReport(NamedTuple):
    """A reported decision; the last five are the attestation's, None when there is none such.

    ``inclusion`` is the proof's hashes, joined; ``checkpoint`` the signed note that it leads to. ``at``: Unix seconds,
    as coarse as the scenario asks.
    """

    log_index: int
    attestation_id: str
    outcome: str
    entry: bytes
    inclusion: bytes
    checkpoint: str
    operator: str | None
    scenario: str | None
    bundle: str | None
    rung: int | None
    at: int | None


class HeldAttestation(NamedTuple):
    """An attestation that no report names. ``at``: Unix seconds, as coarse as its scenario asks."""

    id: str
    operator: str
    scenario: str
    bundle: str
    rung: int
    at: int


def reports_between(connection: sqlite3.Connection, first: int, end: int) -> Iterator[HeldReport]:
    """Reports of log indices ``[first, end)``, in order."""
    return map(HeldReport._make, connection.execute(_USES, (first, end)))


def unreported(connection: sqlite3.Connection) -> Iterator[HeldAttestation]:
    """Attestations that no report names, oldest first."""
    connection.execute("PRAGMA temp_store=FILE")
    return map(HeldAttestation._make, connection.execute(_UNREPORTED))
