"""``tiergate audit export``: the whole log over the audit API, written as a folder that verifies offline."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated, NamedTuple

from cyclopts import Parameter

from gateway.api.audit.v1 import audit_pb2 as pb
from gateway.api.audit.v1.audit_pb2_grpc import AuditServiceStub
from gateway.cli.audit import head_document, scope_document
from gateway.cli.audit_leaves import leaves_of, scope_told
from gateway.cli.client import CALL_S, STREAM_S, read_file, session
from gateway.cli.downloads import download_bundle
from gateway.cli.options import Json, ProfileFile
from gateway.cli.output import UsageError, progress, show
from gateway.cli.profile import read_profile
from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.entry import decode
from gateway.consentlog.export import held_entries, policy_path, shard_path, write_export
from gateway.consentlog.export_lock import writing
from gateway.consentlog.merkle import HASH_SIZE, leaf_hash
from gateway.consentlog.scope import Leaf
from gateway.consentlog.scoped import write_scoped
from gateway.consentlog.shard import first_of, number_of
from gateway.consentlog.trust import MAX_TRUST_BYTES, TrustPolicy, VerifiedCheckpoint, directory_trust
from gateway.domain.audit_scope import WHOLE_LOG, AuditScope
from gateway.errors import Reason, TiergateError

RUN = 50_000
"""Entries asked for at once: each run has its own deadline, and is one read on record."""


ROUNDS = 60
"""A scope's first export needs two: the log's record of the first read comes after what was read.

More where the log's witnesses take their time: it is published when they have seen it.
"""
ROUND_S = 1.0
"""Seconds before the next round when nothing new was published."""


class DownloadedLog:
    """One shard of the log as received, kept in an unnamed file: memory does not depend on its size."""

    def __init__(self, file: IO[bytes], listed: AuditScope | None, shard: int) -> None:
        """``listed``: the auditor's scope in the directory that it holds, if there is one."""
        self._file = file
        self.shard = shard
        self._listed = listed
        self.head = ""
        self.scope = WHOLE_LOG
        self.size = 0
        self.bundles: list[str] = []
        self._recorded = False

    @property
    def complete(self) -> bool:
        """Whether an export can be made of it: a scope's must hold the log's record of a read under it."""
        return self.scope.cities is None or self._recorded

    def take(self, run: pb.ListEntriesResponse) -> None:
        """Take the next run. Raises LOG_CORRUPT for what is none, AUDIT_SCOPE when the scope is not the one before."""
        scope = scope_told(run, self._listed)
        if self.size and scope != self.scope:
            raise TiergateError(Reason.AUDIT_SCOPE, "the scope has changed while the log was read; start again")
        self.scope = scope
        for leaf in leaves_of(run):
            self._add(leaf)

    def _add(self, leaf: Leaf) -> None:
        self.size += 1
        if leaf.entry is None:
            self._file.write(bytes(2) + leaf.hash)
            return
        decoded = decode(leaf.entry)
        if decoded.type == "policy_published" and decoded.text("bundle") not in self.bundles:
            self.bundles.append(decoded.text("bundle"))
        if decoded.type == "audit_read" and decoded.text("scope") == self.scope.digest():
            self._recorded = True
        self._file.write(len(leaf.entry).to_bytes(2, "big") + leaf.entry)

    def resume(self, folder: Path, end: int) -> None:
        """Begin with what an earlier export holds below ``end``. What a scope's export holds is taken anew."""
        if self._listed is None or self._listed.cities is None:
            for raw in held_entries(folder, end):
                self._add(Leaf(leaf_hash(raw), raw))

    def checkpoint(self) -> str:
        """See ``EntrySource`` and ``ScopedSource``: the one that covers all that was taken."""
        return self.head

    def leaves(self) -> Iterator[Leaf]:
        """See ``ScopedSource``."""
        self._file.seek(0)
        for _ in range(self.size):
            length = int.from_bytes(self._file.read(2), "big")
            data = self._file.read(length or HASH_SIZE)
            yield Leaf(leaf_hash(data), data) if length else Leaf(data, None)

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """See ``EntrySource``; those that are out of scope are left out."""
        for leaf in islice(self.leaves(), start, end):
            if leaf.entry is not None:
                yield leaf.entry


