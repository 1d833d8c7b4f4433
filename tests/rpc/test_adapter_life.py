"""An adapter's life: start with every fault named, reload, push to a gateway, stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest
from prometheus_client import CollectorRegistry

from adapters.app import Adapter
from adapters.desk import ResidentDesk
from adapters.sandbox import quanzhou
from adapters.sandbox.residents import residents_of
from gateway.api.consent.v1 import consent_pb2 as consent
from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.cli.localnet.plan import ReservedPort
from gateway.crypto import jws
from gateway.domain.ids import PeerIdentity, ResidentRef
from gateway.errors import ProblemsError, Reason
from gateway.transport.access import HEALTH_ACCESS
from gateway.transport.identity import Caller, Callers
from gateway.transport.server import Server, ServerLimits, ServiceBinding, build_server
from gateway.transport.tls import WatchedCertificate
from tests.fakes.adapter import CSV, AdapterFiles
from tests.fakes.files import write_signed_files
from tests.fakes.log import FakeLog
from tests.fakes.network import DOMAIN, FUZHOU, LIBRARY_LOAN, XIAMEN_LIBRARY
from tests.unit.adapters.conftest import refuses

PEOPLE = residents_of("fuzhou")
TOP = PEOPLE[0].ref
TIMEOUT_S = 30
TERMS = consent.ConsentTerms(
    operator=XIAMEN_LIBRARY, scenario=LIBRARY_LOAN, lifetime_s=86_400, uses=2, binding=consent.BINDING_OPERATOR
)


@pytest.fixture
def files(tmp_path: Path) -> AdapterFiles:
    quanzhou.export(PEOPLE, tmp_path / "scores.csv")
    return AdapterFiles(tmp_path, CSV)


async def _consent(files: AdapterFiles, adapter: Adapter) -> consent.GrantConsentResponse:
    async with files.app(adapter) as channel:
        app = ConsentServiceStub(channel)
        shown = await app.PreviewConsent(consent.PreviewConsentRequest(terms=TERMS), timeout=TIMEOUT_S)
        granted: consent.GrantConsentResponse = await app.GrantConsent(
            consent.GrantConsentRequest(resident_ref=TOP, terms=TERMS, notice_digest=shown.notice_digest),
            timeout=TIMEOUT_S,
        )
        return granted


async def _withdraw(files: AdapterFiles, adapter: Adapter, consent_id: str) -> consent.WithdrawConsentResponse:
    async with files.app(adapter) as channel:
        withdrawn: consent.WithdrawConsentResponse = await ConsentServiceStub(channel).WithdrawConsent(
            consent.WithdrawConsentRequest(resident_ref=TOP, consent_id=consent_id), timeout=TIMEOUT_S
        )
        return withdrawn


class EventLog:
    """The gateway's side of consent events: remembers them, acknowledges them with receipts."""

    def __init__(self, log: FakeLog) -> None:
        self._log = log
        self.events: list[str] = []
        self.senders: list[PeerIdentity] = []

    async def PushConsentEvents(  # noqa: N802
        self, request: peer.PushConsentEventsRequest, caller: Caller
    ) -> peer.PushConsentEventsResponse:
        self.senders.append(caller.identity)
        response = peer.PushConsentEventsResponse()
        for text in request.events:
            self.events.append(text)
            event_id = jws.parse(text, "secevent+jwt").claims["jti"]
            index = self._log.take_event(text)
            entry, proof = self._log.receipt(index)
            receipt = peer.LogReceipt(entry=entry, proof=proof.decode())
            response.acks.add(event_id=event_id, log_index=index, receipt=receipt)
        return response


class Gateway:
    """A gateway that takes events alone, at an address that is known before anybody starts."""

    def __init__(self, files: AdapterFiles, address: str) -> None:
        self.log = EventLog(FakeLog(files.network.log))
        directory = files.network.directory
        self._server: Server = build_server(
            [ServiceBinding(peer.DESCRIPTOR.services_by_name["ConsentEventService"], self.log)],
            address=address,
            security=WatchedCertificate(files.ca.issue(directory.gateway.identity, "gateway.tiergate.test")),
            resolve=Callers(lambda: directory, directory.gateway.identity).resolve,
            access={
                "/gateway.api.peer.v1.ConsentEventService/PushConsentEvents": frozenset({"city"}),
                **HEALTH_ACCESS,
            },
            limits=ServerLimits(64, 1000.0, 1000),
            registry=CollectorRegistry(),
        )

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._server.stop(0)


@pytest.fixture
async def adapter(files: AdapterFiles) -> AsyncIterator[Adapter]:
    running = Adapter(files.settings())
    await running.start()
    yield running
    await running.stop()


async def test_a_withdrawal_is_acknowledged_by_the_gateway(tmp_path: Path, unused_port: int) -> None:
    quanzhou.export(PEOPLE, tmp_path / "scores.csv")
    files = AdapterFiles(tmp_path, CSV, gateway=f"127.0.0.1:{unused_port}")
    async with Gateway(files, f"127.0.0.1:{unused_port}") as gateway:
        adapter = Adapter(files.settings(withdrawal_wait_s=2))
        await adapter.start()
        try:
            granted = await _consent(files, adapter)
            await _withdraw(files, adapter, granted.consent_id)
            while not (withdrawn := await _withdraw(files, adapter, granted.consent_id)).acknowledged:
                pass
        finally:
            await adapter.stop()
    assert (withdrawn.log_index, withdrawn.checkpoint_size) == (1, 2)
    assert not withdrawn.HasField("exposed_until")
    (event,) = gateway.log.events
    assert gateway.log.senders == [PeerIdentity(DOMAIN, "city", FUZHOU)]
    found = files.network.trusted().events.verify(event, sender=FUZHOU, now_s=time.time())
    assert found.consent_id == granted.consent_id


