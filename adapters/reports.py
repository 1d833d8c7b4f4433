"""The receiver of use reports: checks that each decision is in the gateway's log, then keeps it for the resident."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from adapters.alarms import AlarmKind, Alarms, Metrics
from adapters.reference import Reference
from adapters.store.city_store import CityStore
from adapters.store.registrations import Registration
from adapters.store.reports import Mark, TakeReports, UseRow
from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.entry import Entry, decode
from gateway.consentlog.merkle import leaf_hash, verify_inclusion
from gateway.consentlog.proof import hashes_of
from gateway.consentlog.shard import index_in
from gateway.crypto.attestation import MAX_LIFETIME_S
from gateway.crypto.consent import MAX_CLOCK_AHEAD_S
from gateway.domain.decision import Outcome
from gateway.domain.evaluate import DAY_MS, GRAINS_MS
from gateway.domain.ids import BundleDigest, ScenarioId
from gateway.errors import Reason, TiergateError

MAX_REPORTS = 256

_ALARMS: dict[Mark, AlarmKind] = {
    "unattributed": "report_unattributed",
    "better_than_attested": "report_better_than_attested",
    "entitled_though_silent": "report_entitled_though_silent",
    "lower_than_attested": "report_lower_than_attested",
    "of_another_question": "report_of_another_question",
    "on_ended_attestation": "report_on_ended_attestation",
    "fork": "log_fork",
    "registration_wrong": "registration_wrong",
    "event_unlinked": "event_unlinked",
}


@dataclass(frozen=True, slots=True)
class Report:
    """One report as received: log index, entry's exact bytes, proof from leaf to root.

    ``registration`` comes with a consent's first decision, with the proof in the same checkpoint.
    """

    attestation_id: str
    outcome: Outcome
    log_index: int
    entry: bytes
    inclusion: tuple[bytes, ...]
    registration: Registration | None = None


class UseReports:
    """Takes reports. Proved but odd ones are kept, marked and alarmed: refusing would hold up those behind them."""

    def __init__(
        self, *, reference: Callable[[], Reference], store: CityStore, alarms: Alarms, metrics: Metrics
    ) -> None:
        self._reference = reference
        self._store = store
        self._alarms = alarms
        self._metrics = metrics

    async def take(self, reports: Sequence[Report], checkpoint: str) -> int:
        """Verify and store a run; the index up to which it is held, after the commit.

        Raises REPORT_INVALID, and nothing is stored: the checkpoint is not the log's, a proof does not lead to it, an
        entry is not a decision about this city's residents, or the run is empty, too long or not in rising order.
        """
        if not 0 < len(reports) <= MAX_REPORTS:
            raise _invalid("empty or too long")
        if any(later.log_index <= earlier.log_index for earlier, later in pairwise(reports)):
            raise _invalid("not in rising order of log index")
        # off the loop: 256 proofs are thousands of hashes
        rows = await asyncio.to_thread(_verified, reports, checkpoint, self._reference())
        for mark in await self._store.submit(TakeReports(rows, checkpoint)):
            self._alarms.alarm(_ALARMS[mark])
        self._metrics.reports.inc(len(rows))
        return reports[-1].log_index


def _verified(reports: Sequence[Report], checkpoint: str, reference: Reference) -> list[UseRow]:
    try:
        verified = reference.log.verify(checkpoint.encode())
        rows = [_row(report, verified.checkpoint, reference) for report in reports]
        for report in reports:
            reference.log.require_time(verified, decode(report.entry).time)
        return rows
    except TiergateError as error:
        if error.reason is Reason.REPORT_INVALID:
            raise
        raise _invalid(f"{error.reason}: {error.detail}") from error


def _row(report: Report, head: Checkpoint, reference: Reference) -> UseRow:
    verify_inclusion(
        index_in(head.origin, report.log_index), head.size, leaf_hash(report.entry), report.inclusion, head.root
    )
    entry = decode(report.entry)
    if entry.type != "decision" or entry.text("city") != reference.city.id:
        raise _invalid("the entry is not a decision about a resident of this city")
    if entry.text("outcome") != report.outcome.value:
        raise _invalid("the report's outcome is not its entry's")
    return UseRow(
        log_index=report.log_index,
        attestation_id=report.attestation_id,
        operator=entry.text("operator"),
        scenario=entry.text("scenario"),
        bundle=entry.text("bundle"),
        outcome=report.outcome.value,
        rung=entry.number("rung"),
        entry=report.entry,
        inclusion=b"".join(report.inclusion),
        attested=_attested_within(entry, reference),
        consent=entry.number("consent"),
        registration=_registered(report.registration, entry, head),
    )


def _attested_within(entry: Entry, reference: Reference) -> tuple[int, int]:
    """When an attestation that this was decided on was made at the earliest and the latest, as coarse as it is kept.

    A bundle that is not held any more leaves the coarsest grain: nobody is alarmed by a guess.
    """
    bundle = reference.timeline.held(BundleDigest(entry.text("bundle")))
    scenario = None if bundle is None else bundle.scenarios.get(ScenarioId(entry.text("scenario")))
    grain_ms = DAY_MS if scenario is None else GRAINS_MS[scenario.time_grain]
    # a grain on either side: two clocks may stand on the two sides of its end
    return (entry.time - grain_ms) // 1000 - MAX_LIFETIME_S, (entry.time + grain_ms) // 1000 + MAX_CLOCK_AHEAD_S


def _registered(found: Registration | None, decision: Entry, head: Checkpoint) -> Registration | None:
    """The registration that a decision names, if it is in the same tree."""
    if found is None:
        return None
    index = index_in(head.origin, found.log_index)
    verify_inclusion(index, head.size, leaf_hash(found.entry), hashes_of(found.inclusion), head.root)
    entry = decode(found.entry)
    if entry.type != "consent_registered" or found.log_index != decision.number("consent"):
        raise _invalid("the entry is not the registration that the decision names")
    if any(entry.text(name) != decision.text(name) for name in ("city", "operator", "token")):
        raise _invalid("registration and decision disagree")
    return found


def _invalid(detail: str) -> TiergateError:
    return TiergateError(Reason.REPORT_INVALID, f"use report: {detail}")
