"""The contract of every store: what ``gateway.ports`` says with MUST about decisions and events, one test each."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable
from dataclasses import replace

import pytest

from gateway.domain.decision import Decision
from gateway.domain.ids import BundleDigest, CityId, OperatorId
from gateway.errors import Reason, TiergateError
from gateway.ports import ConsentEvent, DecisionDraft
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import (
    BUNDLE,
    FUZHOU,
    Open,
    check_tree,
    clock,
    correction,
    draft,
    log_of,
    open_store,
    record,
    store,
    withdrawal,
)
from tests.fakes.clock import FakeClock

__all__ = ["clock", "open_store", "store"]  # fixtures


async def test_a_new_log_begins_with_its_genesis_once(open_store: Open) -> None:
    store = await open_store()
    await store.close()
    again = await open_store()
    assert [entry.type for entry in log_of(again)] == ["genesis"]
    check_tree(again)


async def test_first_decision_registers_its_consent_in_the_same_tree(store: SqliteStore, clock: FakeClock) -> None:
    (decision,) = await record(store, draft(clock, 1))
    _, registered, decided = log_of(store)
    assert (registered.type, decided.type) == ("consent_registered", "decision")
    assert decided.number("consent") == 1
    assert decided.text("token") == registered.text("token")
    assert decision.log_index == 2
    check_tree(store)


async def test_later_decisions_link_to_the_one_registration(store: SqliteStore, clock: FakeClock) -> None:
    await record(store, draft(clock, 1), draft(clock, 2))
    await record(store, draft(clock, 3))
    assert [entry.type for entry in log_of(store)].count("consent_registered") == 1
    assert {entry.number("consent") for entry in log_of(store) if entry.type == "decision"} == {1}


async def test_two_consents_have_unlinkable_commitments(store: SqliteStore, clock: FakeClock) -> None:
    same_hash = hashlib.sha256(b"same").digest()
    await record(
        store,
        replace(draft(clock, 1, consent="consent-1"), token_hash=same_hash),
        replace(draft(clock, 2, consent="consent-2"), token_hash=same_hash),
    )
    tokens = [entry.text("token") for entry in log_of(store) if entry.type == "consent_registered"]
    assert len(set(tokens)) == 2


async def test_same_request_gets_the_stored_decision_and_no_entry(store: SqliteStore, clock: FakeClock) -> None:
    (first,) = await record(store, draft(clock, 1))
    size = store.size()
    clock.advance(10)
    (second,) = await record(store, draft(clock, 1))
    assert second == first
    assert store.size() == size


async def test_same_request_twice_in_one_group(store: SqliteStore, clock: FakeClock) -> None:
    first, second = await record(store, draft(clock, 1), draft(clock, 1))
    assert first == second


async def test_request_of_another_body_conflicts_and_writes_nothing(store: SqliteStore, clock: FakeClock) -> None:
    await record(store, draft(clock, 1))
    size = store.size()
    (result,) = await store.record_many([replace(draft(clock, 1), body=bytes(32))])
    assert isinstance(result, TiergateError)
    assert result.reason is Reason.REQUEST_CONFLICT
    assert store.size() == size


async def test_a_conflict_fails_alone_in_its_group(store: SqliteStore, clock: FakeClock) -> None:
    await record(store, draft(clock, 1))
    results = await store.record_many([replace(draft(clock, 1), body=bytes(32)), draft(clock, 2)])
    assert isinstance(results[0], TiergateError)
    assert isinstance(results[1], Decision)
    check_tree(store)


async def test_known_request_past_its_validity_is_evaluated_again(store: SqliteStore, clock: FakeClock) -> None:
    (first,) = await record(store, draft(clock, 1))
    clock.advance(301)
    (second,) = await record(store, draft(clock, 1))
    assert second.log_index > first.log_index
    known = store.known_request(
        draft(clock, 1).request, draft(clock, 1).body, draft(clock, 1).consent, BUNDLE, clock.now_ms()
    )
    assert known is not None
    assert (known.decision, known.running) == (second, True)


@pytest.mark.parametrize("rung", [0, 1])
async def test_known_request_is_evaluated_again_for_ten_minutes_after_its_first_decision(
    store: SqliteStore, clock: FakeClock, rung: int
) -> None:
    def asked() -> DecisionDraft:
        return replace(draft(clock, 1, rung=rung), valid_until_ms=clock.now_ms() + 60_000)

    first_at = clock.now_ms()
    (last,) = await record(store, asked())
    for _ in range(9):
        clock.advance(60)
        (last,) = await record(store, asked())
        assert last.decided_at_ms == clock.now_ms()
    clock.advance(60)
    size = store.size()
    assert clock.now_ms() == first_at + 600_000
    (refused,) = await store.record_many([asked()])
    assert isinstance(refused, TiergateError)
    assert refused.reason is Reason.REQUEST_ENDED
    with pytest.raises(TiergateError) as caught:
        store.known_request(asked().request, asked().body, asked().consent, BUNDLE, clock.now_ms())
    assert caught.value.reason is Reason.REQUEST_ENDED
    assert store.size() == size
    clock.advance(-1)  # while the newest decision lasts it is answered
    assert await record(store, asked()) == [last]


async def test_known_request_under_another_bundle_is_evaluated_again(store: SqliteStore, clock: FakeClock) -> None:
    await record(store, draft(clock, 1))
    (second,) = await record(store, replace(draft(clock, 1), bundle=BundleDigest("cd" * 32)))
    assert second.bundle == "cd" * 32


async def test_withdrawal_wins_inside_the_transaction(store: SqliteStore, clock: FakeClock) -> None:
    (before,) = await record(store, draft(clock, 1))
    await store.record_event(withdrawal(clock, "consent-1"))
    (after,) = await record(store, draft(clock, 2))
    assert (before.rung, after.rung) == (1, 0)
    assert log_of(store)[-1].text("outcome") == "ordinary"


async def test_withdrawal_before_the_first_use_wins_too(store: SqliteStore, clock: FakeClock) -> None:
    await store.record_event(withdrawal(clock, "consent-1"))
    (decision,) = await record(store, draft(clock, 1))
    assert decision.rung == 0
    withdrawn, registered = log_of(store)[1:3]
    assert (withdrawn.type, registered.type) == ("consent_withdrawn", "consent_registered")
    assert "consent" not in withdrawn.fields


async def test_known_entitled_request_is_not_returned_after_withdrawal(store: SqliteStore, clock: FakeClock) -> None:
    (first,) = await record(store, draft(clock, 1))
    await store.record_event(withdrawal(clock, "consent-1"))
    asked = draft(clock, 1)
    known = store.known_request(asked.request, asked.body, asked.consent, BUNDLE, clock.now_ms())
    assert known is not None
    assert known.decision is None
    (again,) = await record(store, asked)
    assert (first.rung, again.rung) == (1, 0)


async def test_withdrawal_and_decisions_in_many_interleavings(store: SqliteStore, clock: FakeClock) -> None:
    """Whatever the order in which they reach the log: no entitled decision stands after the withdrawal's entry."""
    for consent in range(40):
        name = f"consent-{consent}"
        operations: list[Awaitable[object]] = [
            store.record_many([draft(clock, consent * 100 + n, consent=name)]) for n in range(8)
        ]
        operations.insert(consent % 9, store.record_event(withdrawal(clock, name, f"event-{consent}")))
        await asyncio.gather(*operations)
    withdrawn: set[int] = set()
    commitments: dict[int, str] = {}
    late = 0
    for index, entry in enumerate(log_of(store)):
        if entry.type == "consent_registered":
            commitments[index] = entry.text("token")
        if entry.type == "consent_withdrawn" and "consent" in entry.fields:
            withdrawn.add(entry.number("consent"))
        if entry.type == "decision" and entry.number("consent") in withdrawn:
            late += 1
            assert entry.number("rung") == 0
    assert late
    check_tree(store)


