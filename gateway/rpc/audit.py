"""``AuditService``: reading the log with proofs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from gateway.api.audit.v1 import audit_pb2 as pb
from gateway.domain.ids import BundleDigest
from gateway.services.read_log import ReadLog
from gateway.transport.identity import Caller


class AuditServicer:
    """Every read runs in a thread: an auditor's long export must not hold up checks."""

    def __init__(self, log: ReadLog) -> None:
        self._log = log

    async def GetCheckpoint(  # noqa: N802 - the RPC's name
        self, _request: pb.GetCheckpointRequest, _caller: Caller
    ) -> pb.GetCheckpointResponse:
        """The newest checkpoint."""
        return pb.GetCheckpointResponse(checkpoint=self._log.checkpoint())

    async def ListEntries(  # noqa: N802 - the RPC's name
        self, request: pb.ListEntriesRequest, _caller: Caller
    ) -> AsyncIterator[pb.ListEntriesResponse]:
        """Entries in runs."""
        runs = self._log.runs(request.start, request.end)
        while (run := await asyncio.to_thread(next, runs, None)) is not None:
            yield pb.ListEntriesResponse(start=run[0], entries=run[1])

    async def GetInclusionProof(  # noqa: N802 - the RPC's name
        self, request: pb.GetInclusionProofRequest, _caller: Caller
    ) -> pb.GetInclusionProofResponse:
        """Inclusion of one entry."""
        size, hashes, entry, checkpoint = await asyncio.to_thread(self._log.inclusion, request.index, request.size)
        return pb.GetInclusionProofResponse(size=size, hashes=hashes, entry=entry, checkpoint=checkpoint)

    async def GetConsistencyProof(  # noqa: N802 - the RPC's name
        self, request: pb.GetConsistencyProofRequest, _caller: Caller
    ) -> pb.GetConsistencyProofResponse:
        """Consistency of two sizes."""
        size, hashes = await asyncio.to_thread(self._log.consistency, request.first, request.second)
        return pb.GetConsistencyProofResponse(size=size, hashes=hashes)

    async def GetBundle(  # noqa: N802 - the RPC's name
        self, request: pb.GetBundleRequest, _caller: Caller
    ) -> pb.GetBundleResponse:
        """A published bundle."""
        return pb.GetBundleResponse(bundle=await asyncio.to_thread(self._log.bundle, BundleDigest(request.digest)))
