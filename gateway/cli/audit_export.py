"""``tiergate audit export``: the whole log over the audit API, written as a folder that verifies offline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated

from cyclopts import Parameter

from gateway.api.audit.v1 import audit_pb2 as pb
from gateway.api.audit.v1.audit_pb2_grpc import AuditServiceStub
from gateway.cli.audit import head_document, log_trust
from gateway.cli.client import CALL_S, STREAM_S, read_file, session
from gateway.cli.options import Json, ProfileFile
from gateway.cli.output import progress, show
from gateway.cli.profile import read_profile
from gateway.consentlog.entry import MAX_ENTRY_BYTES, decode
from gateway.consentlog.export import write_export
from gateway.consentlog.trust import MAX_TRUST_BYTES, TrustPolicy
from gateway.errors import Reason, TiergateError

RUN = 20_000
"""Entries asked for at once: each run has its own deadline."""


class DownloadedLog:
    """The log as received, kept in an unnamed file beside the export: memory does not depend on its size."""

    def __init__(self, checkpoint: str, file: IO[bytes]) -> None:
        self._checkpoint = checkpoint
        self._file = file
        self.size = 0
        self.bundles: list[str] = []

    def add(self, entry: bytes) -> None:
        """Take the next entry. Raises LOG_CORRUPT for one that is no entry."""
        decoded = decode(entry)
        if decoded.type == "policy_published" and decoded.text("bundle") not in self.bundles:
            self.bundles.append(decoded.text("bundle"))
        self._file.write(len(entry).to_bytes(2, "big") + entry)
        self.size += 1

    def checkpoint(self) -> str:
        """See ``EntrySource``."""
        return self._checkpoint

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """See ``EntrySource``; the export reads from the first entry on."""
        self._file.seek(0)
        for index in range(min(end, self.size)):
            entry = self._file.read(int.from_bytes(self._file.read(2), "big"))
            if index >= start:
                yield entry


async def export(
    directory: Annotated[
        Path, Parameter(name="--out", help="Folder to write; an earlier export of the same log is brought up to date.")
    ],
    *,
    trust: Annotated[
        Path | None,
        Parameter(name="--trust", help="Trust file that goes into the export. Default: the directory's log key alone."),
    ] = None,
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """Copy the log into a folder (C2SP tlog-tiles): checkpoint, tiles, entries, policy bundles, trust file.

    The folder verifies offline with `audit verify`, on any machine.
    """
    async with session(read_profile(profile, {"auditor"})) as opened:
        vkey = opened.directory.gateway.log_vkey
        trusted = f"log {vkey}\nquorum none\n".encode() if trust is None else read_file(trust, MAX_TRUST_BYTES)
        policy = log_trust(vkey) if trust is None else TrustPolicy.parse(trusted)
        stub = AuditServiceStub(opened.channel)
        checkpoint = (await stub.GetCheckpoint(pb.GetCheckpointRequest(), timeout=CALL_S)).checkpoint
        size = policy.verify(checkpoint.encode()).checkpoint.size
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=directory) as file:
            log = DownloadedLog(checkpoint, file)
            while log.size < size:
                await _download(stub, log, min(size, log.size + RUN))
                progress(f"tiergate: {log.size} of {size} entries")
            bundles = {digest: await _bundle(stub, digest) for digest in log.bundles}
            verified = write_export(log, directory, bundles, trusted)
    head = verified.checkpoint
    document = {
        "directory": str(directory),
        **head_document(head),
        "bundles": sorted(bundles),
    }
    line = f"exported {head.size} entries and {len(bundles)} policy bundle(s) of {head.origin} to {directory}"
    show(document, lambda: [line, "verify it with: tiergate audit verify DIRECTORY --trust TRUST"], as_json=json)


async def _download(stub: AuditServiceStub, log: DownloadedLog, end: int) -> None:
    """Append entries up to ``end``. Raises LOG_CORRUPT unless exactly these come."""
    async for run in stub.ListEntries(pb.ListEntriesRequest(start=log.size, end=end), timeout=STREAM_S):
        if run.start != log.size or log.size + len(run.entries) > end:
            raise TiergateError(Reason.LOG_CORRUPT, f"the gateway sent other entries than asked for, at {log.size}")
        for entry in run.entries:
            if len(entry) > MAX_ENTRY_BYTES:
                raise TiergateError(Reason.LOG_CORRUPT, f"entry {log.size} is too large")
            log.add(entry)
    if log.size != end:
        raise TiergateError(Reason.LOG_CORRUPT, f"the gateway sent {log.size} entries of {end}")


async def _bundle(stub: AuditServiceStub, digest: str) -> bytes:
    return (await stub.GetBundle(pb.GetBundleRequest(digest=digest), timeout=CALL_S)).bundle