async def test_repeated_event_keeps_its_index(store: SqliteStore, clock: FakeClock) -> None:
    first = await store.record_event(withdrawal(clock, "consent-1"))
    size = store.size()
    assert await store.record_event(withdrawal(clock, "consent-1")) == first
    assert store.size() == size


async def test_correction_names_no_consent(store: SqliteStore, clock: FakeClock) -> None:
    index = await store.record_event(ConsentEvent(FUZHOU, "event-9", "correction", None, bytes(32), clock.now_ms()))
    entry = log_of(store)[index]
    assert entry.type == "correction"
    assert set(entry.fields) == {"city", "event"}


async def test_a_bundle_is_published_once(store: SqliteStore, clock: FakeClock) -> None:
    other = BundleDigest("cd" * 32)
    for digest in (BUNDLE, BUNDLE, other, BUNDLE):
        await store.publish_bundle(digest, 1, digest.encode(), clock.now_ms())
    published = [entry.text("bundle") for entry in log_of(store) if entry.type == "policy_published"]
    assert published == [BUNDLE, other]  # each once: at every start all that are installed are given again
    assert store.bundle(other) == other.encode()
    with pytest.raises(TiergateError) as caught:
        store.bundle(BundleDigest("00" * 32))
    assert caught.value.reason is Reason.NOT_FOUND


