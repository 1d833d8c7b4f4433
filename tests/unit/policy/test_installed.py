"""Root, directory, notices and bundles as a process takes them: all or nothing, and never an older one."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from gateway.crypto.envelope import (
    BUNDLE_TYPE,
    countersign,
    sign,
    signers,
    verify,
)
from gateway.crypto.keys import PrivateKey, thumbprint
from gateway.crypto.root_files import check_root, read_root
from gateway.domain.directory import Maintenance
from gateway.errors import Reason
from gateway.policy.installed import (
    Seen,
    installed_directory,
)
from gateway.policy.notices import MAX_MAINTENANCE_S, Notice, build_notice, read_notice
from tests.fakes.network import FUZHOU, XIAMEN, XIAMEN_LIBRARY
from tests.unit.policy.installation import (
    CITY_A,
    CITY_B,
    NOW,
    PROVINCE,
    STRANGER,
    Place,
    bundle,
    directory,
    place,
    refused,
    root,
)

__all__ = ["directory", "place"]  # fixtures


def test_one_authority_after_the_other_signs(place: Place) -> None:
    once = sign(BUNDLE_TYPE, bundle(), [PROVINCE])
    assert refused(lambda: verify(root(), BUNDLE_TYPE, once), Reason.SIGNATURE_INVALID)
    twice = countersign(once, [CITY_B])
    assert verify(root(), BUNDLE_TYPE, twice) == bundle()
    assert signers(root(), BUNDLE_TYPE, twice) == {"province", "b"}
    assert len(countersign(twice, [CITY_B])) == len(twice)  # signing again adds nothing
    refused(lambda: countersign(once, []), Reason.SIGNATURE_INVALID)


def test_a_bundle_of_too_few_signatures_is_refused_by_name(place: Place) -> None:
    place.put(bundle(2), PROVINCE)
    assert "1.json" in refused(place.load, Reason.SIGNATURE_INVALID)


@pytest.mark.parametrize("name", ["directory.json", "bundles/0.json", "bundles/pipe.json", "notices/pipe.json"])
def test_a_pipe_in_place_of_a_signed_file_keeps_nobody_waiting(place: Place, name: str) -> None:
    (place.folder / name).unlink(missing_ok=True)
    os.mkfifo(place.folder / name)
    assert f"{name}: cannot be read (is not a regular file)" in refused(place.load, Reason.CONFIG_INVALID)


def test_a_bundle_takes_effect_at_its_time(place: Place) -> None:
    place.put(bundle(2, effective=NOW + 60, grace_s=30))
    installed = place.load()
    assert [item.version for item in installed.timeline.bundles] == [1, 2]
    assert installed.timeline.at(NOW).version == 1
    assert installed.timeline.at(NOW + 60).version == 2
    assert installed.seen.bundle == 2
    refused(lambda: Place.load(place, seen=Seen(bundle=3)), Reason.BUNDLE_INVALID)


def test_two_bundles_of_one_version_are_refused(place: Place) -> None:
    place.put(bundle(1, effective=7))
    refused(place.load, Reason.BUNDLE_INVALID)


def test_only_future_bundles_are_none(place: Place) -> None:
    for file in place.folder.glob("bundles/*"):
        file.unlink()
    refused(place.load, Reason.CONFIG_INVALID)
    place.put(bundle(2, effective=NOW + 60))
    refused(place.load, Reason.BUNDLE_INVALID)


@pytest.mark.parametrize("older", ["bundle", "directory"])
def test_an_old_file_beside_a_new_one_is_refused(place: Place, older: str) -> None:
    if older == "bundle":
        place.list(replace(place.directory, bundle_from=2))
    else:
        place.put(bundle(2, directory_from=2))
    refused(place.load, Reason.BUNDLE_INVALID)


def test_roots_follow_each_other(place: Place) -> None:
    place.follow(2, root(PROVINCE, CITY_A, STRANGER, version=2), PROVINCE, CITY_A)
    place.follow(3, root(PROVINCE, STRANGER, version=3), PROVINCE, STRANGER)
    assert read_root(place.folder / "root.json").version == 3
    # a directory that city A signed counts no more
    refused(place.load, Reason.SIGNATURE_INVALID)


@pytest.mark.parametrize(
    ("version", "keys"),
    [
        (2, (PROVINCE, STRANGER)),  # one of the old root
        (2, (CITY_A, CITY_B)),  # none of the new root
        (2, (PROVINCE,)),
        (3, (PROVINCE, CITY_A)),  # a version left out
        (1, (PROVINCE, CITY_A)),
    ],
)
def test_a_root_that_may_not_follow_is_refused(place: Place, version: int, keys: tuple[PrivateKey, ...]) -> None:
    place.follow(2, root(PROVINCE, STRANGER, threshold=1, version=version), *keys)
    assert "root.2.json" in refused(place.load, Reason.CONFIG_INVALID)


def test_an_expired_root_and_one_older_than_seen_are_refused(place: Place) -> None:
    expired = root(expires=NOW)
    refused(lambda: check_root(expired, NOW), Reason.SIGNATURE_INVALID)
    assert check_root(expired, NOW - 1) is expired
    refused(lambda: place.load(seen=Seen(root=2)), Reason.SIGNATURE_INVALID)
    (place.folder / "root.json").write_bytes(expired.to_json())
    refused(place.load, Reason.SIGNATURE_INVALID)
    place.follow(2, root(version=2), PROVINCE, CITY_A)  # the way out of an expired root
    assert place.load().root.version == 2


def test_one_authority_removes_a_key_and_a_peer_at_once(place: Place) -> None:
    key = place.directory.cities[FUZHOU].keys[0]
    peer = place.directory.operators[XIAMEN_LIBRARY].identity.uri
    place.notice(keys=(thumbprint(key.jwk),), peers=(peer,))
    installed = place.load()
    assert key not in installed.directory.cities[FUZHOU].keys
    assert len(installed.directory.cities[FUZHOU].keys) == 2
    assert XIAMEN_LIBRARY not in installed.directory.operators
    assert installed_directory(place.folder / "root.json", place.folder / "directory.json") == installed.directory


def test_what_was_removed_stays_so_without_the_notice_and_until_the_threshold_lists_it_again(place: Place) -> None:
    key = place.directory.cities[FUZHOU].keys[0]
    place.notice(keys=(thumbprint(key.jwk),))
    numbers = place.load().seen.numbers()
    for file in place.folder.glob("notices/*"):
        file.unlink()
    assert key not in place.load(seen=Seen.of(numbers)).directory.cities[FUZHOU].keys
    place.list(replace(place.directory, version=2))  # a newer version of the same time does not bring it back
    assert key not in place.load(seen=Seen.of(numbers)).directory.cities[FUZHOU].keys
    place.list(replace(place.directory, version=3, issued=NOW + 1))
    assert key in place.load(seen=Seen.of(numbers)).directory.cities[FUZHOU].keys


def test_a_notice_of_a_stranger_is_refused(place: Place) -> None:
    place.notice(STRANGER, keys=("x" * 43,))
    refused(place.load, Reason.SIGNATURE_INVALID)


def test_maintenance_runs_from_its_beginning_until_before_its_end(place: Place) -> None:
    place.notice(maintenance=(Maintenance(XIAMEN, NOW + 10, NOW + 70),))
    installed = place.load()
    assert [installed.maintenance_left(XIAMEN, NOW + at) for at in (9, 10, 69, 70)] == [0, 60, 1, 0]
    assert installed.maintenance_left(FUZHOU, NOW + 10) == 0


@pytest.mark.parametrize(
    "notice",
    [
        Notice(NOW),
        Notice(NOW, keys=("short",)),
        Notice(NOW, peers=("https://somewhere.example",)),
        Notice(NOW, maintenance=(Maintenance(XIAMEN, NOW, NOW),)),
        Notice(NOW, maintenance=(Maintenance(XIAMEN, NOW, NOW + MAX_MAINTENANCE_S + 1),)),
    ],
)
def test_a_notice_that_says_nothing_or_nonsense_is_refused(notice: Notice) -> None:
    refused(lambda: build_notice(notice), Reason.NOTICE_INVALID)


def test_a_notice_has_one_form() -> None:
    data = build_notice(Notice(NOW, keys=("k" * 43,)))
    assert read_notice(data).removed == {"k" * 43: NOW}
    refused(lambda: read_notice(data + b" "), Reason.NOTICE_INVALID)
    refused(lambda: read_notice(b" " * 100_000), Reason.NOTICE_INVALID)


def test_a_bundle_that_is_held_is_verified_and_not_read_again(place: Place) -> None:
    held = place.load().timeline
    place.put(bundle(2, effective=NOW + 60))
    again = place.load(held=held).timeline
    assert again.bundles[0] is held.bundles[0]
    assert [item.version for item in again.bundles] == [1, 2]
    (place.folder / "bundles" / "0.json").write_bytes(sign(BUNDLE_TYPE, bundle(), [STRANGER]))
    refused(lambda: place.load(held=held), Reason.SIGNATURE_INVALID)


def test_a_bundle_to_come_goes_with_the_directory_too(place: Place) -> None:
    place.put(bundle(2, effective=NOW + 3600, directory_from=place.directory.version + 1))
    detail = refused(place.load, Reason.BUNDLE_INVALID)
    assert "bundle version 2 with directories" in detail
    place.list(replace(place.directory, version=place.directory.version + 1))
    place.load()


@pytest.mark.parametrize(
    "options", [{"grace_s": 3600}, {"effective": NOW + 10_000 * 86_400}], ids=["no time of effect", "after its end"]
)
def test_a_bundle_whose_times_contradict_one_another_is_not_built(options: dict[str, int]) -> None:
    refused(lambda: bundle(2, **options), Reason.BUNDLE_INVALID)
