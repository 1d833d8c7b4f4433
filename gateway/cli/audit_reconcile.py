"""``tiergate audit reconcile``: the gateway's log, as exported, against the journal of a city."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from gateway.cli.audit import head_document, read_trust, require_export
from gateway.cli.audit_replay import SHOWN, bundle_reader
from gateway.cli.messages import time_of_s
from gateway.cli.options import Json, TrustFile
from gateway.cli.output import EXIT_OK, EXIT_REFUSED, UsageError, facts, show, table
from gateway.consentlog.export import CHECKPOINT
from gateway.consentlog.journal import Journal
from gateway.consentlog.note import MAX_NOTE_BYTES
from gateway.consentlog.reconcile import MEANINGS, Finding, Reconciliation
from gateway.consentlog.scoped import is_scoped, scope_of, verify_scoped
from gateway.consentlog.shard import first_of, number_of
from gateway.consentlog.verify import VerifiedExport, read_part, verify_export
from gateway.domain.evaluate import DAY_MS, GRAINS_MS
from gateway.domain.ids import CityId, ScenarioId
from gateway.errors import TiergateError
from gateway.policy.installed import installed_directory


def reconcile(
    export: Annotated[Path, Parameter(help="Folder that `audit export` wrote.")],
    *,
    trust: TrustFile,
    journal: Annotated[Path, Parameter(name="--journal", help="File that the city's `adapter journal` wrote.")],
    directory: Annotated[
        Path, Parameter(name="--directory", help="Signed directory, as of when the journal was made: the city's keys.")
    ],
    root: Annotated[Path, Parameter(name="--root", help="Root file: who may sign the directory.")],
    json: Json = False,
) -> int:
    """Hold an export against a city's journal: what only one of them has, what differs, and what nobody decided.

    The directory need not be in force any more: a journal is verified by that of its time, without the keys that
    notices beside it have removed. Exit code 1 when they disagree, 4 when export or journal do not verify: then nothing
    is said about either.
    """
    require_export(export)
    data = read_trust(trust)
    held = Journal.verify(journal, installed_directory(root, directory))
    found = Reconciliation(held, _grains(export), _start(export))
    verified = _verified(export, data, found, held.header.city)
    found.finish(verified.end)
    header = held.header
    summary = {
        "compared": found.compared,
        "lowered": found.lowered,
        "waiting": found.waiting,
        "beyond": found.beyond,
    }
    document: dict[str, Any] = {
        "verified": head_document(verified) | {"witnesses": verified.witnesses},
        "journal": {
            "city": header.city,
            "made_at": time_of_s(header.made_at),
            "from": header.first,
            "to": header.end,
            "reported": header.reported,
        },
        **summary,
        "counts": {code.value: found.counts[code] for code in sorted(found.counts)},
        "findings": [
            {
                "code": item.code.value,
                "index": item.index,
                "attestation": item.attestation,
                "meaning": MEANINGS[item.code],
            }
            for item in found.findings
        ],
    }
    told = {
        "decisions compared": found.compared,
        "lower, the consent withdrawn, paused or to be erased": found.lowered,
        "within the report deadline": found.waiting,
        "reported, outside this export": found.beyond,
    }
    last = f"{header.city} and {verified.origin}: {len(found.findings)} disagreement(s)"
    show(document, lambda: [facts("", told), *_findings(found.findings, document["counts"]), last], as_json=json)
    return EXIT_REFUSED if found.findings else EXIT_OK


def _verified(export: Path, trust: bytes, found: Reconciliation, city: CityId) -> VerifiedExport:
    """Verify the export, whole or scoped, and have its entries taken."""
    if not is_scoped(export):
        return verify_export(export, trust, found.take)
    if city not in (scope_of(export).cities or ()):
        raise UsageError(f"{city} is outside the export's scope", "use the journal of a city in it, or a whole export")
    return verify_scoped(export, trust, found.take)


def _start(export: Path) -> int:
    """Log index of the first entry of an export; it is verified with all else."""
    head = read_part(export, CHECKPOINT, MAX_NOTE_BYTES)
    return first_of(number_of(head.partition(b"\n")[0].decode("utf-8", "replace")))


def _grains(export: Path) -> Callable[[str, str], int]:
    """Time grains out of the export's bundles; where there is nothing to read, the coarsest: nobody is blamed early."""
    read = bundle_reader(export)

    @cache
    def grain(bundle: str, scenario: str) -> int:
        try:
            found = read(bundle).scenarios.get(ScenarioId(scenario))
        except TiergateError:
            return DAY_MS
        return DAY_MS if found is None else GRAINS_MS[found.time_grain]

    return grain


def _findings(found: Sequence[Finding], counts: dict[str, int]) -> list[str | Table]:
    if not found:
        return []
    rows = [
        (item.attestation if item.index is None else item.index, item.code.value, MEANINGS[item.code])
        for item in found[:SHOWN]
    ]
    tables: list[str | Table] = [table("Disagreements", ("index or attestation", "code", "meaning"), rows)]
    if len(found) > SHOWN:
        tables.append(facts(f"the first {SHOWN} of {len(found)}; by code", counts))
    return tables
