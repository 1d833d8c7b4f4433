"""Asking a witness over HTTP: one bounded request, one bounded answer, no proxy, no redirect."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

import httpx2

from gateway.consentlog.witness import Answer
from gateway.errors import Problem, ProblemsError, Reason, TiergateError

MAX_ANSWER_BYTES = 16 * 1024


class WitnessClient:
    """One witness, at the URL under which it takes ``add-checkpoint``."""

    def __init__(self, url: str, *, deadline_s: float, ca: Path | None = None) -> None:
        """``ca``: authorities of an ``https`` witness (PEM), in place of the system's. Raises CONFIG_INVALID."""
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            # without TLS a context that trusts nobody, which saves reading the system's roots
            secure = url.startswith("https:")
            context = ssl.create_default_context(cafile=ca) if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        except (OSError, ssl.SSLError) as error:
            raise ProblemsError(
                Reason.CONFIG_INVALID, [Problem(str(ca), "", "is no PEM file of authorities")]
            ) from error
        self._url = url.rstrip("/")
        self._deadline_s = deadline_s
        self._client = httpx2.AsyncClient(
            verify=context, trust_env=False, follow_redirects=False, timeout=deadline_s,
            headers={"Accept-Encoding": "identity"},
        )  # fmt: skip

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def add_checkpoint(self, request: bytes) -> Answer:
        """See ``WitnessPort`` of the collector."""
        return await self._ask("POST", "add-checkpoint", request)

    async def cosigned(self, log_id: str) -> Answer:
        """The newest checkpoint of a log that the witness has cosigned. Raises PEER_UNREACHABLE."""
        return await self._ask("GET", f"{log_id}/checkpoint", None)

    async def _ask(self, method: str, path: str, content: bytes | None) -> Answer:
        try:
            async with (
                asyncio.timeout(self._deadline_s),
                self._client.stream(method, f"{self._url}/{path}", content=content) as response,
            ):
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise TiergateError(Reason.PEER_UNREACHABLE, "the witness's answer is too large")
                return Answer(response.status_code, bytes(body), response.headers.get("content-type", ""))
        except (httpx2.HTTPError, TimeoutError) as error:
            raise TiergateError(Reason.PEER_UNREACHABLE, f"witness: {type(error).__name__}") from error
