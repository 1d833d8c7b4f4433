"""The store: one owner, whole transactions, nothing in its files that must not be."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from adapters.reports import Report
from adapters.store.attestations import Tidy
from adapters.store.city_store import FILE_NAME, CityStore, SeeVersion
from gateway.domain.decision import Outcome
from gateway.errors import Reason, TiergateError
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.log import FakeLog
from tests.fakes.network import FUZHOU, PARKING, XIAMEN_PARKING, Network, going_by
from tests.unit.adapters.conftest import refuses

CANARY = 987_654_321_012_345


async def test_neither_score_nor_token_is_in_any_file(network: Network, tmp_path: Path) -> None:
    async with FakeCity(network, tmp_path) as city:
        bundle = city.reference.bundle
        wide = replace(bundle.concordances[FUZHOU], score_max=10**15)
        city.reference = going_by(city.reference, replace(bundle, concordances={FUZHOU: wide}))
        city.source.know(RESIDENT, CANARY)
        granted = await city.grant()
        bound = await city.grant(uses=0, bound=True)
        proof = network.proof(bound.token, now_s=city.now_s)
        for _ in range(3):
            assert (await city.answer(granted.token)).rung == 1
            await city.answer(bound.token, proof=proof)
        await city.authority.change(RESIDENT, granted.id, "withdraw")
        live = _content(tmp_path)
    closed = _content(tmp_path)
    assert granted.id.encode() in live + closed  # the search looks where the data is
    for token in (granted.token, bound.token, proof):
        signature = token.rpartition(".")[2].encode()
        assert signature not in live + closed
    for form in (str(CANARY).encode(), CANARY.to_bytes(8, "big"), CANARY.to_bytes(8, "little")):
        assert form not in live + closed
    numbers = _integers(tmp_path)
    assert numbers
    assert CANARY not in numbers


def _content(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


def _integers(folder: Path) -> set[int]:
    """Every whole number in every row of every table."""
    with sqlite3.connect(folder / FILE_NAME) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {
            value
            for table in tables
            for row in connection.execute(f"SELECT * FROM {table}")  # noqa: S608  # names from the database itself
            for value in row
            if isinstance(value, int)
        }
    connection.close()
    return found


async def test_a_second_process_is_refused(city: FakeCity) -> None:
    with refuses(Reason.STORE_BUSY):
        CityStore(city.folder)


async def test_a_store_that_is_never_started_gives_its_file_back(tmp_path: Path) -> None:
    await CityStore(tmp_path).close()
    await CityStore(tmp_path).close()


async def test_an_operation_that_fails_half_way_takes_its_group_with_it(city: FakeCity) -> None:
    class Half:
        def run(self, connection: sqlite3.Connection) -> NoReturn:
            connection.execute("INSERT INTO seen (name, version) VALUES ('bundle', 9)")
            raise TiergateError(Reason.CONSENT_STATE)

    with refuses(Reason.INTERNAL):
        await city.store.submit(Half())
    assert city.store.seen().get("bundle", 0) == 0


async def test_a_full_disk_is_a_typed_error_and_the_store_recovers(city: FakeCity) -> None:
    granted = await city.grant()
    connection = city.store._writer_connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    question = city.question(granted.token)
    await city.attester.answer(question)
    results = await asyncio.gather(*(city.grant() for _ in range(300)), return_exceptions=True)
    errors = [item for item in results if isinstance(item, BaseException)]
    assert errors
    assert all(isinstance(item, TiergateError) and item.reason is Reason.STORE_FAILED for item in errors)
    assert await city.attester.answer(question)
    connection.execute("PRAGMA max_page_count = 1073741823")
    assert (await city.answer((await city.grant()).token)).rung == 1
    spent = [view.listed.life.spent for view in city.authority.list(RESIDENT, 200) if view.listed.row.id == granted.id]
    assert spent == [1]


@pytest.mark.parametrize("table", ["attestations", "uses"])
async def test_the_journal_is_not_rewritten(city: FakeCity, table: str) -> None:
    granted = await city.grant()
    attestation = await city.answer(granted.token)
    log = FakeLog(city.network.log)
    await city.reports.take(
        [_report(log, log.decide(1, bundle=city.reference.bundle.digest), attestation.id)], log.checkpoint()
    )

    class Rewrite:
        def run(self, connection: sqlite3.Connection) -> None:
            connection.execute(f"UPDATE {table} SET consent_id = 'x'")  # noqa: S608  # one of two constants

    with refuses(Reason.STORE_FAILED):
        await city.store.submit(Rewrite())


def _report(log: FakeLog, index: int, attestation_id: str) -> Report:
    return Report(attestation_id, Outcome.ENTITLED, index, log.entries[index], log.inclusion(index))


async def test_tidying_forgets_ended_attestations_first_and_requests_after_a_day(city: FakeCity) -> None:
    library, parking = await city.grant(), await city.grant(operator=XIAMEN_PARKING, scenario=PARKING)
    question = city.question(library.token)
    await city.attester.answer(question)
    await city.answer(parking.token, operator=XIAMEN_PARKING, scenario=PARKING)
    assert await city.store.submit(Tidy(city.now_s)) == 0
    city.clock.advance(301)
    assert await city.store.submit(Tidy(city.now_s, limit=1)) == 1
    assert await city.store.submit(Tidy(city.now_s)) == 1
    kept = city.store._reader.execute("SELECT COUNT(*), COUNT(attestation) FROM requests").fetchone()
    assert kept == (2, 0)
    assert (await city.answer(library.token, request_id=question.request_id)).rung == 1  # no second use
    assert [view.listed.life.spent for view in city.authority.list(RESIDENT, 0)] == [1, 1]
    city.clock.advance(2 * 86_400)
    await city.store.submit(Tidy(city.now_s))
    assert city.store._reader.execute("SELECT COUNT(*) FROM requests").fetchone() == (0,)
    journal = city.store._reader.execute("SELECT COUNT(*) FROM attestations").fetchone()
    assert journal == (3,)  # what her view and the 3-year record are made from stays


async def test_versions_seen_never_fall(city: FakeCity) -> None:
    assert city.store.seen().get("directory", 0) == 0
    for version in (3, 2):
        await city.store.submit(SeeVersion("directory", version))
    assert city.store.seen().get("directory", 0) == 3
    assert city.store.seen().get("bundle", 0) == 0


async def test_a_read_of_a_broken_file_is_a_typed_error(city: FakeCity) -> None:
    city.store._reader.close()
    with refuses(Reason.STORE_FAILED):
        city.store.pending_events(1)


async def test_what_is_left_of_a_request_tells_the_day_alone(network: Network, tmp_path: Path) -> None:
    async with FakeCity(network, tmp_path) as city:
        await city.answer((await city.grant()).token)
        await city.store.submit(Tidy(city.now_s + 3600))
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        ((attestation, expires_at),) = connection.execute("SELECT attestation, expires_at FROM requests").fetchall()
    assert attestation is None
    assert expires_at % 86_400 == 0