@pytest.fixture
def unused_port() -> int:
    reserved = ReservedPort()
    reserved.release()
    return reserved.port


def _drop(name: str) -> Callable[[AdapterFiles], None]:
    return lambda files: (files.folder / name).unlink()


def _swap_keys(files: AdapterFiles) -> None:
    (files.folder / "event.pem").write_bytes((files.folder / "consent.pem").read_bytes())


@pytest.mark.parametrize(
    ("breaks", "reason"),
    [
        (_drop("consent.pem"), Reason.KEY_INVALID),
        (_drop("pairwise.key"), Reason.KEY_INVALID),
        (_drop("root.json"), Reason.CONFIG_INVALID),
        (_drop("bundle.json"), Reason.CONFIG_INVALID),
        (_drop("ca.pem"), Reason.CERTIFICATE_INVALID),
        (_swap_keys, Reason.KEY_INVALID),
    ],
)
async def test_a_start_that_fails_names_the_cause_and_leaves_nothing_open(
    files: AdapterFiles, breaks: Callable[[AdapterFiles], None], reason: Reason
) -> None:
    kept = {path.name: path.read_bytes() for path in files.folder.iterdir() if path.is_file()}
    breaks(files)
    with refuses(reason):
        await Adapter(files.settings()).start()
    for name, content in kept.items():
        path = files.folder / name
        if not path.exists() or path.read_bytes() != content:
            path.touch(mode=0o600)
            path.write_bytes(content)
    mended = Adapter(files.settings())
    await mended.start()  # neither the store nor the port is still held
    await mended.stop()


async def test_a_second_adapter_on_one_store_is_refused(files: AdapterFiles, adapter: Adapter) -> None:
    with refuses(Reason.STORE_BUSY):
        await Adapter(files.settings()).start()


async def test_a_port_in_use_is_refused(files: AdapterFiles, adapter: Adapter) -> None:
    with pytest.raises(ProblemsError, match="cannot be bound"):
        await Adapter(files.settings(data_dir="other", listen=adapter.address)).start()


async def test_a_reload_takes_newer_signed_files(files: AdapterFiles, adapter: Adapter) -> None:
    write_signed_files(files.network, files.folder, bundle_version=2)
    await adapter.reload()
    assert adapter._standing.in_force().bundle.version == 2
    assert adapter._store.seen()["bundle"] == 2
    await _consent(files, adapter)


@pytest.mark.parametrize("fault", ["unsigned", "older", "moved"])
async def test_a_reload_of_bad_files_changes_nothing_and_is_alarmed(
    files: AdapterFiles, adapter: Adapter, fault: str
) -> None:
    network = files.network
    match fault:
        case "unsigned":
            (files.folder / "bundle.json").write_bytes(b"{}")
        case "older":
            network.directory = replace(network.directory, version=2)
            write_signed_files(network, files.folder)
            await adapter.reload()
            network.directory = replace(network.directory, version=1)
            write_signed_files(network, files.folder)
        case _:
            endpoint = replace(network.directory.gateway.endpoint, address="127.0.0.1:2")
            gateway = replace(network.directory.gateway, endpoint=endpoint)
            network.directory = replace(network.directory, gateway=gateway)
            write_signed_files(network, files.folder)
    before = adapter._standing.in_force()
    await adapter.reload()
    assert adapter._standing.in_force() is before
    assert adapter._alarms.raised["reference_refused"] == 1
    await _consent(files, adapter)


async def test_a_refused_export_and_bad_rows_are_in_the_metrics(files: AdapterFiles) -> None:
    registry = CollectorRegistry()

    def counted(kind: str) -> float:
        return registry.get_sample_value("tiergate_adapter_alarms_total", {"kind": kind}) or 0

    running = Adapter(files.settings(), registry=registry)
    await running.start()
    try:
        await running._platform.ping()
        assert counted("export_rows_bad") == 1  # the sandbox has a resident whose row is corrupt
        assert counted("export_refused") == 0
        quanzhou.export([], files.folder / "scores.csv")
        await running._platform.ping()
        assert counted("export_refused") >= 1
        assert await running._platform._source.read(ResidentRef(TOP)) is not None
    finally:
        await running.stop()


async def test_an_older_bundle_is_refused_after_a_restart_too(files: AdapterFiles) -> None:
    write_signed_files(files.network, files.folder, bundle_version=2)
    first = Adapter(files.settings())
    await first.start()
    await first.stop()
    write_signed_files(files.network, files.folder, bundle_version=1)
    with refuses(Reason.BUNDLE_INVALID):
        await Adapter(files.settings()).start()


async def test_metrics_tell_load_and_alarms_and_nobodys_outcome(files: AdapterFiles, adapter: Adapter) -> None:
    await _consent(files, adapter)
    names = {family.name for family in adapter._registry.collect()}
    assert {"tiergate_adapter_attestations", "tiergate_adapter_alarms", "tiergate_rpc_seconds"} <= names
    labels = {
        key
        for family in adapter._registry.collect()
        for sample in family.samples
        for key in sample.labels
        if sample.name.startswith("tiergate_adapter")
    }
    assert labels <= {"kind", "reason", "le"}


async def test_no_fault_ends_the_task_that_looks_after_cases(
    files: AdapterFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = asyncio.Queue[None]()

    async def broken(_desk: ResidentDesk) -> None:
        looked.put_nowait(None)
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(ResidentDesk, "look_after_cases", broken)
    monkeypatch.setattr("adapters.app.TIDY_INTERVAL_S", 0)
    adapter = Adapter(files.settings())
    await adapter.start()
    for _ in range(3):
        await asyncio.wait_for(looked.get(), TIMEOUT_S)
    await adapter.stop()
