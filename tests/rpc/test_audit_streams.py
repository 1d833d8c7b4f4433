"""A reader of the log that stops reading, over real gRPC: it holds one run, nothing of the database, and nobody up."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc.aio
import pytest
from prometheus_client import CollectorRegistry

from gateway.api.audit.v1 import audit_pb2 as pb
from gateway.api.audit.v1.audit_pb2_grpc import AuditServiceStub
from gateway.consentlog.entry import decode
from gateway.consentlog.note import SignerKey
from gateway.domain.audit_scope import WHOLE_LOG
from gateway.domain.directory import Endpoint
from gateway.errors import Reason
from gateway.rpc.audit import AuditServicer
from gateway.services.audit_reads import STREAMS, AuditReads
from gateway.services.read_log import ReadLog
from gateway.storage.sqlite_store import SqliteStore
from gateway.transport.access import GATEWAY_ACCESS
from gateway.transport.channel import open_channel
from gateway.transport.errors import error_from_rpc
from gateway.transport.identity import Callers
from gateway.transport.server import ServerLimits, ServiceBinding, build_server
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


async def test_a_reader_that_stops_reading_holds_up_nobody(tmp_path: Path) -> None:
    clock, database = FakeClock(), tmp_path / "gateway.db"
    store = Counted(database, tmp_path / "log.mark", SignerKey.generate("log.example/x"), clock)
    await store.start("fujian")
    for first in range(0, ENTRIES, 1000):
        await record(store, *(draft(clock, first + number) for number in range(1000)))
    reads = AuditReads(clock, store, store, lambda: {"office": WHOLE_LOG})
    service = pb.DESCRIPTOR.services_by_name["AuditService"]
    names = {f"/{service.full_name}/{method.name}" for method in service.methods}
    ca, known = FakeCa(tmp_path), directory()
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
    stub = AuditServiceStub(channel)
    stalled = [stub.ListEntries(pb.ListEntriesRequest(end=ENTRIES), timeout=DEADLINE_S) for _ in range(STREAMS)]
    for stream in stalled:
        assert await stream.read() is not grpc.aio.EOF
    assert server.gate.in_flight == STREAMS
    assert store.given < STREAMS * ENTRIES  # the rest waits to be taken

    size = store.size()
    await record(store, draft(clock, ENTRIES + 1))  # the writer does not wait,
    assert store.size() == size + 1
    with closing(sqlite3.connect(database)) as other:  # and nobody reads in a transaction that keeps the WAL growing
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
    await channel.close()
    await server.stop(0.0)
    await store.close()
