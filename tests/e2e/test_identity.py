"""Who may ask what, and who is believed to be whom, decided by certificates between real processes."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import grpc
import grpc.aio
import pytest

from gateway.api.audit.v1 import audit_pb2
from gateway.api.audit.v1.audit_pb2_grpc import AuditServiceStub
from gateway.api.consent.v1 import consent_pb2
from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
from gateway.api.operator.v1 import operator_pb2
from gateway.api.operator.v1.operator_pb2_grpc import EligibilityServiceStub
from gateway.api.peer.v1 import peer_pb2
from gateway.api.peer.v1.peer_pb2_grpc import AttestationServiceStub, ConsentEventServiceStub
from gateway.cli.localnet.clients import typed_errors
from gateway.cli.localnet.plan import TRUST_DOMAIN, Layout
from gateway.crypto.dev_ca import DevCa
from gateway.domain.directory import Endpoint
from gateway.domain.ids import CityId, PeerIdentity
from gateway.errors import Reason, TiergateError
from gateway.transport.channel import open_channel
from gateway.transport.probe import probe_peer
from gateway.transport.tls import CertificateFiles, WatchedCertificate, server_credentials
from tests.e2e.harness import PATIENCE_S, TOP, TestNetwork, library_consent, until, withdraw

Call = Callable[[grpc.aio.Channel], Awaitable[object]]


def files(folder: Path) -> CertificateFiles:
    tls = folder / "tls"
    return CertificateFiles(tls / "cert.pem", tls / "key.pem", tls / "ca.pem")


def check(channel: grpc.aio.Channel) -> Awaitable[object]:
    shown = operator_pb2.TokenPresentation(token="never.looked.at" * 3)
    request = operator_pb2.CheckEligibilityRequest(
        request_id="a" * 16, scenario="xiamen-library", presentation=operator_pb2.Presentation(token=shown)
    )
    return EligibilityServiceStub(channel).CheckEligibility(request, timeout=PATIENCE_S)


def push(channel: grpc.aio.Channel) -> Awaitable[object]:
    request = peer_pb2.PushConsentEventsRequest(events=["never.looked.at" * 3])
    return ConsentEventServiceStub(channel).PushConsentEvents(request, timeout=PATIENCE_S)


def head(channel: grpc.aio.Channel) -> Awaitable[object]:
    return AuditServiceStub(channel).GetCheckpoint(audit_pb2.GetCheckpointRequest(), timeout=PATIENCE_S)


def attest(channel: grpc.aio.Channel) -> Awaitable[object]:
    request = peer_pb2.AttestTierRequest(
        request_id="a" * 16, operator="a", scenario="a", bundle_digest="0" * 64, token="never.looked.at" * 3
    )
    return AttestationServiceStub(channel).AttestTier(request, timeout=PATIENCE_S)


def consents(channel: grpc.aio.Channel) -> Awaitable[object]:
    request = consent_pb2.ListConsentsRequest(resident_ref=TOP)
    return ConsentServiceStub(channel).ListConsents(request, timeout=PATIENCE_S)


async def refused(endpoint: Endpoint, folder: Path, call: Call) -> TiergateError:
    async with open_channel(endpoint, WatchedCertificate(files(folder))) as channel:
        with pytest.raises(TiergateError) as raised, typed_errors():
            await call(channel)
    return raised.value


CALLERS: dict[str, Callable[[Layout], Path]] = {
    "operator": lambda layout: layout.operator("xiamen-library"),
    "auditor": lambda layout: layout.auditor,
    "gateway": lambda layout: layout.gateway,
    "fuzhou": lambda layout: layout.city("fuzhou"),
    "fuzhou's app": lambda layout: layout.app("fuzhou"),
    "xiamen's app": lambda layout: layout.app("xiamen"),
}
KNOWN, UNKNOWN = Reason.CALLER_NOT_PERMITTED, Reason.CALLER_UNKNOWN


@pytest.mark.parametrize(
    ("caller", "call", "reason"),
    [
        ("auditor", check, KNOWN),
        ("fuzhou", check, KNOWN),
        ("gateway", check, KNOWN),
        ("fuzhou's app", check, UNKNOWN),
        ("operator", push, KNOWN),
        ("auditor", push, KNOWN),
        ("operator", head, KNOWN),
        ("fuzhou", head, KNOWN),
    ],
)
async def test_the_gateway_refuses_other_roles(network: TestNetwork, caller: str, call: Call, reason: Reason) -> None:
    endpoint = network.clients.directory.gateway.endpoint
    assert (await refused(endpoint, CALLERS[caller](network.layout), call)).reason is reason


@pytest.mark.parametrize(
    ("caller", "call", "reason"),
    [
        ("operator", attest, KNOWN),
        ("fuzhou", attest, KNOWN),
        ("fuzhou's app", attest, KNOWN),
        ("operator", consents, KNOWN),
        ("gateway", consents, KNOWN),
        ("xiamen's app", consents, UNKNOWN),
    ],
)
async def test_a_city_refuses_other_roles_and_other_cities(
    network: TestNetwork, caller: str, call: Call, reason: Reason
) -> None:
    endpoint = network.clients.directory.cities[CityId("fuzhou")].endpoint
    assert (await refused(endpoint, CALLERS[caller](network.layout), call)).reason is reason


async def test_a_certificate_that_the_directory_does_not_list_is_refused(network: TestNetwork, tmp_path: Path) -> None:
    ca = DevCa.load(network.layout.authority / "ca")
    ca.issue(PeerIdentity(TRUST_DOMAIN, "operator", "stranger"), tmp_path / "tls", now=datetime.now(UTC))
    error = await refused(network.clients.directory.gateway.endpoint, tmp_path, check)
    assert error.reason is Reason.CALLER_UNKNOWN


async def test_a_certificate_of_another_authority_is_refused(network: TestNetwork, tmp_path: Path) -> None:
    ca = DevCa.create(tmp_path / "ca", now=datetime.now(UTC))
    ca.issue(PeerIdentity(TRUST_DOMAIN, "operator", "xiamen-library"), tmp_path / "tls", now=datetime.now(UTC))
    shutil.copy(network.layout.auditor / "tls" / "ca.pem", tmp_path / "tls" / "ca.pem")
    error = await refused(network.clients.directory.gateway.endpoint, tmp_path, check)
    assert error.status == "UNAVAILABLE"


@pytest.mark.parametrize("server", ["gateway", "fuzhou"])
async def test_without_a_certificate_there_is_no_connection(network: TestNetwork, server: str) -> None:
    directory = network.clients.directory
    endpoint = directory.gateway.endpoint if server == "gateway" else directory.cities[CityId(server)].endpoint
    credentials = grpc.ssl_channel_credentials(files(network.layout.auditor).ca.read_bytes())
    options = (("grpc.ssl_target_name_override", endpoint.server_name),)
    async with grpc.aio.secure_channel(endpoint.address, credentials, options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await check(channel)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_xiamens_certificate_at_fuzhous_address_is_refused(network: TestNetwork) -> None:
    consent = await library_consent(network)
    await network.stop_async("fuzhou")
    impostor = grpc.aio.server()
    certificate = WatchedCertificate(files(network.layout.city("xiamen")))
    impostor.add_secure_port(network.network.ports["fuzhou"].address, server_credentials(certificate))
    await impostor.start()
    log = network.layout.log("gateway")

    async def refused_as_wrong() -> bool:
        with pytest.raises(TiergateError) as raised:
            await network.clients.check(consent)
        assert raised.value.reason is Reason.HOME_CITY_UNAVAILABLE
        return "PEER_WRONG" in log.read_text("utf-8")  # before that: nobody at the address, as the channel remembers

    try:
        await until(refused_as_wrong, "the gateway has met the impostor")
        with pytest.raises(TiergateError) as raised:
            await network.clients.consents("fuzhou", TOP)
        assert raised.value.reason is Reason.PEER_WRONG
    finally:
        await impostor.stop(None)
    await network.restart_async("fuzhou")

    async def answered() -> bool:
        try:
            return bool(await network.clients.check(consent))
        except TiergateError as error:
            if error.status != "UNAVAILABLE":
                raise
            return False

    await until(answered, "Fuzhou's own adapter is believed again")


@pytest.mark.parametrize("renewed", ["gateway", "fuzhou"])
async def test_a_renewed_certificate_is_used_without_a_restart(network: TestNetwork, renewed: str) -> None:
    directory, layout = network.clients.directory, network.layout
    peer = directory.gateway if renewed == "gateway" else directory.cities[CityId(renewed)]
    folder = layout.gateway if renewed == "gateway" else layout.city(renewed)
    before = await probe_peer(peer.endpoint, files(layout.auditor), peer.identity)
    ca = DevCa.load(layout.authority / "ca")
    ca.issue(
        peer.identity,
        folder / "tls",
        now=datetime.now(UTC),
        names=[peer.endpoint.server_name],
        ips=["127.0.0.1"],
        days=7,
    )

    async def shown() -> bool:
        facts = await probe_peer(peer.endpoint, files(layout.auditor), peer.identity)
        return facts.not_after < before.not_after

    await until(shown, "the renewed certificate")
    # as a client it shows the renewed one, too: a city answers the gateway, the gateway takes a city's event
    consent = await library_consent(network)
    await network.clients.check(consent)
    await withdraw(network, consent)
