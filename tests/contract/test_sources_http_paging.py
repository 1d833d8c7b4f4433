"""HTTP platforms whose query returns pages of a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from adapters.score import ScoreRecord
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason, TiergateError
from tests.fakes.city_platforms import answer, opened, running

LISTED = [{"no": index, "score": index * 10, "at": 1795176000000} for index in range(1, 8)]
PAGE_FIELDS = {"resident": "no", "score": "score", "as_of": "at", "as_of_format": "epoch_ms"}


def counted_pages() -> Starlette:
    async def query(request: Request) -> JSONResponse:
        start = (int(request.query_params["page"]) - 1) * 3
        return JSONResponse({"code": 0, "list": LISTED[start : start + 3]})

    return Starlette(routes=[Route("/api/v1/residents/{ref}/score", query)])


def linked_pages(bodies: list[Any]) -> Starlette:
    async def query(request: Request) -> JSONResponse:
        body = await request.json()
        bodies.append(body)
        start = int(body.get("cursor", "0"))
        following = str(start + 3) if start + 3 < len(LISTED) else None
        return JSONResponse({"code": 0, "list": LISTED[start : start + 3], "next": following})

    return Starlette(routes=[Route("/query", query, methods=["POST"])])


@pytest.mark.parametrize(("resident", "found"), [("1", True), ("7", True), ("99", False)])
async def test_counted_pages(tmp_path: Path, resident: str, found: bool) -> None:
    paging = {"items": "list", "param": "page"}
    async with (
        running(tmp_path, counted_pages()) as platform,
        opened(platform, paging=paging, fields=PAGE_FIELDS) as source,
    ):
        record = await source.read(ResidentRef(resident))
    assert isinstance(record, ScoreRecord) == found


@pytest.mark.parametrize(("resident", "found"), [("1", True), ("7", True), ("99", False)])
async def test_linked_pages_by_post(tmp_path: Path, resident: str, found: bool) -> None:
    bodies: list[Any] = []
    options = {
        "paging": {"items": "list", "param": "cursor", "next": "next"},
        "fields": PAGE_FIELDS,
        "method": "POST",
        "path": "/query",
        "body": {"ids": ["{resident}"], "type": "{resident} is replaced only where it stands alone"},
    }
    async with running(tmp_path, linked_pages(bodies)) as platform, opened(platform, **options) as source:
        record = await source.read(ResidentRef(resident))
    assert isinstance(record, ScoreRecord) == found
    assert bodies[0] == {"ids": [resident], "type": "{resident} is replaced only where it stands alone"}
    assert [body.get("cursor") for body in bodies] == ([None] if resident == "1" else [None, "3", "6"])


@pytest.mark.parametrize("nonsense", [b"NaN", b"9" * 5000, b'1, "score": 2', b'{"x": 1, "x": 2}'])
async def test_nonsense_in_one_item_is_that_residents_fault_alone(tmp_path: Path, nonsense: bytes) -> None:
    item = b'{"no": %d, "score": %s, "at": 1795176000000}'
    page = b'{"code": 0, "list": [' + item % (1, nonsense) + b", " + item % (2, b"20") + b"]}"
    paging = {"items": "list", "param": "page"}
    async with (
        running(tmp_path, answer(page)) as platform,
        opened(platform, paging=paging, fields=PAGE_FIELDS) as source,
    ):
        with pytest.raises(TiergateError) as caught:
            await source.read(ResidentRef("1"))
        assert caught.value.reason is Reason.SOURCE_INVALID
        assert isinstance(await source.read(ResidentRef("2")), ScoreRecord)


@pytest.mark.parametrize("page", [b'{"code": 0, "list": [], "list": []}', b'{"code": 0, "list": [], "next": NaN}'])
async def test_nonsense_in_place_of_list_or_next_page_is_the_platforms(tmp_path: Path, page: bytes) -> None:
    paging = {"items": "list", "param": "page", "next": "next"}
    async with (
        running(tmp_path, answer(page)) as platform,
        opened(platform, paging=paging, fields=PAGE_FIELDS) as source,
    ):
        with pytest.raises(TiergateError) as caught:
            await source.read(ResidentRef("1"))
        assert caught.value.reason is Reason.PLATFORM_UNAVAILABLE


async def test_pages_end_at_the_bound(tmp_path: Path) -> None:
    paging = {"items": "list", "param": "page", "max_pages": 2}
    async with (
        running(tmp_path, counted_pages()) as platform,
        opened(platform, paging=paging, fields=PAGE_FIELDS) as source,
    ):
        with pytest.raises(TiergateError) as caught:
            await source.read(ResidentRef("99"))
    assert caught.value.reason is Reason.SOURCE_INVALID


@pytest.mark.parametrize("value", [{"code": 0}, {"code": 0, "list": {}}, {"code": 0, "list": [], "next": [1]}])
async def test_an_answer_that_is_no_page_is_the_platforms_fault(tmp_path: Path, value: Any) -> None:
    options = {"paging": {"items": "list", "param": "cursor", "next": "next"}, "fields": PAGE_FIELDS}
    async with running(tmp_path, answer(value)) as platform, opened(platform, **options) as source:
        with pytest.raises(TiergateError) as caught:
            await source.read(ResidentRef("1"))
    assert caught.value.reason is Reason.PLATFORM_UNAVAILABLE
