"""A stored log that is sealed and goes on, for tests; as a program it dies at a point of the seal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.consentlog.export import shard_path, write_export
from gateway.consentlog.key_file import read_signer
from gateway.consentlog.note import SignerKey
from gateway.consentlog.shard import first_of
from gateway.domain.ids import BundleDigest
from gateway.ports import LogReader
from gateway.storage import sealing
from gateway.storage.mark import HighWaterMark
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import draft
from tests.fakes.clock import FakeClock
from tests.unit.consentlog.samples import BUNDLE, DIGEST

ORIGIN = "log.example/fujian/2026q4"
NEXT = "log.example/fujian/2027q1/shard1"
POINTS = ("before the commit", "before the mark", "before the key", "after the key")


@dataclass
class Shard:
    """An ``EntrySource`` of one shard of a store."""

    log: LogReader
    number: int

    def checkpoint(self) -> str:
        return self.log.checkpoint(self.number)

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        first = first_of(self.number)
        return self.log.entries(first + start, first + end)


class StoredLog:
    """Database, mark and keys in a folder, with the key of the next shard at hand."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, FakeClock()
        (folder / "data").mkdir(parents=True, exist_ok=True)
        self.database, self.mark, self.key = folder / "data" / "gateway.db", folder / "log.mark", folder / "log.key"
        if not self.key.exists():
            self.vkeys = [self.make_key(self.key, ORIGIN)]

    def make_key(self, path: Path, origin: str) -> str:
        signer = SignerKey.generate(origin)
        path.write_text(signer.to_secret_text(), "ascii")
        path.chmod(0o600)
        return str(signer.verifier)

    def prepare(self, origin: str = NEXT) -> None:
        self.vkeys.append(self.make_key(sealing.next_key_file(self.key), origin))

    def seal(self) -> sealing.Sealed:
        policies = [sealing.Policy(BundleDigest(DIGEST), 1, BUNDLE)]
        return sealing.seal(self.database, self.mark, self.key, policies, 7, self.clock.now_ms())

    def trust(self) -> bytes:
        return "".join(f"log {vkey}\n" for vkey in self.vkeys).encode() + b"quorum none\n"

    def open(self) -> SqliteStore:
        signer = sealing.current_signer(self.database, self.key)
        return SqliteStore(self.database, self.mark, signer, self.clock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SqliteStore]:
        store = self.open()
        try:
            await store.start("fujian")
            await store.publish_bundle(BundleDigest(DIGEST), 1, BUNDLE, self.clock.now_ms())
            yield store
        finally:
            await store.close()

    def export(self, store: SqliteStore, folder: Path) -> Path:
        """All shards, as ``audit export`` writes them."""
        for number in range(len(self.vkeys)):
            target = folder if not number else folder / shard_path(number)
            write_export(Shard(store, number), target, {DIGEST: BUNDLE}, self.trust())
        return folder


def dying(point: str) -> Callable[..., Any]:
    """Something that kills this process instead of doing its work."""

    def die(*_arguments: object, **_named: object) -> None:
        sys.stdout.write(point)
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    return die


async def seal_running(log: StoredLog, point: str) -> None:
    """As a gateway does that runs, after another decision."""
    async with log.running() as store:
        await store.record_many([replace(draft(log.clock, 99), bundle=BundleDigest(DIGEST))])
        if point == "before the mark":
            HighWaterMark.advance = dying(point)  # type: ignore[method-assign]
        elif point == "after the key":
            vars(os)["fsync"] = dying(point)
        policies = [sealing.Policy(BundleDigest(DIGEST), 1, BUNDLE)]
        await store.seal(read_signer(sealing.next_key_file(log.key)), policies, 7)
        if point == "before the key":
            dying(point)()
        sealing.replace_key(log.key)


def main() -> None:
    """Seal the log in a folder, and die at a point."""
    log, point, way = StoredLog(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
    sign = sealing._sign
    signed: list[str] = []

    def sign_twice(*arguments: Any) -> Any:
        signed.append("")
        return dying(point)() if len(signed) == 2 else sign(*arguments)

    if way == "running" and point != "before the commit":
        asyncio.run(seal_running(log, point))
        return
    match point:
        case "before the commit":
            vars(sealing)["_sign"] = sign_twice
        case "before the mark":
            HighWaterMark.advance = dying(point)  # type: ignore[method-assign]
        case "before the key":
            vars(sealing)["finish_seal"] = dying(point)
        case _:
            vars(os)["fsync"] = dying(point)  # the one that is left: of the folder of the key, after its renaming
    if way == "running":
        asyncio.run(seal_running(log, point))
    else:
        log.seal()


if __name__ == "__main__":
    main()
