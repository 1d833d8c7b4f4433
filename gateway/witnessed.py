"""Wires the gateway's witnesses: settings and trust file in, a collector and the log as it is published out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Gauge

from gateway.config import Witnessing
from gateway.consentlog.note import SignerKey, VerifierKey
from gateway.consentlog.trust import MAX_TRUST_BYTES, TrustPolicy
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.ports import Clock, LogReader
from gateway.services.collect_cosignatures import CollectCosignatures, Pace
from gateway.services.published_log import PublishedLog, SealedShard, WitnessedReceipts
from gateway.storage.cosigned import CosignedCheckpoints, SealedCheckpoints
from gateway.storage.sqlite_store import SqliteStore
from gateway.witness.client import WitnessClient

log = structlog.get_logger("gateway")


class Witnessed:
    """The witnesses of a gateway; without any (``settings`` None) nothing is asked, and the log is published as it is.

    ``audited`` is what auditors read, ``receipts`` what operators' receipts are made from.
    """

    def __init__(
        self,
        settings: Witnessing | None,
        store: SqliteStore,
        database: Path,
        signer: SignerKey,
        clock: Clock,
        registry: CollectorRegistry,
    ) -> None:
        """Raises CONFIG_INVALID, STORE_FAILED or STORE_BUSY."""
        self.audited: LogReader = store
        self.receipts: LogReader = store
        self._collector: CollectCosignatures | None = None
        self._sealed: list[CollectCosignatures] = []
        self._clients: list[WitnessClient] = []
        if settings is None:
            return
        trust = read_policy(settings, signer.verifier)
        kept = CosignedCheckpoints(database, store.aside, trust.verify)
        sealed = SealedCheckpoints(database, store.aside, trust.verify)
        self.audited = PublishedLog(store, kept.newest, sealed.get)
        self.receipts = WitnessedReceipts(store, kept.newest, sealed.get)
        clients = {
            at.name: WitnessClient(at.url, deadline_s=settings.deadline_s, ca=settings.ca) for at in settings.witnesses
        }
        self._clients = list(clients.values())
        self._interval_s = settings.interval_s
        collector = partial(
            CollectCosignatures,
            clock=clock,
            signer=signer,
            trust=trust,
            witnesses=clients,
            pace=Pace(settings.interval_s, settings.refresh_s, settings.alarm_after_s),
        )
        self._collector = collector(log=store, store=kept)
        # a shard is sealed while the gateway stands: its last checkpoint is cosigned afterwards
        self._sealed = [collector(log=SealedShard(store, number), store=sealed.of(number)) for number in sealed.missing]
        _publish(registry, self._collector, kept, clock)

    async def compare(self) -> None:
        """Compare the head with every witness that can be reached, before anything is signed. Raises LOG_BEHIND."""
        if self._collector is not None:
            try:
                await self._collector.compare()
            except BaseException:
                await self._close()
                raise

    async def run(self) -> None:
        """Collect until cancelled."""
        if self._collector is not None:
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._collector.run())
                    for collector in self._sealed:
                        tasks.create_task(self._finish(collector))
            finally:
                await self._close()

    async def _finish(self, collector: CollectCosignatures) -> None:
        """Collect for a sealed shard, until its last checkpoint is kept."""
        while True:
            try:
                if await collector.collect_once():
                    return
            except TiergateError as error:  # the store's trouble, or a policy that does not name the sealed shard's key
                log.warning("cosignatures_not_kept", reason=error.reason.value, detail=error.detail)
            await asyncio.sleep(self._interval_s)

    async def _close(self) -> None:
        for client in self._clients:
            await client.close()


def read_policy(settings: Witnessing, log: VerifierKey) -> TrustPolicy:
    """The trust file, if it is about this log (its key) and these witnesses. Raises ProblemsError (CONFIG_INVALID)."""
    file = str(settings.trust)
    try:
        with settings.trust.open("rb") as opened:
            trust = TrustPolicy.parse(opened.read(MAX_TRUST_BYTES + 1))
    except OSError as error:
        raise ProblemsError(Reason.CONFIG_INVALID, [Problem(file, "", "cannot be read")]) from error
    except TiergateError as error:
        raise ProblemsError(Reason.CONFIG_INVALID, [Problem(file, "", error.detail)]) from error
    problems = [
        Problem(file, "witness", f"does not name {at.name}", "add its line, or remove it from the settings")
        for at in settings.witnesses
        if at.name.encode() not in trust.witnesses
    ]
    if log not in trust.logs:
        problems.append(Problem(file, "log", "does not name this log's key", f"log {log}"))
    try:
        trust.require_quorum({at.name.encode() for at in settings.witnesses})
    except TiergateError:
        problems.append(Problem(file, "quorum", "cannot be met by the witnesses of the settings", "add witnesses"))
    if problems:
        raise ProblemsError(Reason.CONFIG_INVALID, problems)
    return trust


def _publish(
    registry: CollectorRegistry, collector: CollectCosignatures, kept: CosignedCheckpoints, clock: Clock
) -> None:
    """The gauges: sizes count entries, ages seconds, times Unix seconds."""

    def newest(of: Callable[[int, int], float]) -> float:
        found = kept.newest()
        return float("nan") if found is None else of(found.size, found.at_ms)

    gauges: dict[str, tuple[str, Callable[[], float]]] = {
        "tiergate_cosigned_size": ("Size of the newest published checkpoint.", lambda: newest(lambda size, _: size)),
        "tiergate_cosigned_age_seconds": (
            "Age of the newest published checkpoint's cosignatures.",
            lambda: newest(lambda _, at_ms: (clock.now_ms() - at_ms) / 1000),
        ),
        "tiergate_quorum_failing": ("1 while the quorum has not cosigned for too long.", lambda: collector.failing),
    }
    for name, (text, read) in gauges.items():
        Gauge(name, text, registry=registry).set_function(read)
    last = Gauge(
        "tiergate_witness_last_success_timestamp_seconds", "When it last cosigned.", ["witness"], registry=registry
    )
    conflict = Gauge(
        "tiergate_witness_conflict", "1: it has seen more, or another history.", ["witness"], registry=registry
    )
    for view in collector.witnesses:
        last.labels(view.name).set_function(lambda view=view: view.last_success_s)  # type: ignore[misc]
        conflict.labels(view.name).set_function(lambda view=view: view.conflict)  # type: ignore[misc]
