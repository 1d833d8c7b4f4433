"""The city's keys must be those that the directory lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapters.custody import CityKeys, SigningKey
from gateway.crypto.keys import generate_signing_key, write_private_key
from gateway.errors import ProblemsError, Reason, TiergateError
from tests.fakes.network import FUZHOU, XIAMEN, Network


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
