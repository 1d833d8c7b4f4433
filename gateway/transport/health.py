"""``grpc.health.v1.Health`` (the gRPC health checking protocol), behind the same steps as every other service.

The overall health is that of the empty name; services that are not named in the constructor are NOT_FOUND.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable

from grpc_health.v1 import health_pb2 as pb  # type: ignore[import-untyped]  # it has none

from gateway.errors import Reason, TiergateError
from gateway.transport.identity import Caller
from gateway.transport.limits import RETRY_AFTER_S

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["Health"]
SERVING = pb.HealthCheckResponse.SERVING
NOT_SERVING = pb.HealthCheckResponse.NOT_SERVING
UNKNOWN = pb.HealthCheckResponse.SERVICE_UNKNOWN
WATCHES_PER_CALLER = 4
"""A watch is a call in hand for as long as it lasts; one caller must not hold all that probes have."""


class Health:
    """State of a process and its services; all serve or none does, since they share one store."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset({"", *services})
        self._serving = False
        self._stopped = False
        self._changed = asyncio.Event()
        self._watches: Counter[str] = Counter()

    def set_serving(self, *, serving: bool) -> None:
        """Say so to whoever asks or watches."""
        self._serving = serving
        self._announce()

    def stop(self) -> None:
        """Not serving, for good: watchers are told, and their streams end, so that they do not hold up a stop."""
        self._serving = False
        self._stopped = True
        self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _status(self, service: str) -> pb.HealthCheckResponse.ServingStatus.ValueType:
        if service not in self._services:
            return UNKNOWN
        return SERVING if self._serving else NOT_SERVING

    async def Check(self, request: pb.HealthCheckRequest, _caller: Caller) -> pb.HealthCheckResponse:  # noqa: N802 - the RPC's name
        """The state now. Raises NOT_FOUND for another service's name."""
        status = self._status(request.service)
        if status == UNKNOWN:
            raise TiergateError(Reason.NOT_FOUND, "health of a service that is not served here")
        return pb.HealthCheckResponse(status=status)

    async def List(self, _request: pb.HealthListRequest, _caller: Caller) -> pb.HealthListResponse:  # noqa: N802 - the RPC's name
        """The state of everything."""
        return pb.HealthListResponse(
            statuses={name: pb.HealthCheckResponse(status=self._status(name)) for name in self._services}
        )

    async def Watch(  # noqa: N802 - the RPC's name
        self, request: pb.HealthCheckRequest, caller: Caller
    ) -> AsyncIterator[pb.HealthCheckResponse]:
        """The state now and at every change, until the server stops. Raises RATE_LIMITED for a caller's fifth watch."""
        if self._watches[caller.uri] >= WATCHES_PER_CALLER:
            raise TiergateError(Reason.RATE_LIMITED, "too many watches", retry_after_s=RETRY_AFTER_S)
        self._watches[caller.uri] += 1
        told = None
        try:
            while True:
                changed = self._changed
                status = self._status(request.service)
                if status != told:
                    told = status
                    yield pb.HealthCheckResponse(status=status)
                if self._stopped:
                    return
                if changed is self._changed:
                    await changed.wait()
        finally:
            self._watches[caller.uri] -= 1
            if not self._watches[caller.uri]:
                del self._watches[caller.uri]