async def export(
    directory: Annotated[
        Path, Parameter(name="--out", help="Folder to write; an earlier export of the same log is brought up to date.")
    ],
    *,
    trust: Annotated[
        Path | None,
        Parameter(
            name="--trust", help="Trust file that goes into the export. Default: the directory's log keys alone."
        ),
    ] = None,
    shard: Annotated[
        int | None,
        Parameter(name="--shard", help="This shard alone, by its number. Default: all, the first in DIRECTORY."),
    ] = None,
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """Copy the log into a folder (C2SP tlog-tiles): checkpoint, tiles, entries, policy bundles, trust file.

    What an earlier export left in the folder is not sent again; it is held against the new root like all the rest. The
    folder verifies offline with `audit verify`, on any machine. Later shards lie below the first one, in shards/001 and
    so on. An auditor whose scope is not the whole log gets all hashes, and the entries in scope. The log
    records the read. Exit code 3 while another command writes or verifies this folder.
    """
    used = read_profile(profile, {"auditor"})
    exports: list[_Export] = []
    async with session(used) as opened:
        trusted = directory_trust(opened.directory.gateway) if trust is None else read_file(trust, MAX_TRUST_BYTES)
        stub, policy = AuditServiceStub(opened.channel), TrustPolicy.parse(trusted)
        newest = number_of((await newest_head(stub, policy))[1].origin)
        if shard is not None and not 0 <= shard <= newest:
            raise UsageError(f"there is no shard {shard}", f"0 to {newest}")
        with writing(directory):
            for number in range(newest + 1) if shard is None else (shard,):
                folder = directory if shard is not None or not number else directory / shard_path(number)
                with TemporaryFile(dir=directory) as file:
                    log = DownloadedLog(file, opened.directory.auditor_scopes.get(used.name), number)
                    done = await _export(
                        stub, log, folder, trusted, held=folder == directory, must_record=number == newest
                    )
                    exports.append(done)
    last = exports[-1]
    log, head, bundles = last.log, last.verified.checkpoint, sorted({name for item in exports for name in item.bundles})
    document = {
        "directory": str(directory),
        **head_document(head),
        "shards": [head_document(item.verified.checkpoint) for item in exports],
        "bundles": bundles,
        "scope": scope_document(log.scope),
    }
    total = sum(item.verified.checkpoint.size for item in exports)
    line = f"exported {total} entries and {len(bundles)} policy bundle(s) of {head.origin} to {directory}"
    if len(exports) > 1:
        line += f", in {len(exports)} shards"
    scope = (
        [] if log.scope.cities is None else [f"entries of {', '.join(log.scope.cities)} alone; of others the hashes"]
    )
    show(
        document, lambda: [line, *scope, "verify it with: tiergate audit verify DIRECTORY --trust TRUST"], as_json=json
    )


class _Export(NamedTuple):
    """A shard that has been written."""

    log: DownloadedLog
    verified: VerifiedCheckpoint
    bundles: Mapping[str, bytes]


async def newest_head(stub: AuditServiceStub, policy: TrustPolicy, shard: int | None = None) -> tuple[str, Checkpoint]:
    """The newest checkpoint of a shard (None: of the newest one), as sent and as verified.

    Raises NOTE_INVALID, also for the checkpoint of another shard.
    """
    request = pb.GetCheckpointRequest() if shard is None else pb.GetCheckpointRequest(shard=shard)
    raw = (await stub.GetCheckpoint(request, timeout=CALL_S)).checkpoint
    head = policy.verify(raw.encode()).checkpoint
    if shard not in {None, number_of(head.origin)}:
        raise TiergateError(Reason.NOTE_INVALID, "the gateway sent the checkpoint of another shard")
    return raw, head


async def _export(
    stub: AuditServiceStub, log: DownloadedLog, folder: Path, trusted: bytes, *, held: bool, must_record: bool
) -> _Export:
    """Write one shard. ``held``: its folder is locked; ``must_record``: a scope's needs the log's record of a read."""
    policy = TrustPolicy.parse(trusted)
    for _ in range(ROUNDS):
        grew = await _catch_up(stub, log, policy, folder)
        if log.complete or not must_record:
            break
        if not grew:
            await asyncio.sleep(ROUND_S)
    else:
        raise TiergateError(Reason.LOG_CORRUPT, "the gateway has not published its record of the read")
    bundles = {digest: await _bundle(stub, folder, digest) for digest in log.bundles}
    if log.scope.cities is None:
        return _Export(log, write_export(log, folder, bundles, trusted, held=held), bundles)
    return _Export(log, write_scoped(log, log.scope, folder, bundles, trusted, held=held), bundles)


async def _bundle(stub: AuditServiceStub, folder: Path, digest: str) -> bytes:
    """A policy bundle's bytes: those that the folder holds, if they are it."""
    held = folder / policy_path(digest)
    data = held.read_bytes() if held.is_file() else b""
    return data if sha256(data).hexdigest() == digest else await download_bundle(stub, digest)


async def _catch_up(stub: AuditServiceStub, log: DownloadedLog, policy: TrustPolicy, folder: Path) -> bool:
    """Take the newest checkpoint, and all that it covers and ``folder`` lacks; whether it covers anything new."""
    log.head, head = await newest_head(stub, policy, log.shard)
    size = head.size
    if not log.size:
        log.resume(folder, size)
    before = log.size
    while log.size < size:
        await _download(stub, log, min(size, log.size + RUN))
        progress(f"tiergate: {log.size} of {size} entries")
    return log.size > before


async def _download(stub: AuditServiceStub, log: DownloadedLog, end: int) -> None:
    """Append entries up to ``end``. Raises LOG_CORRUPT unless exactly these come."""
    first = first_of(log.shard)
    request = pb.ListEntriesRequest(start=first + log.size, end=first + end)
    async for run in stub.ListEntries(request, timeout=STREAM_S):
        if run.start != first + log.size or log.size + len(run.entries) > end:
            raise TiergateError(Reason.LOG_CORRUPT, f"the gateway sent other entries than asked for, at {log.size}")
        log.take(run)
    if log.size != end:
        raise TiergateError(Reason.LOG_CORRUPT, f"the gateway sent {log.size} entries of {end}")
