"""Wires the gateway process and runs it: the only place in the gateway that knows every part."""

from __future__ import annotations

import asyncio
import gc
import sys
from functools import partial
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.api.audit.v1 import audit_pb2
from gateway.api.operator.v1 import operator_pb2
from gateway.api.peer.v1 import peer_pb2, status_pb2
from gateway.clock import SystemClock
from gateway.config import PREFIX, GatewayConfig, require_files
from gateway.consentlog.note import VerifierKey
from gateway.crypto.trusted import TrustedKeys
from gateway.domain.bundle import Bundle, Timeline
from gateway.domain.directory import GATEWAY, Endpoint
from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError
from gateway.housekeeping import Housekeeping
from gateway.next_shard import NextShard, listed_signer
from gateway.observability import MetricsEndpoint, configure_logging, new_registry
from gateway.policy.installed import Installed, Seen, load_installed
from gateway.process import kept_running, stop_event, write_ready
from gateway.rpc.audit import AuditServicer
from gateway.rpc.cities import CityPeerClient
from gateway.rpc.eligibility import EligibilityServicer
from gateway.rpc.events import ConsentEventServicer
from gateway.rpc.status import StatusServicer
from gateway.services.attestation_cache import AttestationCache
from gateway.services.audit_reads import AuditReads
from gateway.services.check_eligibility import CheckEligibility
from gateway.services.limit_checks import LimitChecks
from gateway.services.limit_refusals import LogRefusals
from gateway.services.read_log import ReadLog
from gateway.services.report_uses import ReportUses
from gateway.services.take_event import TakeEvent
from gateway.settings import read_settings
from gateway.storage.sqlite_store import SqliteStore
from gateway.transport.access import GATEWAY_ACCESS
from gateway.transport.channel import PeerChannel, open_channel
from gateway.transport.expiries import watch_expiries
from gateway.transport.identity import Callers
from gateway.transport.server import Server, ServerLimits, ServiceBinding, build_server
from gateway.transport.tls import CertificateFiles, WatchedCertificate
from gateway.transport.unsafe_plaintext import UnsafePlaintext
from gateway.witnessed import Witnessed

log = structlog.get_logger("gateway")
# The writer thread gives up the interpreter lock at every step into SQLite; by default it would wait up to 5 ms for a
# busy event loop each time it comes back.
SWITCH_INTERVAL_S = 0.0005
GC_ALLOCATIONS = 20_000  # between two collections of young objects; a check makes some hundred, nearly all short-lived


