"""What the audit API streams, over real gRPC: a reader that stops holds one run, no lock, and nobody up."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import grpc.aio
import pytest
from prometheus_client import CollectorRegistry

from gateway.api.audit.v1 import audit_pb2 as pb
from gateway.api.audit.v1.audit_pb2_grpc import AuditServiceStub
from gateway.cli.downloads import download_bundle
from gateway.consentlog.entry import decode
from gateway.consentlog.note import SignerKey
from gateway.domain.audit_scope import WHOLE_LOG
from gateway.domain.directory import Endpoint
from gateway.errors import Reason, TiergateError
from gateway.policy.bundle import digest_of
from gateway.rpc.audit import AuditServicer
from gateway.services.audit_reads import STREAMS, AuditReads
from gateway.services.read_log import ReadLog
from gateway.storage.sqlite_store import SqliteStore
from gateway.transport.access import GATEWAY_ACCESS
from gateway.transport.channel import open_channel
from gateway.transport.errors import error_from_rpc
from gateway.transport.identity import Callers
from gateway.transport.server import Server, ServerLimits, ServiceBinding, build_server
from tests.contract.store_samples import draft, record
from tests.fakes.ca import LOOPBACK, FakeCa, identity, server_name
from tests.fakes.clock import FakeClock
from tests.rpc.harness import DEADLINE_S, GATEWAY, directory, watched

ENTRIES = 12_000
AUDITOR = identity("auditor", "office")


class Counted(SqliteStore):
    """Counts the entries that readers have been given."""

    given = 0

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """See ``LogReader``."""
        for entry in super().entries(start, end):
            self.given += 1
            yield entry


@asynccontextmanager
async def serving(store: SqliteStore, clock: FakeClock, folder: Path) -> AsyncIterator[tuple[AuditServiceStub, Server]]:
    """The audit API over a store, and an auditor's stub."""
    reads = AuditReads(clock, store, store, lambda: {"office": WHOLE_LOG})
    service = pb.DESCRIPTOR.services_by_name["AuditService"]
    names = {f"/{service.full_name}/{method.name}" for method in service.methods}
    ca, known = FakeCa(folder), directory()
    server = build_server(
        [ServiceBinding(service, AuditServicer(ReadLog(store), reads))],
        address=f"{LOOPBACK}:0",
        security=watched(ca.sound(GATEWAY)),
        resolve=Callers(lambda: known, GATEWAY).resolve,
        access={name: roles for name, roles in GATEWAY_ACCESS.items() if name in names or "grpc.health" in name},
        limits=ServerLimits(64, 1e6, 1_000_000),
        registry=CollectorRegistry(),
    )
    await server.start()
    channel = open_channel(Endpoint(f"{LOOPBACK}:{server.port}", server_name(GATEWAY)), watched(ca.sound(AUDITOR)))
    try:
        yield AuditServiceStub(channel), server
    finally:
        await channel.close()
        await server.stop(0)


async def test_a_reader_that_stops_reading_holds_up_nobody(tmp_path: Path) -> None:
    clock, database = FakeClock(), tmp_path / "gateway.db"
    store = Counted(database, tmp_path / "log.mark", SignerKey.generate("log.example/x"), clock)
    await store.start("fujian")
    for first in range(0, ENTRIES, 1000):
        await record(store, *(draft(clock, first + number) for number in range(1000)))
    async with serving(store, clock, tmp_path) as (stub, server):
        stalled = [stub.ListEntries(pb.ListEntriesRequest(end=ENTRIES), timeout=DEADLINE_S) for _ in range(STREAMS)]
        for stream in stalled:
            assert await stream.read() is not grpc.aio.EOF
        assert server.gate.in_flight == STREAMS
        assert store.given < STREAMS * ENTRIES  # the rest waits to be taken

        size = store.size()
        await record(store, draft(clock, ENTRIES + 1))  # the writer does not wait,
        assert store.size() == size + 1
        with closing(sqlite3.connect(database)) as other:  # nor does a reader keep the WAL growing
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListEntries(pb.ListEntriesRequest(end=1), timeout=DEADLINE_S).read()
        assert error_from_rpc(caught.value).reason is Reason.BUSY
        assert decode(next(iter(store.entries(size - 1, size)))).type == "audit_read"

        for stream in stalled:
            stream.cancel()
        async with asyncio.timeout(DEADLINE_S):
            while server.gate.in_flight:  # noqa: ASYNC110 - a server tells nobody that a call has ended
                await asyncio.sleep(0.01)
        assert [run async for run in stub.ListEntries(pb.ListEntriesRequest(end=1), timeout=DEADLINE_S)]
    await store.close()


async def test_a_bundle_comes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rpc.audit.BUNDLE_PART_BYTES", 1000)
    monkeypatch.setattr("gateway.cli.downloads.MAX_BUNDLE_BYTES", 3500)
    clock = FakeClock()
    store = SqliteStore(tmp_path / "gateway.db", tmp_path / "log.mark", SignerKey.generate("log.example/x"), clock)
    await store.start("fujian")
    data, longer = b"x" * 3500, b"y" * 3501
    for version, content in enumerate((data, longer), start=1):
        await store.publish_bundle(digest_of(content), version, content, clock.now_ms())
    async with serving(store, clock, tmp_path) as (stub, _):
        parts = [answer.part async for answer in stub.GetBundle(pb.GetBundleRequest(digest=digest_of(data)))]
        assert [len(part) for part in parts] == [1000, 1000, 1000, 500]
        assert await download_bundle(stub, digest_of(data)) == data
        with pytest.raises(TiergateError) as caught:  # whoever serves it sends no more than is taken
            await download_bundle(stub, digest_of(longer))
        assert caught.value.reason is Reason.LOG_CORRUPT
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await download_bundle(stub, "00" * 32)
        assert error_from_rpc(unknown.value).reason is Reason.NOT_FOUND
    await store.close()
