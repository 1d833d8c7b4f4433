"""The uniform no (I3): whatever the personal reason, the same work: statements, reads, pauses."""

from __future__ import annotations

from datetime import timedelta

from gateway.domain.ids import ResidentRef
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.statements import statements
from tests.unit.adapters.test_uniform_no import Happening, each_class


async def _work(city: FakeCity, token: str) -> tuple[list[str], int]:
    """Statements and reads of the platform for one question."""
    reads = len(city.source.reads)
    with statements(city.store._reader, city.store._writer_connection) as seen:
        await city.answer(token)
    return seen, len(city.source.reads) - reads


@each_class
async def test_every_personal_reason_costs_what_an_entitled_person_does(city: FakeCity, happens: Happening) -> None:
    granted = await city.grant(uses=9)
    await city.answer(granted.token)
    entitled = await _work(city, granted.token)
    await happens(city, granted.token)
    refused = await _work(city, granted.token)
    assert entitled[0]  # the trace sees something
    assert refused == entitled


@each_class
async def test_a_retry_costs_the_same_for_every_personal_reason(city: FakeCity, happens: Happening) -> None:
    granted = await city.grant(uses=9)
    await happens(city, granted.token)
    question = city.question(granted.token)
    await city.attester.answer(question)
    city.source.know(RESIDENT, 900, age=timedelta(days=1))
    reads = len(city.source.reads)
    with statements(city.store._reader, city.store._writer_connection) as seen:
        await city.attester.answer(question)
    assert len(city.source.reads) == reads
    city.source.know("synthetic-2", 900)
    other = await city.grant(ResidentRef("synthetic-2"), uses=9)
    question = city.question(other.token)
    await city.attester.answer(question)
    with statements(city.store._reader, city.store._writer_connection) as plain:
        await city.attester.answer(question)
    assert seen == plain