class Gateway:
    """A wired gateway. Parts that follow from the signed files are replaced together by ``reload``."""

    def __init__(self, config: GatewayConfig) -> None:
        """Read all files and open the database. Raises CONFIG_INVALID, SIGNATURE_INVALID, STORE_BUSY and the like."""
        self.config = config
        self.clock = SystemClock()
        self.registry: CollectorRegistry = new_registry()
        self._installed = self._read_installed(Seen())
        self._keys = self._trusted(self._installed)
        database = config.data_dir / "gateway.db"
        signer = listed_signer(database, config.log_key, self._installed.directory.gateway, self.clock)
        self._log_key, self._vkey = signer.verifier, str(signer.verifier)
        self._reloading = asyncio.Lock()
        self.certificate = WatchedCertificate(CertificateFiles(config.tls.cert, config.tls.key, config.tls.ca))
        config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.store = SqliteStore(database, config.log_mark, signer, self.clock)
        self.witnessed = Witnessed(config.witnessing, self.store, database, signer, self.clock, self.registry)
        self._next_shard = NextShard(config, self.store, self.witnessed, self.clock)
        self._housekeeping = Housekeeping(
            self.store, database, self.clock, config.retention, self.registry, lambda: self._installed.directory
        )
        self._alarms = Counter(
            "tiergate_report_failures", "Use reports that a home city did not take.", ["city"], registry=self.registry
        )
        self._wire()

    def _wire(self) -> None:
        config, clock, store = self.config, self.clock, self.store
        self._channels: dict[CityId, PeerChannel] = {}
        self._dialled: dict[CityId, Endpoint] = {}
        self.cities: dict[CityId, CityPeerClient] = {}
        self._dial()
        self.cache = AttestationCache(config.limits.attestations)
        self.reporter = ReportUses(clock=clock, log=store, cursor=store, cities=self.cities, alarm=self._report_failed)
        self.checks = CheckEligibility(
            clock=clock,
            bundle=self._bundle,
            keys=self._keys_in_force,
            cities=self.cities,
            store=store,
            cache=self.cache,
            may_cache=self.reporter.may_cache,
            limits=LimitChecks(clock=clock, store=store, rates=config.limits.consent_rates()),
        )
        self.events = TakeEvent(clock=clock, keys=self._keys_in_force, store=store, log=store, cache=self.cache)
        Gauge("tiergate_log_size", "Entries in the newest shard.", registry=self.registry).set_function(store.size)
        live = Gauge("tiergate_live_attestations", "Attestations held.", registry=self.registry)
        live.set_function(self.cache.__len__)
        watch_expiries(self.registry, self.certificate, lambda: (self._installed.directory, self._bundle()))

    def _dial(self) -> list[PeerChannel]:
        """Open channels to cities that are new or have moved; returns those of others, to be closed."""
        peers = self._installed.directory.cities
        outdated = [city for city, at in self._dialled.items() if city not in peers or peers[city].endpoint != at]
        dropped = [self._channels.pop(city) for city in outdated]
        for city in outdated:
            del self._dialled[city], self.cities[city]
        for city, peer in peers.items():
            if city not in self._channels:
                self._dialled[city] = peer.endpoint
                channel = self._channels[city] = open_channel(peer.endpoint, self.certificate)
                self.cities[city] = CityPeerClient(
                    channel, deadline_s=self.config.limits.city_deadline_s, away_s=partial(self._away_s, city)
                )
        return dropped

    def _away_s(self, peer: str) -> float:
        return self._installed.maintenance_left(peer, self.clock.now_ms() / 1000)

    def build(self) -> Server:
        """The server, not yet started. Needs a running event loop."""
        config = self.config
        security: WatchedCertificate | UnsafePlaintext = self.certificate
        if config.bench_plaintext:
            security = UnsafePlaintext(config.listen, allow=config.environment == "development")
        callers = Callers(lambda: self._installed.directory, self._installed.directory.gateway.identity)
        eligibility = EligibilityServicer(
            checks=self.checks,
            refusals=LogRefusals(clock=self.clock, store=self.store),
            log=ReadLog(self.witnessed.receipts),
            bundle=self._bundle,
            clock=self.clock,
            away_s=partial(self._away_s, GATEWAY),
        )
        reads = AuditReads(
            self.clock, self.witnessed.audited, self.store, lambda: self._installed.directory.auditor_scopes
        )
        status = StatusServicer(lambda: self._installed.directory, lambda: self.digest, self.clock, self._listed_key)
        return build_server(
            [
                ServiceBinding(operator_pb2.DESCRIPTOR.services_by_name["EligibilityService"], eligibility),
                ServiceBinding(
                    peer_pb2.DESCRIPTOR.services_by_name["ConsentEventService"], ConsentEventServicer(self.events)
                ),
                ServiceBinding(status_pb2.DESCRIPTOR.services_by_name["StatusService"], status),
                ServiceBinding(
                    audit_pb2.DESCRIPTOR.services_by_name["AuditService"],
                    AuditServicer(ReadLog(self.witnessed.audited), reads),
                ),
            ],
            address=config.listen,
            security=security,
            resolve=callers.resolve,
            access=GATEWAY_ACCESS,
            limits=ServerLimits(config.limits.in_flight, config.limits.per_operator_per_s, config.limits.burst),
            registry=self.registry,
            development=config.environment == "development",
        )

    def _listed_key(self) -> VerifierKey | None:
        return self._log_key if self._installed.directory.gateway.log_vkey == self._vkey else None

    def _keys_in_force(self) -> TrustedKeys:
        """What checks and events go by. Raises LOG_UNAVAILABLE once the directory names another log key than ours."""
        if self._listed_key() is None:
            raise TiergateError(Reason.LOG_UNAVAILABLE, "the directory names another log key than the one held")
        return self._keys

    @property
    def digest(self) -> str:
        """Digest of the bundle in force."""
        return self._bundle().digest

    def _bundle(self) -> Bundle:
        return self._installed.timeline.at(self.clock.now_ms() / 1000)

    async def start(self) -> None:
        """Open the log and publish the bundle in it, before any decision can name it."""
        await self.witnessed.compare()
        await self.store.start(self._installed.directory.gateway.deployment)
        await self._adopt(self._read_installed(Seen.of(self.store.seen()), self._installed.timeline))

    async def _adopt(self, installed: Installed) -> None:
        """Work by newer signed files, all of them or none; seals the shard if they are the order to."""
        keys = self._trusted(installed)
        coming = self._next_shard.coming(installed.directory.gateway, self._log_key)
        await self._take(installed)
        if coming is not None:
            await self._next_shard.seal(coming, installed)
        self._installed, self._keys = installed, keys
        self.cache.follow(installed.directory)
        if coming is not None:  # in one step with the directory that lists it: in between no check would find a key
            self._log_key, self._vkey = coming.verifier, str(coming.verifier)
        self._next_shard.finish(self._log_key, installed.directory.gateway)

    async def _take(self, installed: Installed) -> None:
        """Remember the versions, and enter directory and bundles in the log: before any decision rests on them."""
        await self.store.see(installed.seen.numbers())
        await self.store.record_directory(installed.directory, self.clock.now_ms())
        for bundle in installed.timeline.bundles:  # the next one too, which then takes effect by the clock alone
            data = installed.bundle_bytes[bundle.digest]
            await self.store.publish_bundle(bundle.digest, bundle.version, data, self.clock.now_ms())

    async def reload(self) -> None:
        """Take newer signed files while checks go on, all or nothing; a fault is logged, and the running ones stay."""
        async with self._reloading:  # one after the other: the later one has read the newer files
            await self._reload()

    async def _reload(self) -> None:
        try:
            seen, held = Seen.of(self.store.seen()), self._installed.timeline
            await self._adopt(await asyncio.to_thread(self._read_installed, seen, held))
        except TiergateError as error:
            log.warning("reload refused", reason=error.reason.value, detail=error.detail)
            return
        for channel in self._dial():
            await channel.close(self.config.limits.city_deadline_s)
        log.info("reloaded", digest=self.digest, directory_version=self._installed.directory.version)

    async def stop(self) -> None:
        """Finish what was submitted to the log, close it and the channels. The server has been stopped before."""
        for channel in self._channels.values():
            await channel.close()
        await self.store.close()

    async def run_background(self) -> None:
        """Reports and housekeeping, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(kept_running("reports", self.reporter.run))
            tasks.create_task(kept_running("witnesses", self.witnessed.run))
            tasks.create_task(kept_running("housekeeping", self._housekeeping.run))

    def _read_installed(self, seen: Seen, held: Timeline | None = None) -> Installed:
        config, now_s = self.config, self.clock.now_ms() // 1000
        return load_installed(config.root, config.directory, config.bundle, now_s=now_s, seen=seen, held=held)

    def _trusted(self, installed: Installed) -> TrustedKeys:
        limits = self.config.limits
        return TrustedKeys.of(
            installed.directory,
            remember_tokens=limits.remember_tokens,
            trust_remembered=limits.trust_remembered,
            remember_proofs=limits.remember_proofs,
        )

    def _report_failed(self, city: CityId, error: TiergateError) -> None:
        self._alarms.labels(city).inc()
        log.warning("use report not taken", city=city, reason=error.reason.value, detail=error.detail)


async def serve(config: Path, *, lifeline_fd: int | None = None, ready_file: Path | None = None) -> None:
    """Run the gateway until SIGTERM, SIGINT or the end of the lifeline. Raises what keeps it from starting."""
    settings = read_settings(GatewayConfig, config, prefix=PREFIX)
    require_files(settings, config)
    configure_logging("gateway")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gateway = Gateway(settings)
    # What is loaded now stays: looking through it again at every collection costs more than it could ever free.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(gateway.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    stop = stop_event(reload, lifeline_fd)
    try:
        await gateway.start()
        server = gateway.build()
        await server.start()
        metrics = MetricsEndpoint(settings.metrics_listen, gateway.registry) if settings.metrics_listen else None
        background = loop.create_task(gateway.run_background())
        host = settings.listen.rpartition(":")[0]
        if ready_file is not None:
            write_ready(ready_file, {"address": f"{host}:{server.port}"})
        log.info("serving", address=f"{host}:{server.port}", digest=gateway.digest)
        await stop.wait()
        log.info("stopping")
        await server.stop(settings.limits.stop_grace_s)
        background.cancel()
        await asyncio.gather(background, return_exceptions=True)
        if metrics is not None:
            metrics.close()
    finally:
        await gateway.stop()
