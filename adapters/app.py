"""One city's adapter as a whole: wiring, start, reload, stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, closing

import structlog
from prometheus_client import CollectorRegistry

from adapters.alarms import Alarms, Metrics
from adapters.announce import Announcer
from adapters.attest import AnswerSettings, Attester
from adapters.authority import ConsentAuthority
from adapters.clock import Clock
from adapters.config import AdapterSettings, load_keys
from adapters.consult import Platform
from adapters.custody import Custody
from adapters.desk import ResidentDesk
from adapters.erasure import Erasures
from adapters.events import EventPusher
from adapters.handles import HandleDesk, Presentations
from adapters.keys import KeyFollower
from adapters.punctual import Punctual
from adapters.receipts import ConsentReceipts
from adapters.reports import UseReports
from adapters.rpc import AttestationServicer, GatewayEvents, StatusServicer, UseReportServicer
from adapters.rpc_consents import ConsentServicer
from adapters.rpc_residents import ResidentServicer
from adapters.sources.settings import open_source
from adapters.standing import Standing
from adapters.store.attestations import Tidy
from adapters.store.city_store import CityStore, open_store
from adapters.unreported import Unreported
from gateway.api.consent.v1 import consent_pb2, resident_pb2
from gateway.api.peer.v1 import peer_pb2, status_pb2
from gateway.clock import SystemClock
from gateway.domain.ids import CityId, ResidentRef
from gateway.errors import TiergateError
from gateway.observability import MetricsEndpoint, new_registry
from gateway.process import kept_running
from gateway.transport.access import ADAPTER_ACCESS
from gateway.transport.channel import open_channel
from gateway.transport.expiries import watch_expiries
from gateway.transport.identity import Callers
from gateway.transport.server import Server, ServerLimits, ServiceBinding, build_server
from gateway.transport.tls import CertificateFiles, WatchedCertificate

TIDY_INTERVAL_S = 60.0

_log = structlog.get_logger(__name__)


class Adapter:
    """A city's adapter. ``start`` raises every problem of files and settings; ``stop`` gives everything back."""

    _keys: Custody
    _follower: KeyFollower
    _standing: Standing
    _store: CityStore
    _platform: Platform
    _desk: ResidentDesk
    _erasures: Erasures
    _certificate: WatchedCertificate

    def __init__(
        self,
        settings: AdapterSettings,
        *,
        clock: Clock | None = None,
        registry: CollectorRegistry | None = None,
        reread: Callable[[], AdapterSettings] | None = None,
    ) -> None:
        """``reread`` reads the settings again at a reload, for the key files that they name then."""
        self._settings = settings
        self._reread = reread or (lambda: settings)
        self._city = CityId(settings.city)
        self._clock = clock or SystemClock()
        self._registry = registry or new_registry()
        self._open = AsyncExitStack()
        self._server: Server | None = None
        self._alarms = Alarms(self._registry, self._clock)
        self._metrics = Metrics(self._registry)
        self._tasks: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()

    @property
    def address(self) -> str:
        """``host:port`` on which it serves. To be asked after ``start``."""
        assert self._server is not None
        return f"{self._settings.listen.rpartition(':')[0]}:{self._server.port}"

    async def start(self) -> None:
        """Read everything, open everything, serve. Raises ProblemsError and TiergateError; then nothing stays open."""
        async with AsyncExitStack() as stack:
            self._server = await self._wire(stack)
            await self._server.start()
            self._open = stack.pop_all()

    def announce(self) -> None:
        """Say in the log what is served, and by which rules; and what is missing for the deadlines of cases."""
        reference = self._standing.in_force()
        _log.info(
            "serving",
            city=self._city,
            address=self.address,
            digest=reference.bundle.digest,
            directory_version=reference.directory.version,
        )
        if years := self._settings.cases.deadlines().uncovered(self._clock.now_ms() // 1000):
            _log.warning("calendar_missing", years=list(years))

    async def stop(self) -> None:
        """Let calls in hand finish, then close everything in the reverse order of opening."""
        _log.info("stopping", city=self._city)
        if self._server is not None:
            await self._server.stop(self._settings.limits.stop_grace_s)
        await self._open.aclose()

    async def reload(self) -> None:
        """Take newer signed files and key files. A bad one is refused, alarmed, and what is running stays in force.

        A directory that no longer lists one of our keys is taken all the same, and that key signs nothing more.
        """
        async with self._reloading:  # one after the other: the later one has read the newer files
            try:
                await self._take_reference()
            finally:
                await self._follower.follow(self._standing.in_force().city, str(self._settings.directory))

    async def _take_reference(self) -> None:
        try:
            reference = await self._standing.take()
        except TiergateError as error:
            self._alarms.alarm("reference_refused")
            _log.error("reload_refused", reason=error.reason.value, detail=error.detail)
            return
        _log.info("reloaded", digest=reference.bundle.digest, directory_version=reference.directory.version)

    async def _wire(self, stack: AsyncExitStack) -> Server:
        settings = self._settings
        keys = load_keys(settings.keys)
        self._certificate = WatchedCertificate(CertificateFiles(settings.tls.cert, settings.tls.key, settings.tls.ca))
        self._store = open_store(settings.data_dir)
        stack.push_async_callback(self._store.close)
        self._store.start()
        self._standing = Standing(settings, self._store, self._clock)
        reference = await self._standing.take()
        self._keys = Custody(keys, reference.city, str(settings.directory))
        self._follower = KeyFollower(
            self._keys, lambda: load_keys(self._reread().keys), self._store, self._alarms, self._clock
        )
        await self._follower.remember(reference.city)
        source = open_source(settings.source, self._alarms.alarm)
        stack.push_async_callback(source.close)
        self._platform = Platform(
            source,
            decoy=ResidentRef(settings.decoy_resident),
            deadline_s=settings.answers.deadline_s,
            alarms=self._alarms,
            metrics=self._metrics,
            clock=self._clock,
        )
        channel = open_channel(reference.directory.gateway.endpoint, self._certificate)
        stack.push_async_callback(channel.close)
        pusher = EventPusher(
            self._store,
            GatewayEvents(channel),
            reference=self._standing.in_force,
            alarms=self._alarms,
            metrics=self._metrics,
            signed=self._keys.current_event,
        )
        pusher.start()
        stack.push_async_callback(pusher.close)
        punctual = stack.enter_context(closing(Punctual()))
        server = self._build_server(pusher, punctual)
        watch_expiries(self._registry, self._certificate, self._standing.files)
        if settings.metrics_listen is not None:
            stack.callback(MetricsEndpoint(settings.metrics_listen, self._registry).close)
        stack.push_async_callback(self._end_tasks)
        self._spawn(kept_running("tidying", self._tidy))
        self._spawn(kept_running("platform", lambda: self._platform.keep_checking(self._standing.in_force)))
        return server

    def _build_server(self, pusher: EventPusher, punctual: Punctual) -> Server:
        settings = self._settings
        attester = Attester(
            keys=self._keys,
            reference=self._standing.in_force,
            store=self._store,
            platform=self._platform,
            clock=self._clock,
            metrics=self._metrics,
            settings=AnswerSettings(settings.answers.lifetime_s, settings.answers.time_grid_s),
            rates=settings.limits.consent_rates(),
            sleep=punctual.sleep,
        )
        announcer = Announcer(
            keys=self._keys,
            reference=self._standing.in_force,
            store=self._store,
            pusher=pusher,
            clock=self._clock,
            attestation_lifetime_s=settings.answers.lifetime_s,
            ack_wait_s=settings.withdrawal_wait_s,
        )
        authority = ConsentAuthority(
            keys=self._keys,
            reference=self._standing.in_force,
            store=self._store,
            announcer=announcer,
            clock=self._clock,
            quiet_days=settings.declined_quiet_days,
        )
        desk = self._desk = ResidentDesk(
            reference=self._standing.in_force,
            store=self._store,
            platform=self._platform,
            announcer=announcer,
            clock=self._clock,
            alarms=self._alarms,
            deadlines=settings.cases.deadlines(),
        )
        self._erasures = Erasures(
            store=self._store,
            announcer=announcer,
            clock=self._clock,
            retention_days=settings.retention_days,
            until_s=lambda: self._standing.in_force().directory.expires,
        )
        reports = UseReports(
            reference=self._standing.in_force, store=self._store, alarms=self._alarms, metrics=self._metrics
        )
        receipts = ConsentReceipts(
            keys=self._keys, reference=self._standing.in_force, store=self._store, clock=self._clock
        )
        secret = self._keys.pairwise
        presentations = Presentations(attester, secret, self._store, self._clock, self._alarms, self._metrics)
        counter = HandleDesk(secret, self._standing.in_force, self._store, authority, self._clock)
        services = {
            **peer_pb2.DESCRIPTOR.services_by_name,
            **consent_pb2.DESCRIPTOR.services_by_name,
            **resident_pb2.DESCRIPTOR.services_by_name,
            **status_pb2.DESCRIPTOR.services_by_name,
        }
        standing = self._standing
        callers = Callers(lambda: standing.in_force().directory, standing.in_force().city.identity)
        status_of = StatusServicer(standing.in_force, self._keys.signing, self._clock)
        return build_server(
            [
                ServiceBinding(services["AttestationService"], AttestationServicer(presentations)),
                ServiceBinding(services["UseReportService"], UseReportServicer(reports)),
                ServiceBinding(services["ConsentService"], ConsentServicer(authority, receipts, counter, self._city)),
                ServiceBinding(services["ResidentService"], ResidentServicer(desk, self._erasures, self._city)),
                ServiceBinding(services["StatusService"], status_of),
            ],
            address=settings.listen,
            security=self._certificate,
            resolve=callers.resolve,
            access=ADAPTER_ACCESS,
            limits=ServerLimits(settings.limits.in_flight, settings.limits.per_caller_per_s, settings.limits.burst),
            registry=self._registry,
        )

    async def _tidy(self) -> None:
        """Forget what has served, a little at a time, and look after cases and reports, as long as the adapter runs."""
        unreported = Unreported(self._store, self._alarms, self._clock)
        while True:
            try:
                while await self._store.submit(Tidy(self._clock.now_ms() // 1000)):
                    pass
                await self._desk.look_after_cases()
                await unreported.look()
                await self._erasures.delete_due()
            except TiergateError as error:
                _log.warning("tidying_failed", reason=error.reason.value, detail=error.detail)
            except Exception:  # noqa: BLE001  # deadlines of cases hang on this task: a fault must not end it
                _log.exception("tidying_failed")
            await asyncio.sleep(TIDY_INTERVAL_S)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def request_reload(self) -> None:
        """Reload soon, unless it is still starting; for a signal handler."""
        if self._server is not None:
            self._spawn(self.reload())

    async def _end_tasks(self) -> None:
        for task in list(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
