"""Pauses and contests in the log's transaction: for every store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.consent import Contested
from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import BUNDLE, clock, contest, draft, log_of, open_store, record, store, withdrawal
from tests.fakes.clock import FakeClock

__all__ = ["clock", "open_store", "store"]  # fixtures


async def test_a_paused_consent_gives_the_base_offer_until_it_is_resumed(store: SqliteStore, clock: FakeClock) -> None:
    (before,) = await record(store, draft(clock, 1))
    await store.record_event(withdrawal(clock, "consent-1", "e1", "pause"))
    (during,) = await record(store, draft(clock, 2))
    resumed = await store.record_event(withdrawal(clock, "consent-1", "e2", "resumption"))
    (after,) = await record(store, draft(clock, 3, asked_at_size=resumed + 1))
    assert [before.rung, during.rung, after.rung] == [1, 0, 1]
    assert [entry.type for entry in log_of(store)[-4:]] == ["consent_paused", "decision", "consent_resumed", "decision"]
    assert log_of(store)[resumed].number("consent") == log_of(store)[before.log_index].number("consent")


async def test_what_was_attested_during_a_pause_does_not_outlive_it(store: SqliteStore, clock: FakeClock) -> None:
    await record(store, draft(clock, 1))
    await store.record_event(withdrawal(clock, "consent-1", "e1", "pause"))
    asked = store.size()
    await store.record_event(withdrawal(clock, "consent-1", "e2", "resumption"))
    (result,) = await store.record_many([draft(clock, 2, asked_at_size=asked)])
    assert isinstance(result, TiergateError)
    assert result.reason is Reason.ATTESTATION_INVALID


async def test_a_pause_before_the_first_use_counts_too(store: SqliteStore, clock: FakeClock) -> None:
    await store.record_event(withdrawal(clock, "consent-1", "e1", "pause"))
    (decision,) = await record(store, draft(clock, 1))
    assert decision.rung == 0


async def test_a_known_entitled_request_is_not_returned_during_a_pause(store: SqliteStore, clock: FakeClock) -> None:
    asked = draft(clock, 1)
    await record(store, asked)
    await store.record_event(withdrawal(clock, "consent-1", "e1", "pause"))
    known = store.known_request(asked.request, asked.body, asked.consent, BUNDLE, clock.now_ms())
    assert known is not None
    assert known.decision is None
    (again,) = await record(store, asked)
    assert again.rung == 0


async def test_a_withdrawn_consent_is_not_brought_back_by_a_resumption(store: SqliteStore, clock: FakeClock) -> None:
    await record(store, draft(clock, 1))
    for event_id, kind in (("e1", "pause"), ("e2", "withdrawal"), ("e3", "resumption")):
        await store.record_event(withdrawal(clock, "consent-1", event_id, kind))  # type: ignore[arg-type]  # a kind each
    (decision,) = await record(store, draft(clock, 2, asked_at_size=store.size()))
    assert decision.rung == 0


async def test_a_contest_is_logged_and_changes_no_outcome(store: SqliteStore, clock: FakeClock) -> None:
    asked = draft(clock, 1)
    (decision,) = await record(store, asked)
    index = await store.record_event(contest(clock, Contested(decision.log_index, "opened")))
    entry = log_of(store)[index]
    assert (entry.type, entry.number("decision"), entry.text("step")) == ("contest", decision.log_index, "opened")
    assert await record(store, asked) == [decision]
    (next_one,) = await record(store, replace(draft(clock, 2), asked_at_size=asked.asked_at_size))
    assert next_one.rung == decision.rung


@pytest.mark.parametrize("which", ["genesis", "beyond the log", "of another city"])
async def test_only_a_decision_of_the_city_itself_can_be_contested(
    store: SqliteStore, clock: FakeClock, which: str
) -> None:
    (decision,) = await record(store, draft(clock, 1))
    size = store.size()
    index = {"genesis": 0, "beyond the log": size, "of another city": decision.log_index}[which]
    city = CityId("xiamen") if which == "of another city" else CityId("fuzhou")
    with pytest.raises(TiergateError) as caught:
        await store.record_event(contest(clock, Contested(index, "opened"), city=city))
    assert caught.value.reason is Reason.EVENT_INVALID
    assert store.size() == size
