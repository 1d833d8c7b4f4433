"""A resident's erasure at her city: the lock, what the gateway is told, the deletion, and that no byte is left."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from adapters.authority import Granted
from adapters.reports import Report
from adapters.store.attestations import Tidy
from adapters.store.city_store import FILE_NAME
from adapters.store.erasing import Order
from adapters.store.unreported import ERASED
from adapters.terms import ConsentTerms
from adapters.unreported import DEADLINE_S
from gateway.domain.decision import Outcome
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason
from tests.fakes.city import RESIDENT, RETENTION_DAYS, FakeCity
from tests.fakes.city_peers import DECOY
from tests.fakes.log import FakeLog
from tests.fakes.network import LIBRARY_LOAN, XIAMEN_LIBRARY, Network
from tests.unit.adapters.conftest import refuses

OTHER = ResidentRef("synthetic-2")
ORDER = Order("fuzhou-court", "0d" * 32)
DAY_S = 86_400


@pytest.fixture
def log(network: Network) -> FakeLog:
    return FakeLog(network.log)


async def use(city: FakeCity, log: FakeLog, granted: Granted) -> int:
    """One check of a consent, decided, logged and reported; its log index."""
    attested = await city.answer(granted.token)
    index = log.decide(attested.rung, bundle=city.reference.bundle.digest)
    report = Report(attested.id, Outcome.of(attested.rung), index, log.entries[index], log.inclusion(index))
    await city.reports.take([report], log.checkpoint())
    return index


def rows(city: FakeCity, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(city.folder / FILE_NAME)) as connection:
        return connection.execute(query).fetchall()


def bytes_of(city: FakeCity, resident: ResidentRef) -> dict[str, bytes]:
    """Everything in the database that is hers alone, by name: text as text, digests as bytes."""
    found: dict[str, bytes] = {"resident": resident.encode()}
    with closing(sqlite3.connect(city.folder / FILE_NAME)) as connection:
        hers = connection.execute("SELECT id, token_hash FROM consents WHERE resident = ?", (resident,)).fetchall()
        for number, (consent, token_hash) in enumerate(hers):
            found |= {f"consent {number}": consent.encode(), f"token {number}": token_hash}
            for table, column in (("attestations", "id"), ("events", "id"), ("events", "event")):
                values = connection.execute(f"SELECT {column} FROM {table} WHERE consent_id = ?", (consent,))  # noqa: S608
                found |= {f"{table} {column} {number} {place}": text.encode() for place, (text,) in enumerate(values)}
    return found


def left(folder: Path, secrets: dict[str, bytes]) -> set[str]:
    """Names of those whose bytes are in any file of the folder."""
    data = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return {name for name, value in secrets.items() if any(value in item for item in data)}


async def test_a_request_locks_at_once_and_is_storage_only(city: FakeCity, log: FakeLog) -> None:
    granted, second = await city.grant(uses=5), await city.grant(bound=True, uses=0)
    index = await use(city, log, granted)
    asked_at = city.clock.now_ms()
    found = await city.erasures.erase(RESIDENT)
    assert (found.lock.at_ms, found.deleted) == (asked_at, None)
    reads = len(city.source.reads)
    assert (await city.answer(granted.token)).rung == 0
    assert city.source.reads[reads:] == [DECOY]  # her record is not opened
    assert city.authority.list(RESIDENT, 0) == []
    assert city.desk.uses(RESIDENT, None, None, 0) == []
    assert city.store.kept_of(RESIDENT, granted.id) is None
    for act in ("pause", "resume", "withdraw"):
        with refuses(Reason.CONSENT_UNKNOWN):
            await city.authority.change(RESIDENT, second.id, act)
    with refuses(Reason.DECISION_UNKNOWN):
        await city.desk.explain(RESIDENT, index)
    with refuses(Reason.DECISION_UNKNOWN):
        await city.desk.contest(RESIDENT, index)
    with refuses(Reason.CONSENT_STATE):
        await city.grant()
    assert len(rows(city, "SELECT 1 FROM consents")) == 2  # all of it is still stored
    other = await city.grant(OTHER)  # and nobody else is touched
    city.source.know(OTHER, 900)
    assert (await city.answer(other.token)).rung == 1


async def test_the_gateway_is_told_of_each_consent_once(city: FakeCity) -> None:
    first, second = await city.grant(), await city.grant()
    await city.authority.change(RESIDENT, first.id, "withdraw")
    await city.grant(OTHER)
    again = [await city.erasures.erase(RESIDENT) for _ in range(3)]
    while await city.pusher.push_once():
        pass
    told = [(event.kind, event.subject) for event in city.gateway.events]
    # of one consent in order; the other's need not wait for it
    assert sorted(told[:2]) == sorted([("withdrawal", first.id), ("erasure", second.id)])
    assert told[2:] == [("erasure", first.id)]
    assert len({found.lock.at_ms for found in again}) == 1
    settled = (await city.erasures.erase(RESIDENT)).lock
    (newest,) = [event.id for event in city.gateway.events if (event.kind, event.subject) == ("erasure", second.id)]
    assert settled.log_index == city.gateway.indices[newest]


async def test_whoever_has_no_consent_is_locked_and_deleted_too(city: FakeCity) -> None:
    await city.authority.decline(RESIDENT, XIAMEN_LIBRARY, LIBRARY_LOAN)
    assert (await city.erasures.erase(RESIDENT)).lock.log_index is None
    assert (await city.erasures.erase(RESIDENT, ORDER)).deleted == 0
    assert left(city.folder, {"resident": RESIDENT.encode()}) == set()


async def test_nothing_is_deleted_before_the_gateway_knows(city: FakeCity) -> None:
    granted = await city.grant()
    city.gateway.down = True
    for order in (None, ORDER, ORDER):
        if order is None:
            await city.erasures.erase(RESIDENT)
        else:
            with refuses(Reason.CONSENT_STATE):
                await city.erasures.erase(RESIDENT, order)
    assert (await city.answer(granted.token)).rung == 0  # locked all the same
    assert left(city.folder, {"resident": RESIDENT.encode()})
    city.gateway.down = False
    await city.pusher.push_once()
    assert (await city.erasures.erase(RESIDENT, ORDER)).deleted == 1


async def test_by_order_no_byte_of_hers_is_left(city: FakeCity, log: FakeLog) -> None:
    granted = await city.grant(uses=5)
    other = await city.grant(OTHER)
    index = await use(city, log, granted)
    await use(city, log, other)
    await city.authority.decline(RESIDENT, XIAMEN_LIBRARY, LIBRARY_LOAN)
    await city.erasures.erase(RESIDENT)
    secrets, others = bytes_of(city, RESIDENT), bytes_of(city, OTHER)
    assert left(city.folder, secrets) == set(secrets)  # the search can find them
    while await city.pusher.push_once():
        pass
    assert (await city.erasures.erase(RESIDENT, ORDER)).deleted == 1
    # the token has not ended: its tally is kept until then, so that it is counted out like any other
    assert left(city.folder, secrets) == {"token 0"}
    assert left(city.folder, others) == set(others)
    city.clock.advance(2 * DAY_S)
    while await city.store.submit(Tidy(city.now_s)):
        pass
    assert secrets["token 0"] not in {tally for (tally,) in rows(city, "SELECT token_hash FROM tallies")}
    assert rows(city, "SELECT 1 FROM tombstones") == []
    joined = "uses AS u JOIN attestations AS a ON a.id = u.attestation_id WHERE u.consent_id IS NULL"
    assert rows(city, f"SELECT u.log_index, a.rung, a.consent_id FROM {joined}") == [(index, 1, ERASED)]  # noqa: S608
    assert rows(city, "SELECT consents, ordered_by, order_digest, scrubbed FROM erased") == [(1, *ORDER, 1)]
    assert city.desk.reported_index() is not None


async def test_an_erased_token_is_counted_out_and_answered_like_any_other(city: FakeCity) -> None:
    granted = await city.grant(uses=2)
    known = city.question(granted.token)
    await city.attester.answer(known)
    await city.erasures.erase(RESIDENT)
    while await city.pusher.push_once():
        pass
    await city.erasures.erase(RESIDENT, ORDER)
    assert city.verified(await city.attester.answer(known), known).rung == 0  # a known request spends nothing
    assert (await city.answer(granted.token)).rung == 0
    with refuses(Reason.USES_EXHAUSTED):
        await city.answer(granted.token)


async def test_a_clock_that_runs_ahead_of_the_directory_deletes_nothing(city: FakeCity) -> None:
    await city.grant()
    await city.erasures.erase(RESIDENT)
    while await city.pusher.push_once():
        pass
    city.directory_ends = city.now_s + 365 * DAY_S
    city.clock.advance((RETENTION_DAYS + 1) * DAY_S + (19 * 3600 - city.now_s) % DAY_S)
    assert await city.erasures.delete_due() == 0
    city.directory_ends = city.now_s + 365 * DAY_S
    assert await city.erasures.delete_due() == 1


async def test_when_retention_ends_it_is_deleted_in_the_hour_for_it(city: FakeCity) -> None:
    await city.grant()
    await city.erasures.erase(RESIDENT)
    secrets = bytes_of(city, RESIDENT)
    while await city.pusher.push_once():
        pass
    to_the_hour = (19 * 3600 - city.now_s) % DAY_S
    city.clock.advance((RETENTION_DAYS - 1) * DAY_S + to_the_hour)
    assert await city.erasures.delete_due() == 0
    city.clock.advance(2 * DAY_S - 3600)
    assert await city.erasures.delete_due() == 0  # due, and not in that hour
    city.clock.advance(3600)
    assert await city.erasures.delete_due() == 1
    assert left(city.folder, secrets) == set()
    assert rows(city, "SELECT consents, ordered_by FROM erased") == [(1, None)]


async def test_afterwards_she_may_begin_anew(city: FakeCity) -> None:
    await city.grant()
    await city.erasures.erase(RESIDENT)
    while await city.pusher.push_once():
        pass
    await city.erasures.erase(RESIDENT, ORDER)
    granted = await city.grant()
    assert (await city.answer(granted.token)).rung == 1


async def test_a_freeze_outlasts_an_erasure(city: FakeCity) -> None:
    await city.desk.correct(RESIDENT, "freeze")
    await city.erasures.erase(RESIDENT)
    while await city.pusher.push_once():
        pass
    await city.erasures.erase(RESIDENT, ORDER)
    assert (await city.answer((await city.grant()).token)).rung == 0


async def test_an_open_case_is_decided_first(city: FakeCity, log: FakeLog) -> None:
    index = await use(city, log, await city.grant())
    case = await city.desk.contest(RESIDENT, index)
    await city.erasures.erase(RESIDENT)
    while await city.pusher.push_once():
        pass
    with refuses(Reason.CONSENT_STATE):
        await city.erasures.erase(RESIDENT, ORDER)
    await city.desk.advance(case.row.id, "upheld")
    while await city.pusher.push_once():
        pass
    assert (await city.erasures.erase(RESIDENT, ORDER)).deleted == 1


async def test_a_consent_given_while_the_events_are_signed_is_locked_with_the_others(
    city: FakeCity, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = ConsentTerms(XIAMEN_LIBRARY, LIBRARY_LOAN, DAY_S, 3, bound=True)
    notice = city.authority.preview(terms).notice.digest
    first = await city.grant()
    listed = city.store.consents_to_lock
    record, late = city.authority.prepare(RESIDENT, terms, notice)
    calls = 0

    def stale(resident: ResidentRef) -> list[str]:
        nonlocal calls
        calls += 1
        return [first.id] if calls == 1 else listed(resident)

    await city.store.submit(record)
    monkeypatch.setattr(city.store, "consents_to_lock", stale)
    await city.erasures.erase(RESIDENT)
    while await city.pusher.push_once():
        pass
    assert [event.subject for event in city.gateway.events] == [first.id, late.id]


async def test_an_erased_answer_that_was_not_reported_is_nobodys(city: FakeCity, log: FakeLog) -> None:
    """Hers is gone with its mark; what stays of a reported one is no news; and a later answer is still noticed."""
    granted = await city.grant(uses=5)
    await use(city, log, granted)
    await city.answer(granted.token)
    for _ in range(2):
        await city.unreported.look()
        city.clock.advance(DEADLINE_S)
    assert len(city.desk.unreported(RESIDENT, None)) == 1
    await city.erasures.erase(RESIDENT)
    assert city.desk.unreported(RESIDENT, None) == []
    while await city.pusher.push_once():
        pass
    await city.erasures.erase(RESIDENT, ORDER)
    assert rows(city, "SELECT 1 FROM unreported") == []
    city.source.know(OTHER, 900)
    await city.answer((await city.grant(OTHER)).token)
    raised = city.alarms.raised["attested_not_reported"]
    for _ in range(2):
        await city.unreported.look()
        city.clock.advance(DEADLINE_S)
    await city.unreported.look()
    assert city.alarms.raised["attested_not_reported"] == raised + 1
    assert len(city.desk.unreported(OTHER, None)) == 1
