"""Where ``audit watch`` has the log from: the audit API, or the folder of an export."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from gateway.api.audit.v1 import audit_pb2 as pb
from gateway.api.audit.v1.audit_pb2_grpc import AuditServiceStub
from gateway.cli.audit_export import RUN
from gateway.cli.audit_leaves import leaves_of, scope_told
from gateway.cli.client import CALL_S, STREAM_S, Session
from gateway.consentlog.export import CHECKPOINT, SHARDS, shard_path
from gateway.consentlog.merkle import consistency_proof, leaf_hash
from gateway.consentlog.note import MAX_NOTE_BYTES
from gateway.consentlog.scope import Leaf
from gateway.consentlog.shard import first_of, located, number_of
from gateway.consentlog.tiles import (
    MAX_ENTRY_BYTES,
    TILE_WIDTH,
    Tile,
    bundle_path,
    bundles_of,
    parse_bundle,
    subtree_reader,
    tile_path,
)
from gateway.errors import Reason, TiergateError
from gateway.files import bytes_of

_MAX_FILE_BYTES = TILE_WIDTH * (MAX_ENTRY_BYTES + 2)


class ApiSource:
    """The log as its gateway shows it now. Failed calls raise ``grpc.aio.AioRpcError``, which the session maps."""

    live = True

    def __init__(self, opened: Session) -> None:
        self._stub = AuditServiceStub(opened.channel)
        self._scope = opened.directory.auditor_scopes.get(opened.profile.name)

    def oldest(self) -> int:
        """See ``LogSource``."""
        return 0

    async def checkpoint(self, shard: int | None = None) -> bytes:
        """See ``LogSource``."""
        request = pb.GetCheckpointRequest() if shard is None else pb.GetCheckpointRequest(shard=shard)
        return (await self._stub.GetCheckpoint(request, timeout=CALL_S)).checkpoint.encode()

    async def consistency(self, first: int, second: int, shard: int) -> Sequence[bytes]:
        """See ``LogSource``."""
        request = pb.GetConsistencyProofRequest(first=first, second=second, shard=shard)
        return tuple((await self._stub.GetConsistencyProof(request, timeout=CALL_S)).hashes)

    async def leaves(self, start: int, end: int) -> AsyncIterator[Leaf]:
        """See ``LogSource``; each part has a deadline of its own. Raises LOG_CORRUPT unless exactly these come.

        AUDIT_SCOPE for another scope than the directory has.
        """
        while start < end:
            part = min(end, start + RUN)
            async for run in self._stub.ListEntries(pb.ListEntriesRequest(start=start, end=part), timeout=STREAM_S):
                if run.start != start or not run.entries or start + len(run.entries) > part:
                    raise TiergateError(Reason.LOG_CORRUPT, f"other entries than asked for, at {start}")
                scope_told(run, self._scope)
                for leaf in leaves_of(run):
                    yield leaf
                start += len(run.entries)
            if start != part:
                raise TiergateError(Reason.LOG_CORRUPT, f"fewer entries than asked for, at {start}")


class ExportSource:
    """The log in a folder that ``audit export`` keeps up to date. What is in it is not trusted: it has to hash up."""

    live = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def oldest(self) -> int:
        """See ``LogSource``."""
        return number_of(self._bytes_of(CHECKPOINT, MAX_NOTE_BYTES).partition(b"\n")[0].decode("utf-8", "replace"))

    def _of(self, shard: int) -> str:
        """Where a shard lies, as a prefix of its paths."""
        return "" if shard == self.oldest() else f"{shard_path(shard)}/"

    def _bytes_of(self, path: str, limit: int) -> bytes:
        try:
            data = bytes_of(self._folder / path, limit + 1)
        except FileNotFoundError as error:  # outgrown by an export that runs now, or removed: the next round tells
            raise TiergateError(Reason.LOG_UNAVAILABLE, f"{path} is not in the export") from error
        except OSError as error:
            raise TiergateError(Reason.LOG_UNAVAILABLE, f"{path}: {error.strerror}") from error
        if len(data) > limit:
            raise TiergateError(Reason.LOG_CORRUPT, f"{path} is larger than it may be")
        return data

    async def checkpoint(self, shard: int | None = None) -> bytes:
        """See ``LogSource``."""
        if shard is not None:
            return self._bytes_of(f"{self._of(shard)}{CHECKPOINT}", MAX_NOTE_BYTES)
        later = max((path.name for path in (self._folder / SHARDS).glob("[0-9][0-9][0-9]")), default="")
        return self._bytes_of(f"{SHARDS}/{later}/{CHECKPOINT}" if later else CHECKPOINT, MAX_NOTE_BYTES)

    async def consistency(self, first: int, second: int, shard: int) -> Sequence[bytes]:
        """See ``LogSource``: out of the tiles."""
        folder = self._of(shard)

        def tile(wanted: Tile) -> bytes:
            return self._bytes_of(f"{folder}{tile_path(wanted)}", _MAX_FILE_BYTES)

        return tuple(consistency_proof(first, second, subtree_reader(second, tile)))

    async def leaves(self, start: int, end: int) -> AsyncIterator[Leaf]:
        """See ``LogSource``."""
        shard, start = located(start)
        folder = self._of(shard)
        for bundle in bundles_of(end - first_of(shard)):
            first = bundle.number * TILE_WIDTH
            if first + bundle.width <= start:
                continue
            found = parse_bundle(self._bytes_of(f"{folder}{bundle_path(bundle)}", _MAX_FILE_BYTES), bundle.width)
            for entry in found[max(0, start - first) :]:
                yield Leaf(leaf_hash(entry), entry)
