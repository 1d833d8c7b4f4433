"""The HTTP source: a city's JSON API, one bounded request per read (or a few, where the platform pages).

What is whose fault: no connection, 3xx, 4xx other than ``unknown_status``, 5xx, an answer too large, or not JSON, or
with an unknown result code is the platform's (PLATFORM_UNAVAILABLE); a good answer whose record does not hold what the
settings say is that record's (SOURCE_INVALID). NaN and the like are the fault of what they stand in: of the record, or,
in place of the result code, the list of items or the next page, of the platform. Elsewhere they are not looked at.
"""

from __future__ import annotations

import base64
import json
import logging
import ssl
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlsplit

import httpx2

from adapters.score import ScoreRecord
from adapters.sources.base import GuardedSource
from adapters.sources.http_settings import PLACEHOLDER, Auth, BasicAuth, BearerAuth, HeaderAuth, HttpSettings
from adapters.sources.port import bad_record, platform_fault
from gateway.domain.ids import ResidentRef

_ABSENT: Any = object()
_NO_VALUE: Any = object()
"""In place of NaN, an infinity, a number of too many digits, and a member that is given twice."""
_MAX_DIGITS: Final = 64
"""Of a whole number: no score, time, code or reference has more, and ``int`` takes long for many."""


class HttpSource(GuardedSource):
    """Scores from an HTTP JSON API. Raises ProblemsError when made, if a secret or a TLS file cannot be used."""

    kind: ClassVar[str] = "http"

    def __init__(self, settings: HttpSettings, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(settings, clock)
        # Both libraries log request addresses, which name residents, at INFO and DEBUG.
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._settings = settings
        self._credentials: dict[str, str] | None = _credentials(settings.auth)
        secure = urlsplit(settings.base_url).scheme == "https"
        self._client = httpx2.AsyncClient(
            # Without TLS a context that trusts nobody, which saves reading the system's roots.
            verify=settings.tls.context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            trust_env=False,  # a proxy from the environment would see the scores
            follow_redirects=False,
            timeout=settings.deadline_s,
            limits=httpx2.Limits(
                max_connections=settings.max_connections, max_keepalive_connections=settings.max_connections
            ),
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )

    async def _close(self) -> None:
        await self._client.aclose()

    async def _read(self, resident: ResidentRef) -> ScoreRecord | None:
        if self._settings.paging is not None:
            return await self._read_pages(resident)
        answer = await self._ask(resident, None)
        return None if answer is None else self._record(answer, resident)

    async def _read_pages(self, resident: ResidentRef) -> ScoreRecord | None:
        paging = self._settings.paging
        path = self._settings.fields.resident
        assert paging is not None
        assert path is not None  # checked by HttpSettings
        page: str | int | None = paging.first if paging.next is None else None
        for number in range(paging.max_pages):
            answer = await self._ask(resident, page)
            if answer is None:
                return None
            items = _at(answer, paging.items)
            if not isinstance(items, list):
                raise platform_fault("the answer holds no list of items")
            for item in items:
                if _names(_at(item, path), resident):
                    return self._record(item, resident)
            if paging.next is None:
                if not items:
                    return None
                page = paging.first + number + 1
            else:
                page = _at(answer, paging.next)
                if page in (None, "", _ABSENT):
                    return None
                if not isinstance(page, str | int):
                    raise platform_fault("the next page's value is neither text nor a number")
        raise bad_record("not found within the pages allowed")

    def _record(self, answer: object, resident: ResidentRef) -> ScoreRecord | None:
        fields = self._settings.fields
        if fields.resident is not None and not _names(_at(answer, fields.resident), resident):
            raise bad_record("the record is another resident's, or does not say whose it is")
        score = _at(answer, fields.score)
        if score is _ABSENT:
            raise bad_record("the record holds no member for the score")
        as_of = _at(answer, fields.as_of)
        return fields.record(score, None if as_of is _ABSENT else as_of)

    async def _ask(self, resident: ResidentRef, page: str | int | None) -> object | None:
        """One answer as JSON, or None where status or result code say that the resident is unknown."""
        settings = self._settings
        url = settings.base_url + settings.path.replace(PLACEHOLDER, quote(resident, safe=""))
        body = None if settings.body is None else _filled(settings.body, resident)
        if settings.paging is not None and page is not None:
            if body is None:
                mark = "&" if "?" in url else "?"
                url += f"{mark}{quote(settings.paging.param, safe='')}={quote(str(page), safe='')}"
            else:
                body[settings.paging.param] = page
        if self._credentials is None:
            self._credentials = _credentials(settings.auth)
        request = self._client.build_request(settings.method, url, headers=self._credentials, json=body)
        try:
            response = await self._client.send(request, stream=True)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            # A failure to connect comes before the request is sent, so its text can hold nothing about a person.
            raise platform_fault(f"cannot connect: {error}") from error
        try:
            return await self._answer(response)
        finally:
            await response.aclose()

    async def _answer(self, response: httpx2.Response) -> object | None:
        settings = self._settings
        if response.status_code in settings.unknown_status:
            return None
        if response.status_code in (401, 403):
            self._credentials = None  # read anew for the next request: the city may have changed them
        if response.status_code != 200:
            raise platform_fault(f"HTTP status {response.status_code}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise platform_fault("the answer is compressed, though that was not asked for")
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > settings.max_bytes:
                raise platform_fault("the answer is larger than max_bytes")
        answer = _parsed(bytes(content))
        if settings.result is not None:
            code = _at(answer, settings.result.path)
            if _is_one_of(code, settings.result.unknown):
                return None
            if not _is_one_of(code, settings.result.ok):
                raise platform_fault("the result code is neither one of ok nor one of unknown")
        return answer


def _credentials(auth: Auth) -> dict[str, str]:
    """The header that proves who asks. Raises ProblemsError (CONFIG_INVALID)."""
    match auth:
        case BearerAuth():
            return {"Authorization": f"Bearer {auth.token.read()}"}
        case HeaderAuth():
            return {auth.name: auth.value.read()}
        case BasicAuth():
            pair = f"{auth.user}:{auth.password.read()}".encode()
            return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}
    return {}


def _at(value: object, path: str) -> Any:
    """What lies at a dotted path; None where a member on the way is null, ``_ABSENT`` where one is missing."""
    for name in path.split("."):
        if value is None:
            return None
        if not isinstance(value, dict) or name not in value:
            return _ABSENT
        value = value[name]
    return value


def _is_one_of(code: object, values: list[str | int]) -> bool:
    """Whether a result code is listed: ``0`` and ``"0"`` are different codes, and ``true`` is not 1."""
    return any(type(code) is type(value) and code == value for value in values)


def _filled(template: Any, resident: str) -> Any:
    """The body with every ``{resident}`` replaced; the template itself is left as it is."""
    match template:
        case dict():
            return {name: _filled(item, resident) for name, item in template.items()}
        case list():
            return [_filled(item, resident) for item in template]
    return resident if template == PLACEHOLDER else template


def _names(value: object, resident: ResidentRef) -> bool:
    """Whether a record's own reference, which may be a number, is the resident's."""
    return isinstance(value, str | int | float) and str(value) == resident


def _parsed(content: bytes) -> object:
    """The JSON document (RFC 8259) of an answer, with ``_NO_VALUE`` where nonsense stands in place of a value.

    So that the nonsense in one resident's record is not the platform's fault, nor that of others on the same page.
    """
    try:
        return json.loads(
            content, object_pairs_hook=_members, parse_int=_whole_number, parse_constant=lambda _name: _NO_VALUE
        )
    except (ValueError, RecursionError) as error:
        raise platform_fault("the answer is not a JSON document") from error


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        times = Counter(name for name, _ in pairs)
        members |= {name: _NO_VALUE for name in members if times[name] > 1}
    return members


def _whole_number(text: str) -> object:
    return int(text) if len(text) <= _MAX_DIGITS else _NO_VALUE
