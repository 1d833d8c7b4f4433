from __future__ import annotations

import pytest

from gateway.cli.peer_checks import compared_clocks
from gateway.crypto.consent import MAX_CLOCK_AHEAD_S

ASKED_MS, ANSWERED_MS = 1_790_000_000_000, 1_790_000_000_400
MOST_MS = MAX_CLOCK_AHEAD_S * 1000


@pytest.mark.parametrize("theirs", [ASKED_MS - MOST_MS, ASKED_MS, ANSWERED_MS, ANSWERED_MS + MOST_MS])
def test_clocks_that_agree_as_far_as_the_network_lets_one_see(theirs: int) -> None:
    assert compared_clocks(theirs, ASKED_MS, ANSWERED_MS, "gateway").state == "ok"


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (ASKED_MS - MOST_MS - 1, "10 s behind ours"),
        (ANSWERED_MS + MOST_MS + 1, "10 s ahead of ours"),
        (ASKED_MS - 86_400_000, "86400 s behind ours"),
    ],
)
def test_clocks_that_differ_by_more_than_is_borne(theirs: int, words: str) -> None:
    found = compared_clocks(theirs, ASKED_MS, ANSWERED_MS, "gateway")
    assert found.state == "problem"
    assert words in found.message
    assert found.remedy


def test_a_peer_that_does_not_say_its_time() -> None:
    assert "not compared" in compared_clocks(0, ASKED_MS, ANSWERED_MS, "gateway").message
