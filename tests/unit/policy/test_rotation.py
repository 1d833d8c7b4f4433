"""Changes of keys in the directory: one version each, nothing else touched, and the same again changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.crypto.keys import Algorithm, algorithm_of, generate_signing_key, public_jwk, thumbprint
from gateway.domain.directory import Directory, DirectoryKey, KeyPurpose
from gateway.errors import ProblemsError, Reason
from gateway.policy.directory import build_directory, read_directory
from gateway.policy.rotation import KeyOwner, keys_of, with_first, with_key, without_key
from tests.fakes.network import FUZHOU, XIAMEN_LIBRARY, Network

CITY, OPERATOR = KeyOwner("city", FUZHOU), KeyOwner("operator", XIAMEN_LIBRARY)
CASES: list[tuple[KeyOwner, KeyPurpose]] = [
    (CITY, "consent"),
    (CITY, "attestation"),
    (CITY, "event"),
    (OPERATOR, "proof"),
]


@pytest.fixture(scope="module")
def directory() -> Directory:
    return Network().directory


def made(purpose: KeyPurpose, alg: Algorithm) -> DirectoryKey:
    key = generate_signing_key(alg)
    return DirectoryKey(thumbprint(public_jwk(key)), purpose, algorithm_of(key), public_jwk(key))


def listed(directory: Directory, owner: KeyOwner, purpose: KeyPurpose) -> list[str]:
    return [key.kid for key in keys_of(directory, owner) if key.purpose == purpose]


@pytest.mark.parametrize(("owner", "purpose"), CASES)
@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
def test_a_key_comes_moves_and_goes(directory: Directory, owner: KeyOwner, purpose: KeyPurpose, alg: Algorithm) -> None:
    (old,) = listed(directory, owner, purpose)
    key = made(purpose, alg)
    added = with_key(directory, owner, key)
    assert (added.version, listed(added, owner, purpose)) == (directory.version + 1, [old, key.kid])
    assert with_key(added, owner, key) is added
    first = with_first(added, owner, purpose, key.kid)
    assert (first.version, listed(first, owner, purpose)) == (directory.version + 2, [key.kid, old])
    assert with_first(first, owner, purpose, key.kid) is first
    removed = without_key(first, owner, purpose, old)
    assert (removed.version, listed(removed, owner, purpose)) == (directory.version + 3, [key.kid])
    assert without_key(removed, owner, purpose, old) is removed
    for step in (added, first, removed):
        assert read_directory(build_directory(step)) == step


@pytest.mark.parametrize(("owner", "purpose"), CASES)
def test_nothing_but_the_owners_keys_changes(directory: Directory, owner: KeyOwner, purpose: KeyPurpose) -> None:
    changed = with_key(directory, owner, made(purpose, "ES256"))
    for other in (*(KeyOwner("city", name) for name in directory.cities), OPERATOR):
        if other != owner:
            assert keys_of(changed, other) == keys_of(directory, other)
    assert (
        replace(changed, version=directory.version, cities=directory.cities, operators=directory.operators) == directory
    )


def test_a_citys_last_key_of_a_purpose_cannot_go(directory: Directory) -> None:
    (only,) = listed(directory, CITY, "consent")
    with pytest.raises(ProblemsError, match="no key of purpose consent"):
        without_key(directory, CITY, "consent", only)


@pytest.mark.parametrize("owner", [KeyOwner("city", "atlantis"), KeyOwner("operator", "atlantis")])
def test_an_owner_that_is_not_listed_is_named(directory: Directory, owner: KeyOwner) -> None:
    with pytest.raises(ProblemsError) as caught:
        with_key(directory, owner, made("consent", "ES256"))
    assert caught.value.reason is Reason.DIRECTORY_INVALID
