"""Settings of the HTTP source: address, authentication, TLS, result codes, request body, paging."""

from __future__ import annotations

import ipaddress
import ssl
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from adapters.sources.options import Secret, SourceOptions, Strict
from gateway.errors import Problem, ProblemsError, Reason
from gateway.settings import FilePath

PLACEHOLDER: Final = "{resident}"


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address is this machine."""
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an https:// address")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must hold no credentials, query or fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("http:// is accepted on the loopback address alone: scores would cross the network readable")
    return text.rstrip("/")


def _path(text: str) -> str:
    if not text.startswith("/") or "#" in text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must start with / and hold ASCII without spaces or #")
    return text


class NoAuth(Strict):
    """No credentials in the request (a client certificate may still be given under ``tls``)."""

    kind: Literal["none"] = "none"


class BearerAuth(Strict):
    """``Authorization: Bearer <token>`` (RFC 6750)."""

    kind: Literal["bearer"]
    token: Secret


class HeaderAuth(Strict):
    """A secret in a header of the platform's own, such as ``X-Api-Key``."""

    kind: Literal["header"]
    name: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$")
    value: Secret


class BasicAuth(Strict):
    """User name and password (RFC 7617)."""

    kind: Literal["basic"]
    user: str = Field(min_length=1, max_length=128, pattern=r"^[^:]+$")
    password: Secret


Auth = Annotated[NoAuth | BearerAuth | HeaderAuth | BasicAuth, Field(discriminator="kind")]


class Tls(Strict):
    """The server is always verified: against ``ca_file`` alone where given, else against the system's roots.

    ``cert_file`` and ``key_file`` (PEM): the client certificate for mutual TLS.
    """

    ca_file: FilePath | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self

    def context(self) -> ssl.SSLContext:
        """The client's TLS context (1.2 at least). Raises ProblemsError (CERTIFICATE_INVALID)."""
        try:
            context = ssl.create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.cert_file is not None:
                context.load_cert_chain(str(self.cert_file), None if self.key_file is None else str(self.key_file))
        except OSError as error:  # ssl.SSLError is one
            message = f"a TLS file cannot be used ({type(error).__name__}: {error.strerror or error})"
            problem = Problem("source settings", "tls", message, "check ca_file, cert_file and key_file (PEM)")
            raise ProblemsError(Reason.CERTIFICATE_INVALID, [problem]) from error
        return context


class ResultCode(Strict):
    """What the platform's own result code means, for platforms that answer 200 to everything.

    ``path``: where the code is. ``ok``: values of a good answer. ``unknown``: values that mean "no such resident" or
    "no score". Any other value is a fault of the platform.
    """

    path: str = Field(min_length=1)
    ok: list[str | int] = Field(min_length=1)
    unknown: list[str | int] = Field(default=[])


class Paging(Strict):
    """For platforms whose query returns pages of a list; the record is the item whose ``fields.resident`` matches.

    ``items``: where the list is. ``param``: the query parameter (GET) or member of the body (POST) that asks for a
    page. Without ``next``, pages are counted from ``first`` until an empty one; with it, the value found at ``next`` is
    sent on until it is null, empty or absent.
    """

    items: str = Field(min_length=1)
    param: str = Field(min_length=1, max_length=64)
    first: int = Field(default=1, ge=0, le=1)
    next: str | None = Field(default=None, min_length=1)
    max_pages: int = Field(default=5, ge=1, le=50)


class HttpSettings(SourceOptions):
    """A city's HTTP JSON API.

    ``path`` and ``body`` hold ``{resident}``, which is percent-encoded in the path; in the body (POST) a string that is
    exactly ``{resident}`` is replaced. ``unknown_status``: HTTP statuses that mean "no such resident"; empty unless the
    city says so, for a wrong address answers 404 too, and would make everybody a person without a score.
    ``max_bytes``: of one answer.
    """

    kind: Literal["http"]
    base_url: Annotated[str, AfterValidator(_base_url)]
    path: Annotated[str, AfterValidator(_path)]
    method: Literal["GET", "POST"] = "GET"
    body: dict[str, Any] | None = None
    auth: Auth = NoAuth()
    tls: Tls = Tls()
    unknown_status: list[Annotated[int, Field(ge=400, le=499)]] = Field(default=[])
    result: ResultCode | None = None
    paging: Paging | None = None
    max_bytes: int = Field(default=65_536, ge=64, le=16_777_216)
    max_connections: int = Field(default=16, ge=1, le=256)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.body is not None) != (self.method == "POST"):
            raise ValueError("body belongs to method POST, and POST needs one")
        if PLACEHOLDER not in self.path and not (self.body is not None and _mentions(self.body)):
            raise ValueError("the request must name the resident: put {resident} in path or body")
        if self.paging is not None and self.fields.resident is None:
            raise ValueError("paging needs fields.resident, to find the item")
        if set(self.unknown_status) & {401, 403, 407, 408, 429}:
            raise ValueError("401, 403, 407, 408 and 429 are faults of the access, not of the resident")
        return self


def _mentions(value: object) -> bool:
    match value:
        case dict():
            return any(_mentions(item) for item in value.values())
        case list():
            return any(_mentions(item) for item in value)
    return value == PLACEHOLDER
