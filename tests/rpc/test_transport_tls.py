"""Real channels: the peer that is meant is the peer that is reached, and certificates are renewed while running."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.domain.directory import Endpoint
from gateway.errors import Reason, TiergateError
from gateway.transport.channel import PeerChannel
from gateway.transport.probe import probe_peer
from gateway.transport.tls import CertificateFiles
from gateway.transport.unsafe_plaintext import IDENTITY_KEY, UnsafePlaintext
from tests.fakes.ca import LOOPBACK, FakeCa, files_of, identity, server_name
from tests.rpc.harness import CHECK, DEADLINE_S, GATEWAY, OPERATOR, Network, Obedient, built, check, question, watched

NAME = server_name(GATEWAY)


async def refused(channel: PeerChannel) -> Reason:
    with pytest.raises(TiergateError) as caught:
        await check(channel)
    return caught.value.reason


async def probed(network: Network, files: CertificateFiles, name: str = NAME, peer: str = "gateway") -> Reason:
    meant = GATEWAY if peer == "gateway" else identity("city", peer)
    with pytest.raises(TiergateError) as caught:
        await probe_peer(Endpoint(network.address, name), files, meant)
    return caught.value.reason


async def test_another_peer_s_certificate_at_the_address_is_refused(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        fuzhou = server_name(identity("city", "fuzhou"))
        assert await refused(network.channel(name=fuzhou)) is Reason.PEER_WRONG
        assert await probed(network, network.ca.sound(OPERATOR), fuzhou) is Reason.PEER_WRONG
        assert await probed(network, network.ca.sound(OPERATOR), NAME, "fuzhou") is Reason.PEER_WRONG


async def test_the_dialled_address_alone_is_not_enough(tmp_path: Path) -> None:
    """The certificate holds 127.0.0.1 too; what counts is the directory's name."""
    async with Network(tmp_path) as network:
        assert await check(network.channel(name=NAME)) == "operator/library"
        assert await refused(network.channel(name="localhost")) is Reason.PEER_WRONG


async def test_a_server_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    async with Network(tmp_path / "a") as network:
        stranger = FakeCa(tmp_path / "b").sound(OPERATOR)
        assert await refused(network.channel(stranger)) is Reason.PEER_WRONG
        assert await probed(network, stranger) is Reason.PEER_WRONG