async def test_refusals_are_entries(store: SqliteStore, clock: FakeClock) -> None:
    index = await store.record_refusal(OperatorId("xiamen-library"), "fuzhou-transit", "SCENARIO_NOT_OPEN", clock.ms)
    assert log_of(store)[index].text("code") == "SCENARIO_NOT_OPEN"


async def test_a_refusal_cannot_be_guessed_from_its_leaf_hash(store: SqliteStore, clock: FakeClock) -> None:
    """Who may not see it knows the lists of operators, scenarios and codes, and its neighbours give the time."""
    asked = OperatorId("xiamen-library"), "fuzhou-transit", "SCENARIO_NOT_OPEN", clock.ms
    indices = [await store.record_refusal(*asked) for _ in range(2)]
    first, second = (log_of(store)[index] for index in indices)
    assert (first.time, first.type) == (second.time, second.type)
    assert [name for name in first.fields if first.fields[name] != second.fields[name]] == ["id"]
    assert len(bytes.fromhex(first.text("id"))) == 16


async def test_times_are_rounded_to_the_grain_in_the_entry_alone(store: SqliteStore, clock: FakeClock) -> None:
    clock.advance(12_345)
    asked = replace(draft(clock, 1), grain_ms=86_400_000)
    (decision,) = await record(store, asked)
    entry = log_of(store)[decision.log_index]
    assert entry.time == clock.now_ms() - clock.now_ms() % 86_400_000
    assert entry.number("valid_until") == entry.time + 86_400_000
    registration = log_of(store)[entry.number("consent")]
    assert (registration.type, registration.time) == ("consent_registered", entry.time)
    assert (decision.decided_at_ms, decision.valid_until_ms) == (asked.decided_at_ms, asked.valid_until_ms)
    assert await record(store, asked) == [decision]
    known = store.known_request(asked.request, asked.body, asked.consent, BUNDLE, clock.now_ms())
    assert known is not None
    assert known.decision == decision
    clock.advance(301)
    (later,) = await record(store, replace(draft(clock, 1), grain_ms=86_400_000))
    assert later.log_index > decision.log_index


async def test_what_was_attested_before_a_correction_is_not_decided_on(store: SqliteStore, clock: FakeClock) -> None:
    before = store.size()
    await record(store, draft(clock, 1, asked_at_size=before))
    await store.record_event(correction(clock))
    size = store.size()
    (refused,) = await store.record_many([draft(clock, 2, asked_at_size=before)])
    assert isinstance(refused, TiergateError)
    assert refused.reason is Reason.ATTESTATION_INVALID
    assert store.size() == size
    await record(store, draft(clock, 2, asked_at_size=size))
    await record(store, replace(draft(clock, 3, consent="of-xiamen", asked_at_size=before), city=CityId("xiamen")))


async def test_a_request_of_before_a_correction_is_decided_anew(open_store: Open, clock: FakeClock) -> None:
    store = await open_store()
    asked = draft(clock, 1)
    (before,) = await record(store, asked)
    await store.record_event(correction(clock))
    for number in range(2):  # the second time after a restart
        known = store.known_request(asked.request, asked.body, asked.consent, BUNDLE, clock.now_ms())
        assert known is not None
        assert (known.decision, known.running) == (None, True)
        if not number:
            await store.close()
            store = await open_store()
    (after,) = await record(store, replace(asked, asked_at_size=store.size()))
    assert after.log_index > before.log_index
    assert await record(store, replace(asked, asked_at_size=store.size())) == [after]


async def test_a_correction_wins_over_decisions_of_its_own_group(store: SqliteStore, clock: FakeClock) -> None:
    size = store.size()
    _, decided = await asyncio.gather(
        store.record_event(correction(clock)), store.record_many([draft(clock, 1, asked_at_size=size)])
    )
    (refused,) = decided
    assert isinstance(refused, TiergateError)
    assert [entry.type for entry in log_of(store)] == ["genesis", "correction"]
