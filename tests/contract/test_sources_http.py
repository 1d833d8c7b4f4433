"""What only the HTTP source can meet: statuses, bodies, credentials, TLS, result codes, pages."""

from __future__ import annotations

import gzip
import json
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.score import ScoreRecord
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason, TiergateError
from tests.fakes.city_platforms import TOKEN, TOP, HttpPlatform, answer, opened, running
from tests.fakes.platform_ca import PlatformCa

SOMEBODY = ResidentRef(TOP.ref)


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[HttpPlatform]:
    async with running(tmp_path) as platform:
        yield platform


def good(**changes: Any) -> dict[str, Any]:
    data = {"residentNo": TOP.ref, "score": 812, "evalTime": "2026-11-20 08:00:00"} | changes
    return {"code": 0, "data": {name: value for name, value in data.items() if value is not ...}}


async def broken_off(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    await send({"type": "http.response.body", "body": b'{"code": 0', "more_body": False})


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})  # chunked: no length is announced
    for _ in range(64):
        await send({"type": "http.response.body", "body": b" " * 65_536, "more_body": True})
    await send({"type": "http.response.body", "body": b"{}"})


PLATFORM_FAULTS: dict[str, ASGIApp] = {
    "500": answer(good(), 500),
    "503": answer(b"", 503),
    "401": answer(b"", 401),
    "403": answer(b"", 403),
    "404": answer(b"", 404),
    "429": answer(b"", 429),
    "204": Response(status_code=204),
    "206": answer(good(), 206),
    "redirect": answer(b"", 302, {"location": "/elsewhere"}),
    "too large": large,
    "announced too large": answer(b" " * 70_000),
    "broken off": broken_off,
    "empty": answer(b""),
    "web page": answer(b"<html>log in</html>"),
    "not UTF-8": answer(b'{"code": "\xff"}'),
    "cut JSON": answer(json.dumps(good()).encode()[:-3]),
    "two documents": answer(b"{}{}"),
    "cut JSON with NaN": answer(b'{"code": 0, "data": {"score": NaN'),
    "cut JSON with a repeated member": answer(b'{"code": 0, "data": {"score": 1, "score": 1}'),
    "deeply nested": answer(b"[" * 60_000),
    "code NaN": answer(b'{"code": NaN, "data": null}'),
    "code given twice": answer(b'{"code": 0, "code": 0, "data": null}'),
    "code of 5000 digits": answer(b'{"code": ' + b"9" * 5000 + b"}"),
    "compressed": answer(gzip.compress(json.dumps(good()).encode()), 200, {"content-encoding": "gzip"}),
    "list": answer([good()]),
    "no code": answer({"data": good()["data"]}),
    "unknown code": answer({**good(), "code": 5000}),
    "code of another type": answer({**good(), "code": "0"}),
    "code true for 1": answer({**good(), "code": True}),
    "code null": answer({**good(), "code": None}),
}


@pytest.mark.parametrize("name", PLATFORM_FAULTS)
async def test_a_fault_of_the_platform_decides_on_nobody_and_passes(platform: HttpPlatform, name: str) -> None:
    async with opened(platform) as source:
        platform.app.fault = PLATFORM_FAULTS[name]
        with pytest.raises(TiergateError) as caught:
            await source.read(SOMEBODY)
        assert caught.value.reason is Reason.PLATFORM_UNAVAILABLE
        assert TOP.ref not in caught.value.detail
        with pytest.raises(TiergateError):
            await source.ping()
        platform.app.fault = None
        assert isinstance(await source.read(SOMEBODY), ScoreRecord)


def written(**members: str) -> bytes:
    """A good answer in which members of the record are written as given, whatever ``json`` would write."""
    text = json.dumps(good())
    for name, value in members.items():
        text = text.replace(f'"{name}": {json.dumps(good()["data"][name])}', f'"{name}": {value}')
    return text.encode()


BAD_RECORDS: dict[str, Any] = {
    "score NaN": written(score="NaN"),
    "score infinite": written(score="-Infinity"),
    "score of 5000 digits": written(score="9" * 5000),
    "score given twice": written(score='812, "score": 812'),
    "score given twice in a list": written(score='[{"x": 1, "x": 1}]'),
    "score beyond any float": written(score="1e999"),
    "time NaN": written(evalTime="NaN"),
    "time of 5000 digits": written(evalTime="9" * 5000),
    "time given twice": written(evalTime='"2026-11-20 08:00:00", "evalTime": "2026-11-20 08:00:00"'),
    "whose it is NaN": written(residentNo="NaN"),
    "whose it is of 5000 digits": written(residentNo="9" * 5000),
    "whose it is a list of lists": written(residentNo="[" * 900 + "]" * 900),
    "data NaN": b'{"code": 0, "data": NaN}',
    "data given twice": json.dumps(good()).replace('"data"', '"data": {}, "data"').encode(),
    "no score member": good(score=...),
    "score is text": good(score="excellent"),
    "score is a fraction": good(score=812.5),
    "score is true": good(score=True),
    "score is a list": good(score=[812]),
    "score is huge": good(score=10**16),
    "no time member": good(evalTime=...),
    "time null": good(evalTime=None),
    "time of another format": good(evalTime="20.11.2026"),
    "somebody else's": good(residentNo="synthetic-fz-0002"),
    "nobody's": good(residentNo=...),
    "data is text": {"code": 0, "data": "812"},
    "no data": {"code": 0},
}


@pytest.mark.parametrize("name", BAD_RECORDS)
async def test_a_bad_record_in_a_good_answer_is_that_records_fault(platform: HttpPlatform, name: str) -> None:
    async with opened(platform) as source:
        platform.app.fault = answer(BAD_RECORDS[name])
        with pytest.raises(TiergateError) as caught:
            await source.read(SOMEBODY)
        assert caught.value.reason is Reason.SOURCE_INVALID
        assert "812" not in caught.value.detail
        assert caught.value.__context__ is None
        await source.ping()


