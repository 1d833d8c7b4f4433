"""One-time codes at their home city: issued once, redeemed once, and one error for whatever cannot be redeemed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.attest import AnswerSettings
from adapters.handles import IssuedHandle
from adapters.question import Question
from adapters.store.attestations import Tidy
from gateway.domain.handle import HandleForm, read_typed
from gateway.domain.ids import CityId, OperatorId
from gateway.errors import Reason, TiergateError
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.city_peers import DECOY
from tests.fakes.device import Device
from tests.fakes.network import FUZHOU_METRO, PARKING, TRANSIT, XIAMEN, XIAMEN_PARKING, Network
from tests.unit.adapters.conftest import refuses

UNKNOWN = "fuzhou-abcdefghjkmn"
AT_PARKING: dict[str, Any] = {"operator": XIAMEN_PARKING, "scenario": PARKING}
Spoil = Callable[[FakeCity, IssuedHandle], Awaitable[dict[str, Any]]]


def _asks(city: FakeCity, handle: str, **changes: Any) -> Question:
    return city.question("", handle=handle, **changes)


async def _redeem(city: FakeCity, handle: str, **changes: Any) -> tuple[int, str]:
    """Rung and token, verified as the gateway does."""
    question = _asks(city, handle, **changes)
    answer = await city.presentations.answer(question)
    token = replace(question, token=answer.redeemed_token)
    return city.verified(answer.attestation, token).rung, answer.redeemed_token


def _misses(city: FakeCity) -> int:
    return len(city.store._reader.execute("SELECT operator FROM misses").fetchall())


@pytest.mark.parametrize("form", ["typed", "qr"])
async def test_a_code_is_redeemed_for_token_and_attestation(city: FakeCity, form: HandleForm) -> None:
    issued = await city.issue(form=form)
    assert read_typed(issued.handle.text) == issued.handle
    assert issued.handle.city == city.id
    rung, token = await _redeem(city, issued.handle.text)
    assert rung == 1
    claims = city.network.trusted().consents.verify(token, operator=OperatorId("xiamen-library"), now_s=city.now_s)
    assert (claims.id, claims.uses, claims.bound) == (issued.consent_id, 1, "none")
    (view,) = city.authority.list(RESIDENT, 0)
    assert (view.listed.row.id, view.state) == (issued.consent_id, "spent")
    assert city.source.reads == [RESIDENT]
    assert _misses(city) == 0


async def test_it_lives_ten_minutes_or_as_long_as_its_consent(city: FakeCity) -> None:
    assert (await city.issue()).handle_expires_at == city.now_s + 600
    short = await city.issue(lifetime_s=60)
    assert short.handle_expires_at == city.now_s + 60
    assert short.expires_at >= short.handle_expires_at


@pytest.mark.parametrize(
    "terms",
    [{"uses": 2}, {"uses": 0, "bound": True}, {"device_key": Device().jwk}],
    ids=["two uses", "the operator's key", "a device's key"],
)
async def test_a_code_is_for_one_use_and_bound_to_nothing(city: FakeCity, terms: dict[str, Any]) -> None:
    with refuses(Reason.CONSENT_LIMITS):
        await city.issue(**terms)
    assert city.authority.list(RESIDENT, 0) == []


async def test_neither_code_nor_token_stands_in_the_store(city: FakeCity) -> None:
    issued = await city.issue()
    rows = b"".join(file.read_bytes() for file in sorted(city.folder.glob("city.db*")))
    assert issued.handle.code.encode() not in rows
    assert issued.handle.text.encode() not in rows
    _, token = await _redeem(city, issued.handle.text)
    rows = b"".join(file.read_bytes() for file in sorted(city.folder.glob("city.db*")))
    for secret in (issued.handle.code, token, token.split(".")[1]):
        assert secret.encode() not in rows


async def test_a_code_is_redeemed_once(city: FakeCity) -> None:
    issued = await city.issue()
    await _redeem(city, issued.handle.text)
    with refuses(Reason.HANDLE_INVALID):
        await _redeem(city, issued.handle.text)


async def test_of_many_at_once_exactly_one_redeems_it(city: FakeCity) -> None:
    issued = await city.issue()
    questions = [_asks(city, issued.handle.text) for _ in range(40)]
    results = await asyncio.gather(*map(city.presentations.answer, questions), return_exceptions=True)
    reasons = Counter(item.reason if isinstance(item, TiergateError) else "redeemed" for item in results)
    assert reasons == {"redeemed": 1, Reason.HANDLE_INVALID: 39}
    (view,) = city.authority.list(RESIDENT, 0)
    assert view.listed.life.spent == 1


async def test_a_retry_redeems_nothing_twice_and_is_answered_as_before(city: FakeCity) -> None:
    issued = await city.issue()
    question = _asks(city, issued.handle.text)
    first = await city.presentations.answer(question)
    assert await city.presentations.answer(question) == first
    city.clock.advance(301)  # the attestation has ended, the code has not
    again = await city.presentations.answer(question)
    assert again.redeemed_token == first.redeemed_token
    city.clock.advance(298)
    assert await city.presentations.answer(question) == again
    city.clock.advance(4)  # the code has ended, too
    with refuses(Reason.REQUEST_ENDED):
        await city.presentations.answer(question)
    (view,) = city.authority.list(RESIDENT, 0)
    assert view.listed.life.spent == 1
    assert _misses(city) == 0


async def test_a_retry_after_a_crash_before_the_reply_is_answered_as_before(network: Network, tmp_path: Path) -> None:
    async with FakeCity(network, tmp_path) as before:
        before.source.know(RESIDENT, 900)
        question = _asks(before, (await before.issue()).handle.text)
        lost = await before.presentations.answer(question)
    async with FakeCity(network, tmp_path) as after:
        assert await after.presentations.answer(question) == lost


async def test_a_platform_that_cannot_answer_uses_no_code_up(city: FakeCity) -> None:
    issued = await city.issue()
    city.source.fault = TiergateError(Reason.PLATFORM_UNAVAILABLE, "scripted", retry_after_s=5)
    with refuses(Reason.PLATFORM_UNAVAILABLE):
        await _redeem(city, issued.handle.text)
    city.source.fault = None
    assert (await _redeem(city, issued.handle.text))[0] == 1


async def test_a_request_id_of_something_else_is_a_conflict_and_redeems_nothing(city: FakeCity) -> None:
    issued, granted = await city.issue(), await city.grant()
    question = city.question(granted.token)
    await city.presentations.answer(question)
    with refuses(Reason.REQUEST_CONFLICT):
        await _redeem(city, issued.handle.text, request_id=question.request_id)
    assert (await _redeem(city, issued.handle.text))[0] == 1


# -- what cannot be redeemed


async def _unknown(city: FakeCity, issued: IssuedHandle) -> dict[str, Any]:
    return {"handle": UNKNOWN}


async def _expired(city: FakeCity, issued: IssuedHandle) -> dict[str, Any]:
    city.clock.advance(600)
    return {}


async def _used(city: FakeCity, issued: IssuedHandle) -> dict[str, Any]:
    await _redeem(city, issued.handle.text)
    return {}


async def _other_operator(city: FakeCity, issued: IssuedHandle) -> dict[str, Any]:
    return AT_PARKING


async def _other_scenario(city: FakeCity, issued: IssuedHandle) -> dict[str, Any]:
    return {"scenario": PARKING}


async def _other_city(city: FakeCity, issued: IssuedHandle) -> dict[str, Any]:
    return {"handle": f"xiamen-{issued.handle.code}"}


async def _mistyped(city: FakeCity, issued: IssuedHandle) -> dict[str, Any]:
    return {"handle": issued.handle.text[:-1]}


async def _forgotten(city: FakeCity, issued: IssuedHandle) -> dict[str, Any]:
    city.clock.advance(86_400)
    await city.store.submit(Tidy(city.now_s))
    assert not city.store._reader.execute("SELECT 1 FROM handles").fetchall()
    return {}


SPOILT = [_unknown, _expired, _used, _other_operator, _other_scenario, _other_city, _mistyped, _forgotten]


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda f: f.__name__.strip("_"))
async def test_whatever_cannot_be_redeemed_is_one_error_by_one_path(
    city: FakeCity, spoil: Spoil, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await city.issue()
    changes = await spoil(city, issued)
    reads, written = list(city.source.reads), []
    submit = city.store.submit

    async def watched(operation: Any) -> Any:
        result = await submit(operation)
        written.append((type(operation).__name__, result))
        return result

    monkeypatch.setattr(city.store, "submit", watched)
    with pytest.raises(TiergateError) as caught:
        await _redeem(city, **{"handle": issued.handle.text, **changes})
    error = caught.value
    assert (error.reason, error.detail, error.retry_after_s) == (Reason.HANDLE_INVALID, "", None)
    assert written == [("Redeem", None)]  # the same single step, which counts a miss
    assert city.source.reads == reads
    operator = changes.get("operator", "xiamen-library")
    assert city.store._reader.execute("SELECT operator FROM misses").fetchall() == [(operator,)]


async def test_another_city_redeems_nothing_of_this_one(network: Network, tmp_path: Path) -> None:
    (tmp_path / "fuzhou").mkdir()
    (tmp_path / "xiamen").mkdir()
    async with (
        FakeCity(network, tmp_path / "fuzhou") as fuzhou,
        FakeCity(network, tmp_path / "xiamen", city=CityId(XIAMEN)) as xiamen,
    ):
        issued = await fuzhou.issue()
        for handle in (issued.handle.text, f"xiamen-{issued.handle.code}"):
            with refuses(Reason.HANDLE_INVALID):
                await _redeem(xiamen, handle)
        own = await xiamen.issue(operator=FUZHOU_METRO, scenario=TRANSIT)
        assert own.handle.city == XIAMEN


async def test_a_withdrawn_consents_code_takes_the_path_of_a_live_one(city: FakeCity) -> None:
    issued = await city.issue()
    await city.authority.change(RESIDENT, issued.consent_id, "withdraw")
    rung, _ = await _redeem(city, issued.handle.text)
    assert rung == 0
    assert city.source.reads == [DECOY]
    with refuses(Reason.HANDLE_INVALID):
        await _redeem(city, issued.handle.text)


async def test_refusals_leave_on_the_grid(network: Network, tmp_path: Path) -> None:
    async with FakeCity(network, tmp_path, settings=AnswerSettings(grid_s=0.5)) as city:
        with refuses(Reason.HANDLE_INVALID):
            await _redeem(city, UNKNOWN)
        assert city.sleeps == [0.5]


async def test_a_proof_beside_a_handle_is_not_expected(city: FakeCity) -> None:
    issued = await city.issue()
    with refuses(Reason.PROOF_NOT_EXPECTED):
        await city.presentations.answer(_asks(city, issued.handle.text, proof="x" * 40))
    assert (await _redeem(city, issued.handle.text))[0] == 1
