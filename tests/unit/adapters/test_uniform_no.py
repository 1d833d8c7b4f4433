"""The uniform no (I3): whatever the personal reason, the same message by the same path."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from datetime import timedelta

import pytest

from adapters.terms import ConsentTerms
from gateway.errors import Reason
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.city_peers import DECOY
from tests.unit.adapters.conftest import refuses


async def _below(city: FakeCity, token: str) -> None:
    city.source.know(RESIDENT, 100)


async def _no_score(city: FakeCity, token: str) -> None:
    city.source.forget(RESIDENT)


async def _stale(city: FakeCity, token: str) -> None:
    city.source.know(RESIDENT, 900, age=timedelta(days=36))


async def _future(city: FakeCity, token: str) -> None:
    city.source.know(RESIDENT, 900, age=timedelta(days=-2))


async def _bad_record(city: FakeCity, token: str) -> None:
    city.source.spoil(RESIDENT)


async def _out_of_range(city: FakeCity, token: str) -> None:
    city.source.know(RESIDENT, 1001)


async def _withdrawn(city: FakeCity, token: str) -> None:
    (view,) = city.authority.list(RESIDENT, 0)
    await city.authority.change(RESIDENT, view.listed.row.id, "withdraw")


async def _paused(city: FakeCity, token: str) -> None:
    (view,) = city.authority.list(RESIDENT, 0)
    await city.authority.change(RESIDENT, view.listed.row.id, "pause")


async def _replaced(city: FakeCity, token: str) -> None:
    (view,) = city.authority.list(RESIDENT, 0)
    terms = ConsentTerms(view.listed.row.operator, view.listed.row.scenario, 86_400, 3, bound=True)
    notice = city.authority.preview(terms).notice.digest
    await city.authority.replace(RESIDENT, view.listed.row.id, "renew", terms, notice)


async def _frozen(city: FakeCity, token: str) -> None:
    await city.desk.correct(RESIDENT, "freeze")


async def _locked(city: FakeCity, token: str) -> None:
    await city.erasures.erase(RESIDENT)


async def _erased(city: FakeCity, token: str) -> None:
    class Erase:
        def run(self, connection: object) -> None:
            city.store._writer_connection.execute("DELETE FROM consents")

    await city.store.submit(Erase())


CLASSES = [
    _below,
    _no_score,
    _stale,
    _future,
    _bad_record,
    _out_of_range,
    _withdrawn,
    _locked,
    _paused,
    _replaced,
    _frozen,
    _erased,
]
ALARMED = {"_stale": "stale_record", "_future": "record_from_the_future"} | dict.fromkeys(
    ("_bad_record", "_out_of_range"), "bad_record"
)
Happening = Callable[[FakeCity, str], Awaitable[None]]
each_class = pytest.mark.parametrize("happens", CLASSES, ids=lambda f: f.__name__.strip("_"))


@each_class
async def test_every_personal_reason_is_the_same_attestation(city: FakeCity, happens: Happening) -> None:
    granted = await city.grant()
    question = city.question(granted.token)
    entitled = await city.attester.answer(question)
    await happens(city, granted.token)
    other = city.question(granted.token)
    refused = await city.attester.answer(other)
    one, two = city.verified(entitled, question), city.verified(refused, other)
    assert (one.rung, two.rung) == (1, 0)
    assert len(entitled) == len(refused)
    same = {"id": "", "rung": 0, "request": None}
    assert asdict(replace(one, **same)) == asdict(replace(two, **same))  # type: ignore[arg-type]
    assert len(city.source.reads) == 2  # one read each, of whomsoever


@each_class
async def test_every_personal_reason_is_alarmed_inside_the_city_or_not_at_all(
    city: FakeCity, happens: Happening, capsys: pytest.CaptureFixture[str]
) -> None:
    granted = await city.grant()
    await happens(city, granted.token)
    await city.answer(granted.token)
    raised = {kind for kind, count in city.alarms.raised.items() if count}
    assert raised == ({ALARMED[happens.__name__]} if happens.__name__ in ALARMED else set())
    shown = "".join(capsys.readouterr())
    assert RESIDENT not in shown
    assert "900" not in shown
    assert "1001" not in shown


@each_class
async def test_every_personal_reason_is_unavailable_when_an_entitled_person_is(
    city: FakeCity, happens: Happening
) -> None:
    granted = await city.grant()
    await happens(city, granted.token)
    city.source.fault = OSError("scripted")
    with pytest.raises(OSError, match="scripted"):  # the scripted source is unguarded: the path reached it
        await city.answer(granted.token)


@each_class
async def test_every_personal_reason_spends_uses_alike(city: FakeCity, happens: Happening) -> None:
    granted = await city.grant(uses=2)
    await happens(city, granted.token)
    await city.answer(granted.token)
    await city.answer(granted.token)
    with refuses(Reason.USES_EXHAUSTED):
        await city.answer(granted.token)


@each_class
async def test_every_personal_reason_makes_a_retry_free(city: FakeCity, happens: Happening) -> None:
    granted = await city.grant(uses=1)
    await happens(city, granted.token)
    question = city.question(granted.token)
    first = await city.attester.answer(question)
    reads = len(city.source.reads)
    assert await city.attester.answer(question) == first
    assert len(city.source.reads) == reads


async def test_a_rung_0_answer_given_before_a_withdrawal_is_repeated_after_it(city: FakeCity) -> None:
    city.source.know(RESIDENT, 100)
    granted = await city.grant()
    question = city.question(granted.token)
    before = await city.attester.answer(question)
    await city.authority.change(RESIDENT, granted.id, "withdraw")
    assert await city.attester.answer(question) == before  # a new one would tell that something has changed


async def test_an_entitled_answer_is_not_repeated_after_a_withdrawal(city: FakeCity) -> None:
    granted = await city.grant()
    question = city.question(granted.token)
    before = await city.attester.answer(question)
    await city.authority.change(RESIDENT, granted.id, "withdraw")
    reads = len(city.source.reads)
    after = await city.attester.answer(question)
    assert city.verified(before, question).rung == 1
    assert city.verified(after, question).rung == 0
    assert len(after) == len(before)
    assert await city.attester.answer(question) == after
    assert len(city.source.reads) == reads  # as for an active one, nothing is read again


async def test_a_withdrawal_while_the_platform_is_read_wins(city: FakeCity) -> None:
    granted = await city.grant()
    gate = city.source.gate = asyncio.Event()
    question = city.question(granted.token)
    asking = asyncio.create_task(city.attester.answer(question))
    await city.source.asked(1)
    await city.authority.change(RESIDENT, granted.id, "withdraw")
    gate.set()
    assert city.verified(await asking, question).rung == 0


async def test_of_withdrawals_and_checks_at_once_no_check_after_the_withdrawal_is_entitled(city: FakeCity) -> None:
    granted = await city.grant(uses=50)
    order: list[str] = []

    async def ask() -> None:
        rung = (await city.answer(granted.token)).rung
        order.append(f"rung {rung}")

    async def withdraw() -> None:
        await city.authority.change(RESIDENT, granted.id, "withdraw")

    await asyncio.gather(*(ask() for _ in range(10)), withdraw(), *(ask() for _ in range(10)))
    journal = [row[0] for row in city.store._reader.execute("SELECT rung FROM attestations ORDER BY seq")]
    assert journal == sorted(journal, reverse=True)  # in the order of commits: entitled ones first, then none
    assert (await city.answer(granted.token)).rung == 0


@pytest.mark.parametrize("spoilt", ["gone", "bad", "stale"])
async def test_a_decoy_that_would_show_a_difference_is_alarmed(city: FakeCity, spoilt: str) -> None:
    concordance = city.reference.concordance(city.now_s)
    city.source.know(DECOY, 10)  # any level will do: what counts is the path
    await city.platform.check_decoy(concordance, city.now_s)
    assert city.alarms.raised["decoy_unusable"] == 0
    match spoilt:
        case "gone":
            city.source.forget(DECOY)
        case "bad":
            city.source.spoil(DECOY)
        case _:
            city.source.know(DECOY, 900, age=timedelta(days=36))
    await city.platform.check_decoy(concordance, city.now_s)
    assert city.alarms.raised["decoy_unusable"] == 1
