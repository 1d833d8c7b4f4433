"""Writes the city's journal for an auditor, out of its database and beside the running adapter."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from adapters.config import AdapterSettings
from adapters.custody import SigningKey
from adapters.reference import Reference, load_reference
from adapters.store.city_store import FILE_NAME
from adapters.store.journal import HeldReport, reports_between, unreported
from adapters.store.reports import reported_index
from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.journal import Attested, Header, JournalWriter, Unreported, Use
from gateway.consentlog.merkle import leaf_hash, verify_inclusion
from gateway.consentlog.proof import hashes_of
from gateway.consentlog.shard import index_in
from gateway.consentlog.trust import TrustPolicy
from gateway.domain.ids import CityId
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.sqlite.connect import connect_reader, map_sqlite_error

MAX_HEADS = 64
"""Verified checkpoints that are remembered: a run of reports shares one."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a journal holds: its header, how many uses, how many attestations that no report names."""

    header: Header
    uses: int
    unreported: int


class _Proofs:
    """Tries the proofs that the city holds, again and by its own directory."""

    def __init__(self, trust: TrustPolicy) -> None:
        self._trust = trust
        self._heads: dict[str, Checkpoint] = {}

    def holds(self, report: HeldReport) -> bool:
        """Whether the report's proof leads from its entry to a checkpoint of the log."""
        try:
            head = self._head(report.checkpoint)
            leaf, proof = leaf_hash(report.entry), hashes_of(report.inclusion)
            verify_inclusion(index_in(head.origin, report.log_index), head.size, leaf, proof, head.root)
        except TiergateError:
            return False
        return True

    def _head(self, note: str) -> Checkpoint:
        found = self._heads.get(note)
        if found is None:
            found = self._trust.verify(note.encode()).checkpoint
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            self._heads[note] = found
        return found


def name_of(attestation_id: str) -> str:
    """What a journal calls an attestation: SHA-256 of its id, hex."""
    return hashlib.sha256(attestation_id.encode("utf-8")).hexdigest()


def write_journal(
    file: BinaryIO,
    database: Path,
    reference: Reference,
    key: SigningKey,
    *,
    now_s: int,
    first: int = 0,
    end: int | None = None,
) -> Written:
    """Write uses of log indices from ``first`` up to ``end`` (None: all), and all that is attested and not reported.

    Everything is read at one moment, whatever the adapter writes meanwhile. Raises STORE_FAILED, STORE_BUSY, OSError.
    """
    with closing(connect_reader(database)) as connection:
        try:
            connection.execute("BEGIN")
            newest = reported_index(connection)
            reported = 0 if newest is None else newest + 1
            header = Header(reference.city.id, reference.directory.gateway.deployment, now_s, first, end, reported)
            return _write(JournalWriter(file, header), connection, header, reference, key)
        except sqlite3.Error as error:
            raise map_sqlite_error(error) from error


def _write(
    out: JournalWriter, connection: sqlite3.Connection, header: Header, reference: Reference, key: SigningKey
) -> Written:
    proofs = _Proofs(reference.log)
    uses = missing = 0
    for report in reports_between(connection, header.first, header.reported if header.end is None else header.end):
        out.add(
            Use(
                report.log_index,
                report.entry,
                report.outcome,
                name_of(report.attestation_id),
                _attested(report),
                proofs.holds(report),
            )
        )
        uses += 1
    for item in unreported(connection):
        attested = Attested(item.operator, item.scenario, item.bundle, item.rung, item.at)
        out.add(Unreported(name_of(item.id), attested))
        missing += 1
    out.sign(key.key, key.kid)
    return Written(header, uses, missing)


def _attested(report: HeldReport) -> Attested | None:
    operator, scenario, bundle, rung, at = report[-5:]
    if operator is None or scenario is None or bundle is None or rung is None or at is None:
        return None
    return Attested(operator, scenario, bundle, rung, at)


def export_journal(
    file: BinaryIO, settings: AdapterSettings, *, now_s: int, first: int = 0, end: int | None = None
) -> Written:
    """:func:`write_journal` by the adapter's settings, with its event key.

    Raises what loading the signed files raises, KEY_INVALID for a key that cannot be read or is not listed.
    """
    reference = load_reference(
        CityId(settings.city),
        settings.root,
        settings.directory,
        settings.bundle,
        now_s=now_s,
    )
    key = SigningKey.load(settings.keys.event.kid, settings.keys.event.file)
    if not key.listed(reference.city, "event"):
        problem = Problem(
            str(settings.directory),
            f"cities.{settings.city}.keys",
            "does not list this event key",
            "nobody could verify the journal: finish the change of the key first",
        )
        raise ProblemsError(Reason.KEY_INVALID, [problem])
    return write_journal(file, settings.data_dir / FILE_NAME, reference, key, now_s=now_s, first=first, end=end)
