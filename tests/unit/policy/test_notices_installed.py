"""Notices beside a directory: whose count, how long they serve, and whom they keep out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.crypto.envelope import NOTICE_TYPE, sign
from gateway.crypto.root_files import read_root
from gateway.domain.directory import Maintenance
from gateway.errors import Reason
from gateway.policy.directory import ISSUED_AHEAD_S
from gateway.policy.installed import MAX_FILES, Seen, served_notices
from gateway.policy.notices import Notice, build_notice, unlisted
from gateway.transport.identity import Callers
from tests.fakes.network import FUZHOU
from tests.unit.policy.installation import (
    CITY_A,
    CITY_B,
    NOW,
    PROVINCE,
    STRANGER,
    Place,
    directory,
    place,
    refused,
    root,
)

__all__ = ["directory", "place"]  # fixtures


def test_an_older_authoritys_notice_is_passed_over_and_served(place: Place) -> None:
    place.notice(CITY_B, keys=("k" * 43,))
    removed = place.load().removed
    assert removed == {"k" * 43: NOW}
    place.follow(2, root(PROVINCE, CITY_A, version=2), PROVINCE, CITY_A)
    assert place.load().removed == {}
    assert place.load(seen=Seen(removed=removed)).removed == removed  # what it did is remembered
    root_file = read_root(place.folder / "root.json")
    gone = served_notices(root_file, place.folder / "directory.json", place.directory, NOW)
    assert [file.name for file in gone] == ["0.json"]
    place.notice(STRANGER, keys=("k" * 43,))  # of no authority at any time
    refused(place.load, Reason.SIGNATURE_INVALID)


def test_a_notice_has_served_when_it_is_over_and_the_directory_is_newer(place: Place) -> None:
    place.notice(keys=("k" * 43,))
    place.notice(maintenance=(Maintenance("fuzhou", NOW, NOW + 60),))
    place.notice(keys=("l" * 43,), maintenance=(Maintenance("fuzhou", NOW, NOW + 600),))
    trusted, file = read_root(place.folder / "root.json"), place.folder / "directory.json"

    def served(issued: int, now_s: int) -> list[str]:
        listed = replace(place.directory, issued=issued)
        return [found.name for found in served_notices(trusted, file, listed, now_s)]

    assert served(NOW, NOW + 59) == []
    assert served(NOW, NOW + 60) == ["1.json"]
    assert served(NOW + 1, NOW + 60) == ["0.json", "1.json"]
    assert served(NOW + 1, NOW + 600) == ["0.json", "1.json", "2.json"]


def test_more_notices_than_bundles_may_lie_there(place: Place) -> None:
    for number in range(MAX_FILES + 1):
        place.notice(maintenance=(Maintenance("fuzhou", NOW - 900 + number, NOW - 100),))
    place.load()


@pytest.mark.parametrize(("ahead_s", "taken"), [(ISSUED_AHEAD_S, True), (ISSUED_AHEAD_S + 1, False)])
def test_what_was_issued_in_the_time_to_come_is_refused(place: Place, ahead_s: int, taken: bool) -> None:
    data = build_notice(Notice(NOW + ahead_s, keys=("k" * 43,)))
    notice = place.folder / "notices" / "0.json"
    notice.write_bytes(sign(NOTICE_TYPE, data, [CITY_B]))
    if taken:
        place.load()
    else:
        refused(place.load, Reason.NOTICE_INVALID)
    notice.unlink()
    place.list(replace(place.directory, issued=NOW + ahead_s))
    if taken:
        place.load()
    else:
        refused(place.load, Reason.DIRECTORY_INVALID)


@pytest.mark.parametrize("whose", ["app", "gateway", "auditor"])
def test_who_is_removed_calls_nobody(place: Place, whose: str) -> None:
    city = place.directory.cities[FUZHOU].identity
    named = {
        "app": city.app, "gateway": place.directory.gateway.identity,
        "auditor": next(iter(place.directory.auditors.values())),
    }[whose]  # fmt: skip
    assert Callers(lambda: place.load().directory, city).resolve(named.uri.encode()).identity == named
    place.notice(peers=(named.uri,))
    directory = place.load().directory
    refused(lambda: Callers(lambda: directory, city).resolve(named.uri.encode()), Reason.CALLER_UNKNOWN)
    assert unlisted(Notice(NOW, (), (named.uri,)), place.directory) == []
