"""The process under test: the gateway's store behind a local socket. ``python -m tests.crash.child FOLDER``.

One JSON object a line. An acknowledgement leaves after the store has released its result, and carries the receipt.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from gateway.consentlog.note import SignerKey
from gateway.consentlog.proof import LogProof
from gateway.errors import TiergateError
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import BUNDLE, draft, withdrawal
from tests.fakes.clock import FakeClock

DATA, MARK, KEY, SOCKET, PID = "data/gateway.db", "apart/log.mark", "log.key", "socket", "pid"
DEPLOYMENT = "fujian"
REFUSED_TO_START = 3
CLOCK = FakeClock()


def open_store(folder: Path) -> SqliteStore:
    """The store of a folder. It checkpoints and truncates its write-ahead log often, so that these moments are hit."""
    signer = SignerKey.parse((folder / KEY).read_text("ascii"))
    store = SqliteStore(folder / DATA, folder / MARK, signer, CLOCK)
    store._connection.execute("PRAGMA wal_autocheckpoint=100")
    store._connection.execute("PRAGMA journal_size_limit=0")
    return store


async def begin(store: SqliteStore) -> None:
    """Start its writer; a new log gets its first entry and the bundle that everything is decided under."""
    await store.start(DEPLOYMENT)
    await store.publish_bundle(BUNDLE, 1, b"{}", CLOCK.now_ms())


async def answer(store: SqliteStore, asked: dict[str, Any]) -> dict[str, Any]:
    """Carry out one request; what its client is told."""
    try:
        if asked["op"] == "withdraw":
            index = await store.record_event(withdrawal(CLOCK, asked["consent"], asked["event"]))
            told: dict[str, Any] = {}
        else:
            (decision,) = await store.record_many([draft(CLOCK, asked["number"], consent=asked["consent"])])
            if isinstance(decision, TiergateError):
                raise decision
            index, told = decision.log_index, {"decision": decision.id, "rung": decision.rung}
        parts = store.receipt(index)
    except TiergateError as error:
        return {"error": error.reason.name}
    receipt = LogProof(index, parts.hashes, parts.checkpoint.encode()).to_bytes().decode()
    return {"index": index, "entry": parts.entry.decode(), "receipt": receipt, **told}


async def serve(folder: Path) -> None:
    """Serve until killed."""
    store = open_store(folder)
    await begin(store)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def one(line: bytes) -> None:
            asked = json.loads(line)
            told = await answer(store, asked)
            writer.write(json.dumps({"id": asked["id"], **told}).encode() + b"\n")

        async with asyncio.TaskGroup() as group:
            while line := await reader.readline():
                group.create_task(one(line))

    server = await asyncio.start_unix_server(client, folder / SOCKET)
    await server.serve_forever()


def main() -> int:
    """Exit code 3: the store refused to open, with a typed error on stderr."""
    folder = Path(sys.argv[1])
    (folder / PID).write_text(str(os.getpid()), "ascii")
    try:
        asyncio.run(serve(folder))
    except TiergateError as error:
        sys.stderr.write(f"refused to start: {error.reason.name}\n")
        return REFUSED_TO_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
