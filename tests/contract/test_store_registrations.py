"""What a store says of a consent's registration to those who report its first decision to its city."""

from __future__ import annotations

import asyncio
import hmac

from gateway.consentlog.entry import decode
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import FUZHOU, clock, draft, log_of, open_store, record, store, withdrawal
from tests.fakes.clock import FakeClock

__all__ = ["clock", "open_store", "store"]  # fixtures


async def test_a_registration_is_the_entry_before_the_first_decision(store: SqliteStore, clock: FakeClock) -> None:
    names = [f"consent-{number % 7}" for number in range(40)]
    await asyncio.gather(
        *(store.record_many([draft(clock, number, consent=name)]) for number, name in enumerate(names)),
        store.record_event(withdrawal(clock, "consent-3")),
    )
    entries = log_of(store)
    registered = [index for index, entry in enumerate(entries) if entry.type == "consent_registered"]
    assert len(registered) == 7
    for index in registered:
        assert entries[index + 1].number("consent") == index


async def test_the_opening_goes_with_the_first_decision_alone(store: SqliteStore, clock: FakeClock) -> None:
    await record(store, draft(clock, 1), draft(clock, 2), draft(clock, 3, consent="consent-2"), draft(clock, 4))
    uses = store.unreported(FUZHOU, 10)
    assert [use.opening is not None for use in uses] == [True, False, True, False]
    for use, consent in ((uses[0], "consent-1"), (uses[2], "consent-2")):
        assert use.opening is not None
        registered = decode(next(store.entries(use.index - 1, use.index)))
        token_hash = draft(clock, 1, consent=consent).token_hash
        assert hmac.digest(use.opening, token_hash, "sha256").hex() == registered.text("token")


async def test_the_opening_goes_again_until_it_is_acknowledged(store: SqliteStore, clock: FakeClock) -> None:
    await record(store, draft(clock, 1), draft(clock, 2))
    first = store.unreported(FUZHOU, 1)
    assert store.unreported(FUZHOU, 1) == first
    await store.acknowledge(FUZHOU, first[0].index)
    (rest,) = store.unreported(FUZHOU, 10)
    assert rest.opening is None


async def test_of_an_erased_consent_nothing_is_opened(store: SqliteStore, clock: FakeClock) -> None:
    await record(store, draft(clock, 1))
    store._connection.execute("DELETE FROM consent")
    (use,) = store.unreported(FUZHOU, 10)
    assert use.opening is None
