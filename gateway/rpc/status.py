"""``StatusService`` at the gateway: how far it has followed the signed files, which key signs its log, and its time."""

from __future__ import annotations

from collections.abc import Callable

from gateway.api.peer.v1 import status_pb2 as pb
from gateway.consentlog.note import VerifierKey
from gateway.domain.directory import Directory
from gateway.ports import Clock
from gateway.transport.identity import Caller


class StatusServicer:
    """``log_key``: the one that signs; None while the directory names another."""

    def __init__(
        self,
        directory: Callable[[], Directory],
        digest: Callable[[], str],
        clock: Clock,
        log_key: Callable[[], VerifierKey | None],
    ) -> None:
        self._directory = directory
        self._digest = digest
        self._clock = clock
        self._log_key = log_key

    async def GetInForce(  # noqa: N802 - the RPC's name
        self, _request: pb.GetInForceRequest, _caller: Caller
    ) -> pb.GetInForceResponse:
        """As of now."""
        response = pb.GetInForceResponse(directory_version=self._directory().version, bundle_digest=self._digest())
        response.answered_at.FromMilliseconds(self._clock.now_ms())
        key = self._log_key()
        if key is not None:
            response.signing.add(purpose="log", kid=key.id.hex())
        return response
