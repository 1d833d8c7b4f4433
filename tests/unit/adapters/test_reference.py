"""Signed files are taken together or not at all, and never older than before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapters.reference import Reference, load_reference
from gateway.domain.ids import CityId
from gateway.errors import Reason
from gateway.policy.installed import Seen
from tests.fakes.files import write_signed_files
from tests.fakes.network import FUZHOU, XIAMEN, Network
from tests.unit.adapters.conftest import refuses

NOW_S = 1_793_491_200


def _load(folder: Path, *, directory: int = 0, bundle: int = 0, now_s: int = NOW_S) -> Reference:
    return load_reference(
        FUZHOU,
        folder / "root.json",
        folder / "directory.json",
        folder / "bundle.json",
        now_s=now_s,
        seen=Seen(directory=directory, bundle=bundle),
    )


@pytest.fixture
def folder(network: Network, tmp_path: Path) -> Path:
    write_signed_files(network, tmp_path)
    return tmp_path


def test_the_signed_files_are_taken(network: Network, folder: Path) -> None:
    reference = _load(folder, directory=1, bundle=1)
    assert reference.bundle.digest == network.bundle.digest
    assert reference.city.id == FUZHOU


def test_a_directory_older_than_one_seen_before_is_refused(folder: Path) -> None:
    with refuses(Reason.DIRECTORY_INVALID):
        _load(folder, directory=2)


def test_a_bundle_older_than_one_seen_before_is_refused(folder: Path) -> None:
    with refuses(Reason.BUNDLE_INVALID):
        _load(folder, bundle=2)


def test_an_expired_directory_is_refused(folder: Path) -> None:
    with refuses(Reason.DIRECTORY_INVALID):
        _load(folder, now_s=NOW_S + 91 * 86_400)


def test_a_directory_without_this_city_is_refused(network: Network) -> None:
    directory = replace(network.directory, cities={XIAMEN: network.directory.cities[XIAMEN]})
    with refuses(Reason.DIRECTORY_INVALID):
        Reference.of(FUZHOU, directory, network.bundle)
    with refuses(Reason.DIRECTORY_INVALID):
        Reference.of(CityId("nowhere"), network.directory, network.bundle)


@pytest.mark.parametrize("name", ["root.json", "directory.json", "bundle.json"])
def test_a_file_that_is_missing_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with refuses(Reason.CONFIG_INVALID):
        _load(folder)


@pytest.mark.parametrize("name", ["directory.json", "bundle.json"])
def test_a_file_that_nobody_trusted_signed_is_refused(network: Network, folder: Path, name: str) -> None:
    ours = (folder / name).read_bytes()
    write_signed_files(network, folder)  # under a new authority
    (folder / name).write_bytes(ours)
    with refuses(Reason.SIGNATURE_INVALID):
        _load(folder)


def test_the_concordance_is_this_citys_and_in_force(network: Network) -> None:
    reference = network.reference(FUZHOU)
    assert reference.concordance(NOW_S).city == FUZHOU
    with refuses(Reason.HOME_CITY_UNAVAILABLE):
        reference.concordance(NOW_S - 250 * 86_400)  # before it takes effect


def test_a_concordance_is_in_force_on_its_last_day(network: Network) -> None:
    reference = network.reference(FUZHOU)
    last = replace(reference.bundle.concordances[FUZHOU], effective_until=reference.bundle.expires.replace(2026, 11, 1))
    ending = replace(reference, bundle=replace(reference.bundle, concordances={FUZHOU: last}))
    assert ending.concordance(NOW_S) is last
    with refuses(Reason.HOME_CITY_UNAVAILABLE):
        ending.concordance(NOW_S + 86_400)
