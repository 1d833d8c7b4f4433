from __future__ import annotations

import pytest

from gateway.domain.bundle import CLOCK_AHEAD_S, Bundle, Timeline
from gateway.domain.ids import BundleDigest
from gateway.errors import Reason, TiergateError
from tests.unit.domain.samples import bundle

OLD, NEW, NEXT = (BundleDigest(text * 32) for text in ("aa", "bb", "cc"))


def made(digest: BundleDigest, version: int, effective: int, grace_s: int = 100) -> Bundle:
    return bundle(digest=digest, version=version, effective=effective, grace_s=grace_s)


TIMELINE = Timeline((made(OLD, 1, 0), made(NEW, 2, 1000), made(NEXT, 3, 5000, grace_s=0)))


@pytest.mark.parametrize(("now_s", "digest"), [(0, OLD), (999.9, OLD), (1000, NEW), (4999, NEW), (5000, NEXT)])
def test_the_newest_effective_bundle_is_in_force(now_s: float, digest: BundleDigest) -> None:
    assert TIMELINE.at(now_s).digest == digest


def test_before_the_first_is_effective_there_is_none() -> None:
    with pytest.raises(TiergateError) as caught:
        Timeline((made(NEW, 2, 1000),)).at(999)
    assert caught.value.reason is Reason.BUNDLE_INVALID


@pytest.mark.parametrize(
    ("digest", "first", "last"),
    [(OLD, 0, 1099), (NEW, 1000 - CLOCK_AHEAD_S, 4999), (NEXT, 5000 - CLOCK_AHEAD_S, 10**9)],
)
def test_a_peer_may_ask_from_a_little_before_until_the_end_of_grace(
    digest: BundleDigest, first: int, last: int
) -> None:
    for now_s in (first, last):
        assert TIMELINE.named(digest, now_s).digest == digest
    for now_s in ([first - 1] if first else []) + ([last + 1] if last < 10**9 else []):
        with pytest.raises(TiergateError) as caught:
            TIMELINE.named(digest, now_s)
        assert caught.value.reason is Reason.BUNDLE_MISMATCH


def test_an_unknown_bundle_is_a_mismatch() -> None:
    with pytest.raises(TiergateError) as caught:
        TIMELINE.named(BundleDigest("dd" * 32), 2000)
    assert caught.value.reason is Reason.BUNDLE_MISMATCH