@pytest.mark.parametrize("more", ["NaN", "9" * 5000, '1, "more": 2', '{"x": 1, "x": 2}'])
async def test_nonsense_in_a_member_that_nobody_reads_costs_nobody_anything(platform: HttpPlatform, more: str) -> None:
    platform.app.fault = answer(written(score=f'812, "more": {more}'))
    async with opened(platform) as source:
        assert isinstance(await source.read(SOMEBODY), ScoreRecord)


async def test_bad_records_of_two_residents_do_not_close_the_city(platform: HttpPlatform) -> None:
    async with opened(platform, breaker_failures=1) as source:
        platform.app.fault = answer(written(score="NaN"))
        for resident in (TOP.ref, "synthetic-fz-0002") * 3:
            with pytest.raises(TiergateError, match="SOURCE_INVALID"):
                await source.read(ResidentRef(resident))
        platform.app.fault = None
        assert isinstance(await source.read(SOMEBODY), ScoreRecord)


@pytest.mark.parametrize("value", [good(score=None), good(score=""), good(score=None, evalTime=None)])
async def test_no_score(platform: HttpPlatform, value: Any) -> None:
    platform.app.fault = answer(value)
    async with opened(platform) as source:
        assert await source.read(SOMEBODY) is None


async def test_a_status_means_unknown_only_where_the_city_says_so(platform: HttpPlatform) -> None:
    platform.app.fault = answer(b"", 404)
    async with opened(platform, unknown_status=[404]) as source:
        assert await source.read(SOMEBODY) is None


async def test_a_new_token_is_read_after_a_refusal(platform: HttpPlatform) -> None:
    (platform.folder / "token").write_text("an old token\n")
    async with opened(platform) as source:
        with pytest.raises(TiergateError, match="PLATFORM_UNAVAILABLE"):
            await source.ping()
        (platform.folder / "token").write_text(TOKEN + "\n")
        assert isinstance(await source.read(SOMEBODY), ScoreRecord)


@pytest.mark.parametrize(
    ("auth", "header", "expected"),
    [
        ({"kind": "none"}, "authorization", None),
        ({"kind": "bearer", "token": {"file": "token"}}, "authorization", f"Bearer {TOKEN}"),
        ({"kind": "header", "name": "X-Api-Key", "value": {"file": "token"}}, "x-api-key", TOKEN),
        (
            {"kind": "basic", "user": "Aladdin", "password": {"file": "password"}},  # the example of RFC 7617
            "authorization",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
    ],
)
async def test_every_kind_of_credentials(tmp_path: Path, auth: dict[str, Any], header: str, expected: object) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(Request(scope).headers.get(header))
        await answer(good())(scope, receive, send)

    (tmp_path / "password").write_text("open sesame\n")
    async with running(tmp_path, app) as platform, opened(platform, auth=auth) as source:
        await source.read(SOMEBODY)
    assert seen == [expected]


async def test_the_environments_proxy_is_not_used(platform: HttpPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with opened(platform) as source:
        assert isinstance(await source.read(SOMEBODY), ScoreRecord)


async def test_nothing_of_a_resident_is_logged(platform: HttpPlatform, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with opened(platform) as source:
        await source.read(SOMEBODY)
        platform.app.fault = answer(b"", 500)
        with pytest.raises(TiergateError):
            await source.read(SOMEBODY)
    assert TOP.ref not in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("client", "server_ca", "address", "reads"),
    [
        ({"ca_file": "city.pem"}, "city", "127.0.0.1", True),
        ({"ca_file": "other.pem"}, "city", "127.0.0.1", False),
        ({}, "city", "127.0.0.1", False),
        ({"ca_file": "city.pem"}, "city", "192.0.2.1", False),
    ],
    ids=["right", "another authority", "system's roots", "another address"],
)
async def test_the_server_is_verified(
    tmp_path: Path, client: dict[str, str], server_ca: str, address: str, reads: bool
) -> None:
    authorities = {name: PlatformCa(tmp_path, name) for name in ("city", "other")}
    cert, key = authorities[server_ca].issue("server", address)
    tls = {"ssl_certfile": cert, "ssl_keyfile": key}
    async with running(tmp_path, None, tls) as platform, opened(platform, tls=client) as source:
        if reads:
            assert isinstance(await source.read(SOMEBODY), ScoreRecord)
        else:
            with pytest.raises(TiergateError, match="PLATFORM_UNAVAILABLE") as caught:
                await source.read(SOMEBODY)
            assert "certificate verify failed" in caught.value.detail.lower()


@pytest.mark.parametrize("presented", ["adapter", "stranger", None])
async def test_mutual_tls(tmp_path: Path, presented: str | None) -> None:
    city, other = PlatformCa(tmp_path, "city"), PlatformCa(tmp_path, "other")
    cert, key = city.issue("server")
    city.issue("adapter")
    other.issue("stranger")
    tls = {
        "ssl_certfile": cert,
        "ssl_keyfile": key,
        "ssl_ca_certs": str(city.file),
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
    }
    client = {"ca_file": "city.pem"}
    if presented is not None:
        client |= {"cert_file": f"{presented}.pem", "key_file": f"{presented}.key"}
    async with running(tmp_path, None, tls) as platform, opened(platform, tls=client) as source:
        if presented == "adapter":
            assert isinstance(await source.read(SOMEBODY), ScoreRecord)
        else:
            with pytest.raises(TiergateError, match="PLATFORM_UNAVAILABLE"):
                await source.read(SOMEBODY)
