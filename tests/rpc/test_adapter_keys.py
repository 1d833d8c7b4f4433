"""An adapter's signing keys change while it runs: what it signs with, what it refuses, and what it tells its peers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.app import Adapter
from adapters.config import load_settings
from adapters.custody import PURPOSES, CityKeys, SigningKey
from adapters.sandbox import quanzhou
from adapters.sandbox.residents import residents_of
from adapters.store.signing import key_uses, outstanding
from gateway.api.consent.v1 import consent_pb2 as consent
from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.api.peer.v1 import status_pb2
from gateway.api.peer.v1.peer_pb2_grpc import AttestationServiceStub
from gateway.api.peer.v1.status_pb2_grpc import StatusServiceStub
from gateway.cli.localnet.clients import typed_errors
from gateway.crypto.consent import new_id
from gateway.crypto.jws import parse
from gateway.crypto.keys import Algorithm, algorithm_of, generate_signing_key, public_jwk, thumbprint, write_private_key
from gateway.domain.directory import DirectoryKey
from gateway.errors import Reason
from tests.fakes.adapter import CSV, AdapterFiles
from tests.fakes.files import write_signed_files
from tests.fakes.network import FUZHOU, LIBRARY_LOAN, XIAMEN_LIBRARY
from tests.unit.adapters.conftest import refuses

PEOPLE = residents_of("fuzhou")
TIMEOUT_S = 30
COUNTED = consent.ConsentTerms(
    operator=XIAMEN_LIBRARY, scenario=LIBRARY_LOAN, lifetime_s=86_400, uses=3, binding=consent.BINDING_OPERATOR
)
BOUND = consent.ConsentTerms(
    operator=XIAMEN_LIBRARY, scenario=LIBRARY_LOAN, lifetime_s=86_400, binding=consent.BINDING_OPERATOR
)


class City:
    """A running adapter, its files, and the changes that its engineers and its authority make."""

    def __init__(self, folder: Path) -> None:
        quanzhou.export(PEOPLE, folder / "scores.csv")
        self.files = AdapterFiles(folder, CSV)
        settings = self.files.settings()
        self.adapter = Adapter(settings, reread=lambda: load_settings(self.files.file, {}))
        self.first = self.files.network.keys[FUZHOU]

    def make(self, alg: Algorithm = "ES256") -> CityKeys:
        """New keys in files of their own, named in the settings; not yet listed, not yet taken up."""
        made = {purpose: generate_signing_key(alg) for purpose in PURPOSES}
        for purpose, key in made.items():
            file = f"{thumbprint(public_jwk(key))}.pem"
            write_private_key(self.files.folder / file, key)
            self.files.table["keys"][purpose] = {"file": file}
        self.files.settings()
        one, two, three = (SigningKey(thumbprint(public_jwk(key)), key) for key in made.values())
        return CityKeys(one, two, three, self.first.pairwise)

    async def list(self, *keys: CityKeys, taken: bool = True) -> None:
        """A newer directory that lists just these keys of the city."""
        network = self.files.network
        listed = tuple(
            DirectoryKey(key.kid, purpose, algorithm_of(key.key), public_jwk(key.key))
            for held in keys
            for purpose, key in ((purpose, held.of(purpose)) for purpose in PURPOSES)
        )
        cities = {**network.directory.cities, FUZHOU: replace(network.directory.cities[FUZHOU], keys=listed)}
        network.directory = replace(network.directory, version=network.directory.version + 1, cities=cities)
        write_signed_files(network, self.files.folder)
        if taken:
            await self.adapter.reload()

    async def grant(self, terms: consent.ConsentTerms = COUNTED) -> consent.GrantConsentResponse:
        async with self.files.app(self.adapter) as channel:
            app = ConsentServiceStub(channel)
            with typed_errors():
                shown = await app.PreviewConsent(consent.PreviewConsentRequest(terms=terms), timeout=TIMEOUT_S)
                request = consent.GrantConsentRequest(
                    resident_ref=PEOPLE[0].ref, terms=terms, notice_digest=shown.notice_digest
                )
                granted: consent.GrantConsentResponse = await app.GrantConsent(request, timeout=TIMEOUT_S)
        return granted

    async def withdraw(self, consent_id: str) -> consent.WithdrawConsentResponse:
        async with self.files.app(self.adapter) as channel:
            request = consent.WithdrawConsentRequest(resident_ref=PEOPLE[0].ref, consent_id=consent_id)
            withdrawn: consent.WithdrawConsentResponse = await ConsentServiceStub(channel).WithdrawConsent(
                request, timeout=TIMEOUT_S
            )
        return withdrawn

    async def attest(self, token: str, request_id: str = "", proof: str | None = None) -> str:
        if proof is None:
            proof = self.files.network.proof_if_bound(token, now_s=int(time.time()))
        async with self.files.gateway(self.adapter) as channel:
            request = peer.AttestTierRequest(
                request_id=request_id or new_id(),
                operator=XIAMEN_LIBRARY,
                scenario=LIBRARY_LOAN,
                bundle_digest=self.files.network.bundle.digest,
                token=token,
                proof=proof,
            )
            with typed_errors():
                answer = await AttestationServiceStub(channel).AttestTier(request, timeout=TIMEOUT_S)
        return answer.attestation

    async def status(self) -> status_pb2.GetInForceResponse:
        async with self.files.gateway(self.adapter) as channel:
            request = status_pb2.GetInForceRequest()
            answer: status_pb2.GetInForceResponse = await StatusServiceStub(channel).GetInForce(
                request, timeout=TIMEOUT_S
            )
        return answer

    async def signing(self) -> dict[str, str]:
        return {item.purpose: item.kid for item in (await self.status()).signing}


def kids(keys: CityKeys) -> dict[str, str]:
    return {purpose: keys.of(purpose).kid for purpose in PURPOSES}


def kid_of(token: str, typ: str) -> str:
    return parse(token, typ).kid


@pytest.fixture
async def city(tmp_path: Path) -> AsyncIterator[City]:
    city = City(tmp_path)
    await city.adapter.start()
    yield city
    await city.adapter.stop()


@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
async def test_keys_are_replaced_with_overlap(city: City, alg: Algorithm) -> None:
    before = await city.grant()
    assert await city.signing() == kids(city.first)
    new = city.make(alg)
    await city.list(city.first, new)
    assert (await city.status()).directory_version == 2
    assert await city.signing() == kids(new)
    after = await city.grant()
    assert kid_of(after.token, "consent+jwt") == new.consent.kid
    for token in (before.token, after.token):
        assert kid_of(await city.attest(token), "tier-attestation+jwt") == new.attestation.kid
    await city.list(new)
    await city.attest(after.token)
    with refuses(Reason.TOKEN_KEY_UNKNOWN):
        await city.attest(before.token)
    assert city.adapter._alarms.raised["signing_key_unlisted"] == 0


async def test_a_key_is_not_signed_with_before_the_directory_lists_it(city: City) -> None:
    new = city.make()
    await city.adapter.reload()
    assert await city.signing() == kids(city.first)
    assert city.adapter._alarms.raised["signing_key_unlisted"] == 3
    granted = await city.grant()
    assert kid_of(granted.token, "consent+jwt") == city.first.consent.kid
    await city.list(city.first, new)
    assert await city.signing() == kids(new)


async def test_a_key_is_not_signed_with_after_the_directory_has_dropped_it(city: City) -> None:
    granted = await city.grant()
    other = city.make()
    for purpose in PURPOSES:
        city.files.table["keys"][purpose] = {"kid": f"fuzhou-{purpose}-1", "file": f"{purpose}.pem"}
    city.files.settings()
    await city.list(other)
    assert await city.signing() == {}
    assert city.adapter._alarms.raised["signing_key_unlisted"] == 3
    with refuses(Reason.SIGNING_KEY_UNLISTED):
        await city.grant()
    with refuses(Reason.TOKEN_KEY_UNKNOWN):
        await city.attest(granted.token)
    # a withdrawal is in force all the same, and its event waits for a key that somebody can verify
    assert (await city.withdraw(granted.consent_id)).effective_at.seconds
    (waiting,) = city.adapter._store.pending_events(2)
    with refuses(Reason.EVENT_INVALID):
        city.files.network.trusted().events.verify(waiting.event, sender=FUZHOU, now_s=time.time())
    await city.list(city.first, other)
    sent = city.adapter._keys.current_event(waiting.event)
    found = city.files.network.trusted().events.verify(sent, sender=FUZHOU, now_s=time.time())
    assert found.consent_id == granted.consent_id


async def test_an_attestation_key_that_is_dropped_stops_the_answers_alone(city: City) -> None:
    granted = await city.grant()
    other = replace(city.make(), consent=city.first.consent, event=city.first.event)
    for purpose in PURPOSES:
        city.files.table["keys"][purpose] = {"kid": f"fuzhou-{purpose}-1", "file": f"{purpose}.pem"}
    city.files.settings()
    await city.list(other)
    assert sorted(await city.signing()) == ["consent", "event"]
    with refuses(Reason.SIGNING_KEY_UNLISTED):
        await city.attest(granted.token)
    assert (await city.grant()).token


async def test_a_stored_attestation_does_not_outlive_its_key_and_costs_no_second_use(city: City) -> None:
    granted, request_id = await city.grant(), new_id()
    first = await city.attest(granted.token, request_id)
    assert await city.attest(granted.token, request_id) == first
    new = replace(city.make(), consent=city.first.consent)
    city.files.table["keys"]["consent"] = {"kid": "fuzhou-consent-1", "file": "consent.pem"}
    city.files.settings()
    await city.list(new)
    again = await city.attest(granted.token, request_id)
    assert kid_of(again, "tier-attestation+jwt") == new.attestation.kid
    await city.attest(granted.token)
    await city.attest(granted.token)
    with refuses(Reason.USES_EXHAUSTED):
        await city.attest(granted.token)


async def test_a_remembered_proof_does_not_outlive_the_operators_key(city: City) -> None:
    granted = await city.grant(BOUND)
    network = city.files.network
    proof = network.proof(granted.token, now_s=int(time.time()))
    await city.attest(granted.token, proof=proof)
    operator = network.directory.operators[XIAMEN_LIBRARY]
    key = generate_signing_key("EdDSA")
    other = DirectoryKey(thumbprint(public_jwk(key)), "proof", "EdDSA", public_jwk(key))
    peers = {**network.directory.operators, XIAMEN_LIBRARY: replace(operator, keys=(other,))}
    network.directory = replace(network.directory, operators=peers)
    await city.list(city.first)
    with refuses(Reason.PROOF_INVALID):
        await city.attest(granted.token, proof=proof)
    bound = await city.grant(BOUND)
    made = network.proof(bound.token, now_s=int(time.time()), key=SigningKey(other.kid, key))
    await city.attest(bound.token, proof=made)


async def test_key_files_that_are_spoilt_do_not_keep_a_directory_out(city: City) -> None:
    granted = await city.grant()
    (city.files.folder / "consent.pem").write_text("spoilt", "utf-8")
    await city.adapter.reload()
    assert await city.signing() == kids(city.first)
    assert city.adapter._alarms.raised["signing_key_unlisted"] == 1
    await city.list(city.make())
    with refuses(Reason.TOKEN_KEY_UNKNOWN):
        await city.attest(granted.token)


async def test_the_city_knows_what_a_key_has_signed_that_still_holds(city: City) -> None:
    first = [await city.grant(), await city.grant()]
    await city.withdraw(first[0].consent_id)
    new = city.make()
    await city.list(city.first, new)
    store, now_s = city.adapter._store, int(time.time())
    assert [use.kid for use in key_uses(store._reader) if use.purpose == "consent"] == [
        city.first.consent.kid,
        new.consent.kid,
    ]
    left = outstanding(store._reader, city.first.consent.kid, now_s)
    assert (left.consents, left.until_s) == (1, first[1].expires_at.seconds)
    assert outstanding(store._reader, "another", now_s).consents == 0
    assert outstanding(store._reader, city.first.consent.kid, now_s + 10**6).until_s is None
