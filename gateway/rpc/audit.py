"""``AuditService``: reading the log with proofs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from gateway.api.audit.v1 import audit_pb2 as pb
from gateway.consentlog.scope import scoped
from gateway.domain.ids import BundleDigest
from gateway.services.audit_reads import AuditReads
from gateway.services.read_log import ReadLog
from gateway.transport.identity import Caller

BUNDLE_PART_BYTES = 256 * 1024


class AuditServicer:
    """Every read runs in a thread: an auditor's long export must not hold up checks.

    A stream makes the next run when the last one has been taken: a reader that stops holds one run, and nothing of the
    database.
    """

    def __init__(self, log: ReadLog, reads: AuditReads) -> None:
        self._log = log
        self._reads = reads

    async def GetCheckpoint(  # noqa: N802 - the RPC's name
        self, request: pb.GetCheckpointRequest, _caller: Caller
    ) -> pb.GetCheckpointResponse:
        """A shard's newest checkpoint."""
        shard = request.shard if request.HasField("shard") else None
        return pb.GetCheckpointResponse(checkpoint=self._log.checkpoint(shard))

    async def ListEntries(  # noqa: N802 - the RPC's name
        self, request: pb.ListEntriesRequest, caller: Caller
    ) -> AsyncIterator[pb.ListEntriesResponse]:
        """Entries in runs, as far as they are in the caller's scope."""
        auditor = caller.identity.name
        with self._reads.streaming(auditor):
            scope, end = await self._reads.admit(auditor, request.start, request.end)
            runs = self._reads.runs(scope, request.start, end)
            while (run := await asyncio.to_thread(next, runs, None)) is not None:
                yield pb.ListEntriesResponse(
                    start=run.start,
                    entries=[leaf.entry or b"" for leaf in run.leaves],
                    leaf_hashes=[leaf.hash for leaf in run.leaves if leaf.entry is None],
                    scope_cities=scope.cities,
                )

    async def GetInclusionProof(  # noqa: N802 - the RPC's name
        self, request: pb.GetInclusionProofRequest, caller: Caller
    ) -> pb.GetInclusionProofResponse:
        """Inclusion of one entry."""
        index = request.index
        scope, _ = await self._reads.admit(caller.identity.name, index, index + 1)
        size, hashes, entry, checkpoint = await asyncio.to_thread(self._log.inclusion, index, request.size)
        leaf = scoped(scope, entry)
        return pb.GetInclusionProofResponse(
            size=size, hashes=hashes, entry=leaf.entry or b"", checkpoint=checkpoint, leaf_hash=leaf.hash
        )

    async def GetConsistencyProof(  # noqa: N802 - the RPC's name
        self, request: pb.GetConsistencyProofRequest, _caller: Caller
    ) -> pb.GetConsistencyProofResponse:
        """Consistency of two sizes."""
        shard = request.shard if request.HasField("shard") else None
        size, hashes = await asyncio.to_thread(self._log.consistency, request.first, request.second, shard)
        return pb.GetConsistencyProofResponse(size=size, hashes=hashes)

    async def GetBundle(  # noqa: N802 - the RPC's name
        self, request: pb.GetBundleRequest, caller: Caller
    ) -> AsyncIterator[pb.GetBundleResponse]:
        """A published bundle, in parts: in every scope, and of no use without one."""
        self._reads.scope(caller.identity.name)
        data = await asyncio.to_thread(self._log.bundle, BundleDigest(request.digest))
        for start in range(0, len(data), BUNDLE_PART_BYTES):
            yield pb.GetBundleResponse(part=data[start : start + BUNDLE_PART_BYTES])
