"""Every kind of key changes while checks go on: none fails; and what a removed key signs is refused from then on."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.api.operator.v1 import operator_pb2 as pb
from gateway.api.peer.v1 import peer_pb2
from gateway.api.peer.v1.peer_pb2_grpc import AttestationServiceStub, ConsentEventServiceStub
from gateway.cli.localnet.clients import Consent, typed_errors
from gateway.cli.localnet.plan import DEPLOYMENT, TRUST_DOMAIN, Options
from gateway.consentlog.note import SignerKey
from gateway.consentlog.proof import LogProof
from gateway.consentlog.trust import TrustPolicy
from gateway.crypto import jws
from gateway.crypto.consent import TYP, ConsentToken, issue_consent, new_id, token_hash
from gateway.crypto.dev_ca import DevCa
from gateway.crypto.envelope import DIRECTORY_TYPE, sign, verify
from gateway.crypto.event import SecurityEvent, issue_event
from gateway.crypto.keys import Algorithm, PrivateKey, load_private_key
from gateway.crypto.proof import issue_proof
from gateway.crypto.root_files import read_root
from gateway.domain.directory import CityPeer, GatewayPeer, KeyPurpose
from gateway.domain.ids import CityId, OperatorId, PeerIdentity, ScenarioId
from gateway.errors import Reason, TiergateError
from gateway.files import write_whole
from gateway.policy.directory import build_directory, read_directory
from gateway.transport.channel import PeerChannel, open_channel
from gateway.transport.probe import probe_peer
from gateway.transport.tls import CertificateFiles, Pem, WatchedCertificate
from tests.e2e.harness import LIBRARY, PATIENCE_S, TOP, UNHURRIED, TestNetwork, running, until, withdraw
from tests.e2e.rotation import CITY, Load, held_key, keys, reload, under_load

CALLERS = 6


@pytest.fixture(scope="module")
async def changing(tmp_path_factory: pytest.TempPathFactory, in_checkout: Path) -> AsyncIterator[TestNetwork]:
    """A network of its own: its keys are not those that it began with."""
    options = Options(gateway_limits=dict(UNHURRIED))
    async with running(tmp_path_factory.mktemp("rotation") / "network", options) as network:
        yield network


@dataclass
class Stolen:
    """What a thief of the key that was in use before has: the key, and tokens and events that it signed."""

    kid: str
    key: PrivateKey
    consent: Consent


async def rotated(network: TestNetwork, load: Load, purpose: KeyPurpose, alg: Algorithm) -> Stolen:
    """One whole rotation under load; what could have been stolen before it."""
    consent = await network.clients.grant(CITY, TOP, LIBRARY, LIBRARY)
    await network.clients.check(consent)
    kid, key = held_key(network, purpose)
    done = await keys(network, "rotate", purpose, "--alg", alg)
    assert (done["done"], done["to_retire"], done["alg"]) == (True, [kid], alg)
    assert held_key(network, purpose)[0] == done["kid"] != kid
    await load.goes_on()
    # both are good for as long as both are listed
    assert (await network.clients.check(consent)).outcome == pb.OUTCOME_ENTITLED
    await load.renew()
    retired = await keys(network, "retire", purpose, "--now")
    assert retired["kid"] == kid
    await load.goes_on()
    return Stolen(kid, key, consent)


async def test_no_check_fails_while_every_certificate_changes(changing: TestNetwork) -> None:
    network, layout = changing, changing.layout
    directory = network.clients.directory
    serving: list[tuple[Path, GatewayPeer | CityPeer]] = [
        (layout.gateway, directory.gateway),
        (layout.city(CITY), directory.cities[CityId(CITY)]),
    ]
    auditor = CertificateFiles(*(layout.auditor / "tls" / name for name in ("cert.pem", "key.pem", "ca.pem")))
    calling = [
        (PeerIdentity(TRUST_DOMAIN, "operator", LIBRARY), layout.operator(LIBRARY)),
        (PeerIdentity(TRUST_DOMAIN, "city-app", CITY), layout.app(CITY)),
    ]
    ca, now = DevCa.load(layout.authority / "ca"), datetime.now(UTC)
    async with under_load(network, CALLERS) as load:
        for folder, peer in serving:
            ca.issue(
                peer.identity, folder / "tls", now=now, names=[peer.endpoint.server_name], ips=["127.0.0.1"], days=7
            )

            async def shown(peer: GatewayPeer | CityPeer = peer) -> bool:
                facts = await probe_peer(peer.endpoint, auditor, peer.identity)
                return facts.not_after < now + timedelta(days=8)

            # what a process shows to those who call it is also what it calls others with, from its next call on
            await until(shown, "the renewed certificate")
            await load.goes_on()
        for identity, folder in calling:
            channel = network.clients._channels[folder]
            assert isinstance(channel, PeerChannel)
            before = channel._pem
            ca.issue(identity, folder / "tls", now=now, days=7)
            await load.renew()

            async def replaced(channel: PeerChannel = channel, before: Pem = before) -> bool:
                return channel._pem is not before

            await until(replaced, "calls go over a connection with the new certificate")
            await load.renew()
    network.check()


async def refused_by_the_gateway(network: TestNetwork, consent: Consent, proof: str) -> Reason:
    request = network.clients.request(consent)
    request.presentation.token.proof = proof
    with pytest.raises(TiergateError) as caught, typed_errors():
        await network.clients.eligibility(LIBRARY).CheckEligibility(request, timeout=PATIENCE_S)
    return caught.value.reason


async def refused_by_the_city(network: TestNetwork, consent: Consent, proof: str) -> Reason:
    """Asked as a malicious gateway asks."""
    tls = network.layout.gateway / "tls"
    files = CertificateFiles(tls / "cert.pem", tls / "key.pem", tls / "ca.pem")
    endpoint = network.clients.directory.cities[CityId(CITY)].endpoint
    bundle = (await network.clients.eligibility(LIBRARY).ListScenarios(pb.ListScenariosRequest())).bundle_digest
    request = peer_pb2.AttestTierRequest(
        request_id=new_id(), operator=LIBRARY, scenario=LIBRARY, bundle_digest=bundle, token=consent.token, proof=proof
    )
    async with open_channel(endpoint, WatchedCertificate(files)) as channel:
        with pytest.raises(TiergateError) as caught, typed_errors():
            await AttestationServiceStub(channel).AttestTier(request, timeout=PATIENCE_S)
    return caught.value.reason


def proof_of(consent: Consent, kid: str, key: PrivateKey) -> str:
    return issue_proof(
        key, kid, token_hash=token_hash(consent.token), operator=LIBRARY, scenario=LIBRARY, issued_at=int(time.time()),
        proof_id=new_id(),
    )  # fmt: skip


def forged(consent: Consent, kid: str, key: PrivateKey) -> Consent:
    """A consent that nobody gave, signed with a stolen key of the city, for one use."""
    claims = jws.parse(consent.token, TYP).claims
    text, _ = issue_consent(
        key,
        kid,
        ConsentToken(
            hash=b"",
            issuer=CityId(CITY),
            audience=DEPLOYMENT,
            subject=claims["sub"],
            operator=OperatorId(LIBRARY),
            scenarios={ScenarioId(LIBRARY): claims["authorization_details"][0]["purpose"]},
            issued_at=claims["iat"],
            not_before=claims["nbf"],
            expires_at=claims["exp"],
            id=new_id(),
            uses=1,
            notice=claims["notice"],
            key_thumbprint=None,
        ),
    )
    return Consent(CITY, TOP, LIBRARY, LIBRARY, new_id(), text, bound=False)


async def consent_key_is_worthless(network: TestNetwork, stolen: Stolen) -> None:
    made = forged(stolen.consent, stolen.kid, stolen.key)
    proof = network.clients.request(stolen.consent).presentation.token.proof
    for consent, shown in ((made, ""), (stolen.consent, proof)):
        assert await refused_by_the_gateway(network, consent, shown) is Reason.TOKEN_KEY_UNKNOWN
        assert await refused_by_the_city(network, consent, shown) is Reason.TOKEN_KEY_UNKNOWN


async def proof_key_is_worthless(network: TestNetwork, stolen: Stolen) -> None:
    proof = proof_of(stolen.consent, stolen.kid, stolen.key)
    assert await refused_by_the_gateway(network, stolen.consent, proof) is Reason.PROOF_INVALID
    assert await refused_by_the_city(network, stolen.consent, proof) is Reason.PROOF_INVALID


async def event_key_is_worthless(network: TestNetwork, stolen: Stolen) -> None:
    event = SecurityEvent(new_id(), CityId(CITY), DEPLOYMENT, "withdrawal", stolen.consent.id, int(time.time()))
    tls = network.layout.city(CITY) / "tls"
    files = CertificateFiles(tls / "cert.pem", tls / "key.pem", tls / "ca.pem")
    request = peer_pb2.PushConsentEventsRequest(events=[issue_event(stolen.key, stolen.kid, event)])
    async with open_channel(network.clients.directory.gateway.endpoint, WatchedCertificate(files)) as channel:
        answer = await ConsentEventServiceStub(channel).PushConsentEvents(request, timeout=PATIENCE_S)
    assert [ack.refused for ack in answer.acks] == [Reason.EVENT_DEFERRED.value]
    assert (await network.clients.check(stolen.consent)).outcome == pb.OUTCOME_ENTITLED
    # with the key of today she can still withdraw
    await withdraw(network, stolen.consent)
    assert (await network.clients.check(stolen.consent)).outcome == pb.OUTCOME_ORDINARY


async def attestation_key_is_worthless(network: TestNetwork, stolen: Stolen) -> None:
    """What it would sign cannot be brought in here, as the city answers itself; what it has vouched for goes on."""
    assert (await network.clients.check(stolen.consent)).outcome == pb.OUTCOME_ENTITLED


WORTHLESS: dict[KeyPurpose, Callable[[TestNetwork, Stolen], Awaitable[None]]] = {
    "consent": consent_key_is_worthless,
    "attestation": attestation_key_is_worthless,
    "event": event_key_is_worthless,
    "proof": proof_key_is_worthless,
}


@pytest.mark.parametrize("alg", ["EdDSA", "ES256"])
@pytest.mark.parametrize("purpose", WORTHLESS)
async def test_no_check_fails_while_a_key_changes_and_its_thief_has_nothing(
    changing: TestNetwork, purpose: KeyPurpose, alg: Algorithm
) -> None:
    async with under_load(changing, CALLERS) as load:
        stolen = await rotated(changing, load, purpose, alg)
        await WORTHLESS[purpose](changing, stolen)
        await load.goes_on()
    changing.check()


async def test_a_log_key_that_the_directory_does_not_name_signs_nothing(changing: TestNetwork) -> None:
    network, layout = changing, changing.layout
    consent = await network.clients.grant(CITY, TOP, LIBRARY, LIBRARY)
    old = await network.clients.check(consent, receipt=True)
    trust = (layout.shared / "trust").read_text("utf-8")
    shared = layout.shared / "directory.json"
    directory = read_directory(verify(read_root(layout.shared / "root.json"), DIRECTORY_TYPE, shared.read_bytes()))
    signer = SignerKey.generate(directory.gateway.log_origin)
    changed = replace(
        directory,
        version=directory.version + 1,
        gateway=replace(directory.gateway, log_vkey=str(signer.verifier)),
    )
    authorities = [load_private_key(key) for key in layout.signing_keys]
    write_whole(shared, sign(DIRECTORY_TYPE, build_directory(changed), authorities))
    reload(network, ["gateway", CITY, "xiamen"])

    async def silent() -> bool:
        try:
            await network.clients.check(consent)
        except TiergateError as error:
            return error.reason is Reason.LOG_UNAVAILABLE
        return False

    await until(silent, "a gateway that does not sign with a key that the directory does not name")

    # what can be done today: a new key for the same log, taken up by a restart; auditors keep the key before, too
    await network.stop_async("gateway")
    (layout.gateway / "log.key").write_text(signer.to_secret_text() + "\n", "ascii")
    await network.restart_async("gateway")
    new = await network.clients.check(consent, receipt=True)
    both = trust.replace("log ", f"log {signer.verifier}\nlog ", 1).encode()
    for decision in (old, new):
        LogProof.parse(decision.receipt.proof.encode()).verify(decision.receipt.entry, TrustPolicy.parse(both))
    with pytest.raises(TiergateError):
        LogProof.parse(new.receipt.proof.encode()).verify(new.receipt.entry, TrustPolicy.parse(trust.encode()))
