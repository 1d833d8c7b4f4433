"""The city's keys must be those that the directory lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapters.custody import PURPOSES, CityKeys, Custody, SigningKey
from gateway.crypto.attestation import Attestation
from gateway.crypto.consent import new_id
from gateway.crypto.event import EventVerifier, SecurityEvent
from gateway.crypto.keys import (
    Algorithm,
    KeyRing,
    algorithm_of,
    generate_signing_key,
    public_jwk,
    thumbprint,
    write_private_key,
)
from gateway.domain.directory import CityPeer, DirectoryKey
from gateway.domain.ids import BundleDigest
from gateway.errors import ProblemsError, Reason, TiergateError
from tests.fakes.network import DEPLOYMENT, FUZHOU, LIBRARY_LOAN, XIAMEN, XIAMEN_LIBRARY, Network


def test_the_directorys_keys_are_accepted(network: Network) -> None:
    network.keys[FUZHOU].check_against(network.directory.cities[FUZHOU], "directory.json")


def test_every_key_that_the_directory_does_not_list_is_named(network: Network) -> None:
    with pytest.raises(ProblemsError) as caught:
        network.keys[XIAMEN].check_against(network.directory.cities[FUZHOU], "directory.json")
    assert caught.value.reason is Reason.KEY_INVALID
    assert len(caught.value.problems) == 3


def test_a_key_listed_for_another_purpose_is_not_listed(network: Network) -> None:
    keys = network.keys[FUZHOU]
    swapped = CityKeys(keys.consent, keys.event, keys.event, keys.pairwise)
    with pytest.raises(ProblemsError, match="attestation key"):
        swapped.check_against(network.directory.cities[FUZHOU], "directory.json")


def test_a_listed_name_with_another_key_is_not_listed(network: Network) -> None:
    keys = network.keys[FUZHOU]
    forged = replace(keys, event=SigningKey(keys.event.kid, generate_signing_key("ES256")))
    with pytest.raises(ProblemsError, match="event key"):
        forged.check_against(network.directory.cities[FUZHOU], "directory.json")


def test_a_key_is_read_from_its_file_alone_readable_by_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "consent.pem"
    write_private_key(file, generate_signing_key("EdDSA"))
    assert SigningKey.load("k1", file).kid == "k1"
    file.chmod(0o644)
    with pytest.raises(TiergateError) as caught:
        SigningKey.load("k1", file)
    assert caught.value.reason is Reason.KEY_INVALID


def test_keys_show_nothing(network: Network) -> None:
    keys = network.keys[FUZHOU]
    assert "PrivateKey" not in repr(keys) + repr(keys.consent)


@pytest.fixture
def peer(network: Network) -> CityPeer:
    return network.directory.cities[FUZHOU]


def fresh(keys: CityKeys, alg: Algorithm = "EdDSA") -> CityKeys:
    """Three new keys, under their thumbprints, and the same secret."""
    made = [generate_signing_key(alg) for _ in PURPOSES]
    one, two, three = (SigningKey(thumbprint(public_jwk(key)), key) for key in made)
    return CityKeys(one, two, three, keys.pairwise)


def listing(peer: CityPeer, *keys: CityKeys) -> CityPeer:
    """The city as a directory that lists these keys, and no others."""
    return replace(
        peer,
        keys=tuple(
            DirectoryKey(
                held.of(purpose).kid, purpose, algorithm_of(held.of(purpose).key), public_jwk(held.of(purpose).key)
            )
            for held in keys
            for purpose in PURPOSES
        ),
    )


def kids(keys: CityKeys) -> dict[str, str]:
    return {purpose: keys.of(purpose).kid for purpose in PURPOSES}


def test_a_new_key_is_taken_up_when_the_directory_lists_it(network: Network, peer: CityPeer) -> None:
    old = network.keys[FUZHOU]
    new = fresh(old)
    custody = Custody(old, peer, "directory.json")
    assert len(custody.take(new, peer, "directory.json")) == 3, "not yet: alarms, and the old keys go on"
    assert custody.signing() == kids(old)
    assert custody.take(new, listing(peer, old, new), "directory.json") == []
    assert custody.signing() == kids(new)
    assert custody.take(new, listing(peer, new), "directory.json") == []
    assert custody.signing() == kids(new)


def test_a_key_that_is_not_listed_any_more_signs_nothing(network: Network, peer: CityPeer) -> None:
    old = network.keys[FUZHOU]
    custody = Custody(old, peer, "directory.json")
    problems = custody.take(old, listing(peer, fresh(old)), "directory.json")
    assert [str(problem).partition("adapter's ")[2].split()[0] for problem in problems] == [*PURPOSES]
    assert custody.signing() == {}
    event = SecurityEvent(new_id(), FUZHOU, DEPLOYMENT, "correction", None, 1)
    for sign in (
        lambda: custody.sign_consent(network.claims(now_s=1_793_491_200)),
        lambda: custody.current_event(network.keys[FUZHOU].sign_event(event)),
        lambda: custody.sign_attestation(attestation()),
    ):
        with pytest.raises(TiergateError) as caught:
            sign()
        assert caught.value.reason is Reason.SIGNING_KEY_UNLISTED
        assert caught.value.retry_after_s
    assert custody.take(old, peer, "directory.json") == []
    assert custody.signing() == kids(old)


def attestation() -> Attestation:
    return Attestation(
        "a" * 22,
        FUZHOU,
        DEPLOYMENT,
        "s" * 43,
        XIAMEN_LIBRARY,
        bytes(32),
        LIBRARY_LOAN,
        BundleDigest("0" * 64),
        0,
        1,
        2,
        None,
    )


def test_key_files_that_cannot_be_read_leave_the_keys_in_use(network: Network, peer: CityPeer) -> None:
    old = network.keys[FUZHOU]
    custody = Custody(old, peer, "directory.json")
    assert custody.take(None, peer, "directory.json") == []
    assert custody.signing() == kids(old)
    custody.take(None, listing(peer, fresh(old)), "directory.json")
    assert custody.signing() == {}


def test_an_event_is_signed_anew_by_the_key_of_today_and_stays_the_same_event(network: Network, peer: CityPeer) -> None:
    old = network.keys[FUZHOU]
    new = fresh(old)
    both = listing(peer, old, new)
    custody = Custody(old, peer, "directory.json")
    event = SecurityEvent(new_id(), FUZHOU, DEPLOYMENT, "correction", None, 1)
    text = custody.sign_event(event)
    assert custody.current_event(text) == text
    custody.take(new, both, "directory.json")
    verifier = EventVerifier({FUZHOU: KeyRing("event", listing(peer, new).keys)}, DEPLOYMENT)
    assert verifier.verify(custody.current_event(text), sender=FUZHOU, now_s=2) == event
    with pytest.raises(TiergateError):
        verifier.verify(text, sender=FUZHOU, now_s=2)


def test_an_event_without_a_listed_key_waits_unsigned(network: Network, peer: CityPeer) -> None:
    old = network.keys[FUZHOU]
    custody = Custody(old, peer, "directory.json")
    custody.take(old, listing(peer, fresh(old)), "directory.json")
    event = SecurityEvent(new_id(), FUZHOU, DEPLOYMENT, "correction", None, 1)
    text = custody.sign_event(event)
    verifier = EventVerifier({FUZHOU: KeyRing("event", peer.keys)}, DEPLOYMENT)
    with pytest.raises(TiergateError) as caught:
        verifier.verify(text, sender=FUZHOU, now_s=2)
    assert caught.value.reason is Reason.EVENT_INVALID
    custody.take(old, peer, "directory.json")
    assert verifier.verify(custody.current_event(text), sender=FUZHOU, now_s=2) == event


def test_a_key_without_a_name_goes_by_its_thumbprint(tmp_path: Path) -> None:
    key = generate_signing_key("ES256")
    write_private_key(tmp_path / "key", key)
    assert SigningKey.load(None, tmp_path / "key").kid == thumbprint(public_jwk(key))
