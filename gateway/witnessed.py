"""Wires the gateway's witnesses: settings and trust file in, a collector and the log as it is published out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry, Gauge

from gateway.config import Witnessing
from gateway.consentlog.note import SignerKey, VerifierKey
from gateway.consentlog.shard import number_of
from gateway.consentlog.trust import MAX_TRUST_BYTES, TrustPolicy
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.ports import Clock, Cosigned, LogReader
from gateway.services.collect_cosignatures import CollectCosignatures, Pace
from gateway.services.published_log import PublishedLog, SealedShard, WitnessedReceipts
from gateway.storage.cosigned import CosignedCheckpoints, SealedCheckpoints
from gateway.storage.sqlite_store import SqliteStore
from gateway.witness.client import WitnessClient

log = structlog.get_logger("gateway")


class _Shards(NamedTuple):
    """What is kept and asked for: of the newest shard (``number``), and of sealed ones."""

    number: int
    kept: CosignedCheckpoints
    sealed: SealedCheckpoints
    collector: CollectCosignatures
    missing: list[CollectCosignatures]


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
        self._settings, self._store, self._database, self._clock = settings, store, database, clock
        self._clients: dict[str, WitnessClient] = {}
        self._shards: _Shards | None = None
        self._task: asyncio.Task[None] | None = None
        self._awake = asyncio.Event()
        self._awake.set()
        if settings is None:
            return
        self._clients = {
            at.name: WitnessClient(at.url, deadline_s=settings.deadline_s, ca=settings.ca) for at in settings.witnesses
        }
        self._shards = shards = self._read_shards(signer, read_policy(settings, signer.verifier), settings)
        self.audited = PublishedLog(store, self._cosigned)
        self.receipts = WitnessedReceipts(store, self._cosigned)
        _publish(registry, lambda: self._shards or shards, clock)

    def _read_shards(self, signer: SignerKey, trust: TrustPolicy, settings: Witnessing) -> _Shards:
        store = self._store
        kept = CosignedCheckpoints(self._database, store.aside, trust.verify)
        sealed = SealedCheckpoints(self._database, store.aside, trust.verify)
        collector = partial(
            CollectCosignatures,
            clock=self._clock,
            signer=signer,
            trust=trust,
            witnesses=self._clients,
            pace=Pace(settings.interval_s, settings.refresh_s, settings.alarm_after_s),
        )
        # nobody is asked while a shard is being sealed: its last checkpoint is cosigned afterwards
        missing = [collector(log=SealedShard(store, number), store=sealed.of(number)) for number in sealed.missing]
        return _Shards(number_of(signer.name), kept, sealed, collector(log=store, store=kept), missing)

    def _cosigned(self, number: int) -> Cosigned | None:
        """A shard's newest published checkpoint. One that is sealed just now has none until we :meth:`follow`."""
        shards = self._shards
        if shards is None:
            return None
        return shards.kept.newest() if number == shards.number else shards.sealed.get(number)

    async def compare(self) -> None:
        """Compare the head with every witness that can be reached, before anything is signed. Raises LOG_BEHIND."""
        if self._shards is not None:
            try:
                await self._shards.collector.compare()
            except BaseException:
                await self._close()
                raise

    async def run(self) -> None:
        """Collect until cancelled."""
        if self._settings is None:
            return
        try:
            while True:
                await self._awake.wait()
                self._task = asyncio.create_task(self._collect(self._settings.interval_s))
                await asyncio.wait({self._task})
                if not self._task.cancelled():  # it rests until it is to go on
                    self._task.result()
        finally:
            await self._stop()
            await self._close()

    async def _collect(self, interval_s: float) -> None:
        if self._shards is not None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._shards.collector.run())
                for collector in self._shards.missing:
                    tasks.create_task(self._finish(collector, interval_s))

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    # -- the seal of a shard -------------------------------------------------------------------------------------

    def prepare(self, coming: SignerKey) -> TrustPolicy | None:
        """The trust file, if it is about the next shard as well. Raises ProblemsError (CONFIG_INVALID)."""
        return None if self._settings is None else read_policy(self._settings, coming.verifier)

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[None]:
        """No witness is asked within this block, and nothing that one has said is handed to the store."""
        self._awake.clear()
        try:
            await self._stop()
            yield
        finally:
            self._awake.set()

    def follow(self, signer: SignerKey, trust: TrustPolicy | None) -> None:
        """Go on with the next shard, now that the one before is sealed; ``trust`` as prepared.

        To be called while :meth:`resting`. Raises STORE_FAILED or STORE_BUSY; nothing has changed then.
        """
        if self._settings is not None and trust is not None:
            self._shards = self._read_shards(signer, trust, self._settings)

    async def _finish(self, collector: CollectCosignatures, interval_s: float) -> None:
        """Collect for a sealed shard, until its last checkpoint is kept."""
        while True:
            try:
                if await collector.collect_once():
                    return
            except TiergateError as error:  # the store's trouble, or a policy that does not name the sealed shard's key
                log.warning("cosignatures_not_kept", reason=error.reason.value, detail=error.detail)
            await asyncio.sleep(interval_s)

    async def _close(self) -> None:
        for client in self._clients.values():
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


def _publish(registry: CollectorRegistry, shards: Callable[[], _Shards], clock: Clock) -> None:
    """The gauges: sizes count entries, ages seconds, times Unix seconds."""

    def newest(of: Callable[[int, int], float]) -> float:
        found = shards().kept.newest()
        return float("nan") if found is None else of(found.size, found.at_ms)

    gauges: dict[str, tuple[str, Callable[[], float]]] = {
        "tiergate_cosigned_size": ("Size of the newest published checkpoint.", lambda: newest(lambda size, _: size)),
        "tiergate_cosigned_age_seconds": (
            "Age of the newest published checkpoint's cosignatures.",
            lambda: newest(lambda _, at_ms: (clock.now_ms() - at_ms) / 1000),
        ),
        "tiergate_quorum_failing": (
            "1 while the quorum has not cosigned for too long.",
            lambda: shards().collector.failing,
        ),
    }
    for name, (text, read) in gauges.items():
        Gauge(name, text, registry=registry).set_function(read)
    last = Gauge(
        "tiergate_witness_last_success_timestamp_seconds", "When it last cosigned.", ["witness"], registry=registry
    )
    conflict = Gauge(
        "tiergate_witness_conflict", "1: it has seen more, or another history.", ["witness"], registry=registry
    )
    for place, view in enumerate(shards().collector.witnesses):  # in every shard those of the settings, in their order
        last.labels(view.name).set_function(
            lambda place=place: shards().collector.witnesses[place].last_success_s  # type: ignore[misc]
        )
        conflict.labels(view.name).set_function(
            lambda place=place: shards().collector.witnesses[place].conflict  # type: ignore[misc]
        )
