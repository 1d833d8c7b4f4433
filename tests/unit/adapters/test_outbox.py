"""The order of the outbox: of each consent one event at a time, whatever becomes of the others'."""

from __future__ import annotations

import random
import sqlite3

import pytest

from adapters.store.migrations import MIGRATIONS
from adapters.store.outbox import NewEvent, Settled, SettleEvents, pending_events, put_event
from gateway.sqlite.migrate import migrate


@pytest.fixture
def connection() -> sqlite3.Connection:
    """An empty outbox."""
    opened = sqlite3.connect(":memory:", isolation_level=None)
    migrate(opened, MIGRATIONS)
    return opened


def _put(connection: sqlite3.Connection, consent: str, number: int) -> None:
    event = f"{consent}-{number}"
    put_event(connection, NewEvent(event, "pause", consent, event))


def test_the_next_event_of_a_consent_waits_for_the_one_before(connection: sqlite3.Connection) -> None:
    for consent, number in (("a", 1), ("a", 2), ("b", 1)):
        _put(connection, consent, number)
    first, other = pending_events(connection, 64)
    assert (first.id, other.id) == ("a-1", "b-1")
    SettleEvents([Settled(other.seq, 5, None)]).run(connection)
    assert [item.id for item in pending_events(connection, 64)] == ["a-1"]
    SettleEvents([Settled(first.seq, None, "EVENT_INVALID")]).run(connection)
    assert [item.id for item in pending_events(connection, 64)] == ["a-2"]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_put_off_or_lost_each_consents_events_arrive_in_order(
    connection: sqlite3.Connection, seed: int
) -> None:
    chance = random.Random(seed)
    counts = {name: chance.randrange(1, 6) for name in "abcdefgh"}
    left = [(name, number) for name, count in counts.items() for number in range(count)]
    left.sort(key=lambda item: (item[1], chance.random()))
    for name, place in left:
        _put(connection, name, place)
    arrived: dict[str, list[int]] = {name: [] for name in counts}
    while run := pending_events(connection, chance.randrange(1, 5)):
        settled = []
        for item in run:
            name, _, number = item.id.partition("-")
            if chance.random() < 0.3:
                continue  # put off
            if int(number) not in arrived[name]:  # a lost acknowledgement brings it again
                arrived[name].append(int(number))
            if chance.random() < 0.7:
                settled.append(Settled(item.seq, 1, None))
        SettleEvents(settled).run(connection)
    assert arrived == {name: list(range(count)) for name, count in counts.items()}