async def test_nobody_at_the_address_is_unreachable(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        channel, files = network.channel(), network.ca.sound(OPERATOR)
        await network.server.stop(0.0)
        assert await refused(channel) is Reason.PEER_UNREACHABLE
        assert await probed(network, files) is Reason.PEER_UNREACHABLE


async def test_a_sound_peer_passes_the_probe(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        facts = await probe_peer(Endpoint(network.address, NAME), network.ca.sound(OPERATOR), GATEWAY)
        assert (facts.uris, facts.names) == ((GATEWAY.uri,), (NAME,))
        assert facts.not_before < network.ca.now < facts.not_after


async def test_the_probe_says_that_the_peer_refuses_our_certificate(tmp_path: Path) -> None:
    async with Network(tmp_path / "a") as network:
        files = FakeCa(tmp_path / "b").sound(OPERATOR)
        files.ca.write_bytes(network.files.ca.read_bytes())
        assert await probed(network, files) is Reason.CERTIFICATE_INVALID


@pytest.mark.parametrize(
    ("begins", "ends"),
    [(-timedelta(days=2), -timedelta(hours=1)), (timedelta(hours=1), timedelta(days=1))],
    ids=["expired", "not yet valid"],
)
async def test_a_server_outside_its_certificate_s_time_is_refused(
    tmp_path: Path, begins: timedelta, ends: timedelta
) -> None:
    async with Network(tmp_path) as network:
        await serve_with(network, network.ca.unsound(uris=[GATEWAY.uri], names=[NAME], begins=begins, ends=ends))
        assert await refused(network.channel()) is Reason.PEER_WRONG
        assert await probed(network, network.ca.sound(OPERATOR)) is Reason.CERTIFICATE_INVALID


@pytest.mark.parametrize(
    "contents",
    [
        {"uris": [GATEWAY.uri], "names": [NAME], "usages": [ExtendedKeyUsageOID.CLIENT_AUTH]},
        {"uris": [GATEWAY.uri], "names": []},
        {"uris": [GATEWAY.uri], "names": ["other.test.internal"], "common_name": NAME},
    ],
    ids=["for clients alone", "without a DNS name", "with the name as common name"],
)
async def test_a_certificate_that_is_no_server_s_is_refused(tmp_path: Path, contents: dict[str, list[str]]) -> None:
    async with Network(tmp_path) as network:
        await serve_with(network, network.ca.unsound(**contents))  # type: ignore[arg-type]  # one kind of case each
        assert await refused(network.channel()) is Reason.PEER_WRONG


async def serve_with(network: Network, files: CertificateFiles) -> None:
    """Put the files in the place of the server's own."""
    for new, old in ((files.key, network.files.key), (files.cert, network.files.cert)):
        new.replace(old)


async def test_a_renewed_server_certificate_is_shown_to_the_next_connection(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        endpoint, files = Endpoint(network.address, NAME), network.ca.sound(OPERATOR)
        before = await probe_peer(endpoint, files, GATEWAY)
        open_one = network.channel(files)
        assert await check(open_one) == "operator/library"
        network.ca.sound(GATEWAY, folder=network.files.cert.parent, days=60)
        after = await probe_peer(endpoint, files, GATEWAY)
        assert after.not_after - before.not_after == timedelta(days=30)
        assert await check(open_one) == "operator/library"


async def test_a_renewal_that_does_not_fit_together_leaves_the_old_certificate_in_use(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        endpoint, files = Endpoint(network.address, NAME), network.ca.sound(OPERATOR)
        before = await probe_peer(endpoint, files, GATEWAY)
        network.ca.sound(GATEWAY).cert.replace(network.files.cert)  # its key is still to come
        assert await probe_peer(endpoint, files, GATEWAY) == before


async def test_a_renewed_client_certificate_is_used_by_the_stubs_at_hand(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        files = network.ca.sound(OPERATOR)
        channel = network.channel(files)
        call = channel.unary_unary
        assert await check(channel) == "operator/library"
        network.ca.sound(identity("operator", "metro"), folder=files.cert.parent)
        assert await check(channel) == "operator/metro"
        assert call == channel.unary_unary
        await channel.channel_ready()
        assert channel.get_state() is grpc.ChannelConnectivity.READY


async def test_a_caller_of_the_new_authority_is_admitted_after_the_authorities_were_renewed(tmp_path: Path) -> None:
    async with Network(tmp_path / "a") as network:
        other = FakeCa(tmp_path / "b")
        files = other.sound(OPERATOR)
        both = network.files.ca.read_bytes() + files.ca.read_bytes()
        files.ca.write_bytes(both)
        assert await refused(network.channel(files)) is Reason.PEER_UNREACHABLE
        network.files.ca.write_bytes(both)
        assert await check(network.channel(files)) == "operator/library"


async def test_a_server_takes_nobody_s_port_from_it(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        with pytest.raises(TiergateError) as caught:
            built(network.servicer, watched(network.files), address=network.address)
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert network.address in caught.value.detail


async def test_the_benchmark_s_plaintext_server_takes_the_claimed_identity() -> None:
    address = f"{LOOPBACK}:0"
    server = built(Obedient(), UnsafePlaintext(address, allow=True), address=address)
    await server.start()
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{server.port}") as channel:
        call: Any = channel.unary_unary(CHECK)
        data = question().SerializeToString()
        assert OPERATOR.name.encode() in await call(data, timeout=DEADLINE_S, metadata=((IDENTITY_KEY, OPERATOR.uri),))
        with pytest.raises(TiergateError) as caught:
            await check(channel)
    await server.stop(0.0)
    assert caught.value.reason is Reason.CALLER_UNKNOWN


async def test_plaintext_that_was_granted_for_another_address_is_refused() -> None:
    with pytest.raises(TiergateError) as caught:
        built(Obedient(), UnsafePlaintext(f"{LOOPBACK}:0", allow=True), address="0.0.0.0:0")
    assert caught.value.reason is Reason.CONFIG_INVALID


async def test_the_probe_tells_what_speaks_no_tls(tmp_path: Path) -> None:
    ca = FakeCa(tmp_path)
    server = grpc.aio.server()
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    with pytest.raises(TiergateError) as caught:
        await probe_peer(Endpoint(f"{LOOPBACK}:{port}", NAME), ca.sound(OPERATOR), GATEWAY)
    await server.stop(None)
    assert caught.value.reason is Reason.PEER_UNREACHABLE


async def test_files_of_an_issued_certificate_are_its_own(tmp_path: Path) -> None:
    ca = FakeCa(tmp_path)
    issued = ca.ca.issue(OPERATOR, tmp_path / "holder", now=ca.now)
    assert files_of(issued).facts().uris == (OPERATOR.uri,)
