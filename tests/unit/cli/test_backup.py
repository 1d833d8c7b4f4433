from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.cli.backup import DATABASE
from gateway.cli.localnet.provision import Network
from gateway.consentlog.note import SignerKey
from gateway.domain.ids import BundleDigest, OperatorId
from gateway.storage.mark import HighWaterMark
from gateway.storage.sqlite_store import SqliteStore
from tests.fakes.clock import FakeClock
from tests.unit.cli.conftest import Run

BUNDLE = b"synthetic bundle"


class Gateway:
    """A stopped gateway: its settings and its database."""

    def __init__(self, network: Network) -> None:
        self.config = network.layout.gateway / "gateway.toml"
        self.signer = SignerKey.parse((network.layout.gateway / "log.key").read_text("ascii").strip())
        self.database = network.layout.gateway / "data" / DATABASE
        self.mark = network.layout.gateway / "log.mark"
        self.clock = FakeClock()

    @asynccontextmanager
    async def running(self, database: Path | None = None) -> AsyncIterator[SqliteStore]:
        """The store, held as a running gateway holds it."""
        path = database or self.database
        path.parent.mkdir(exist_ok=True)
        mark = self.mark if database is None else database.with_name("its.mark")
        store = SqliteStore(path, mark, self.signer, self.clock)
        await store.start("fujian")
        digest = BundleDigest(sha256(BUNDLE).hexdigest())
        await store.publish_bundle(digest, 1, BUNDLE, self.clock.now_ms())
        try:
            yield store
        finally:
            await store.close()

    async def grow(self, entries: int, database: Path | None = None) -> int:
        """Let the log grow; its size."""
        async with self.running(database) as store:
            for number in range(entries):
                await refuse(store, self.clock, number)
            return store.size()


async def refuse(store: SqliteStore, clock: FakeClock, number: int) -> None:
    await store.record_refusal(OperatorId("xiamen-library"), f"scenario-{number}", "SCENARIO_NOT_OPEN", clock.now_ms())


@pytest.fixture
def gateway(network: Network) -> Gateway:
    return Gateway(network)


def back_up(run: Run, gateway: Gateway, out: Path) -> int:
    done = run("backup", "--config", gateway.config, "--out", out, "--json")
    assert done.code == 0, done.err
    size: int = done.document["size"]
    return size


def restore(run: Run, gateway: Gateway, source: Path) -> tuple[int, str]:
    done = run("restore", "--config", gateway.config, "--from", source)
    return done.code, done.err


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def leftovers(folder: Path) -> list[str]:
    return [name for name in names(folder) if name.startswith(f".{DATABASE}")]


async def test_a_backup_of_a_running_gateway(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    out = tmp_path / "backup.db"
    async with gateway.running() as store:
        await refuse(store, gateway.clock, 1)
        size = store.size()
        assert back_up(run, gateway, out) == size
        await refuse(store, gateway.clock, 2)  # the gateway goes on
        assert store.size() == size + 1
    assert out.stat().st_mode & 0o777 == 0o600
    assert leftovers(tmp_path) == []


async def test_a_backup_of_more_than_one_tile(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    size = await gateway.grow(300)
    assert back_up(run, gateway, tmp_path / "backup.db") == size


async def test_a_restored_gateway_goes_on(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    size = await gateway.grow(3)
    back_up(run, gateway, tmp_path / "backup.db")
    shutil.rmtree(gateway.database.parent)
    code, told = restore(run, gateway, tmp_path / "backup.db")
    assert code == 0, told
    assert gateway.database.stat().st_mode & 0o777 == 0o600
    assert await gateway.grow(1) == size + 1


async def test_a_newer_backup_replaces_a_shorter_log(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    await gateway.grow(1)
    old = tmp_path / "old.db"
    back_up(run, gateway, old)
    size = await gateway.grow(2)
    new = tmp_path / "new.db"
    back_up(run, gateway, new)
    shutil.copyfile(old, gateway.database)
    for suffix in ("-wal", "-shm"):
        gateway.database.with_name(DATABASE + suffix).unlink(missing_ok=True)
    done = run("restore", "--config", gateway.config, "--from", new, "--json")
    assert done.code == 0
    assert done.document["size"] == size
    assert done.document["replaced_size"] == size - 2


async def test_an_older_backup_never_replaces_a_longer_log(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    await gateway.grow(1)
    back_up(run, gateway, tmp_path / "backup.db")
    size = await gateway.grow(1)
    code, told = restore(run, gateway, tmp_path / "backup.db")
    assert code == 1
    assert "fork" in told
    assert await gateway.grow(1) == size + 1


async def test_an_older_backup_is_refused_where_the_database_is_lost_but_its_mark_is_there(
    run: Run, gateway: Gateway, tmp_path: Path
) -> None:
    await gateway.grow(1)
    back_up(run, gateway, tmp_path / "backup.db")
    await gateway.grow(1)
    shutil.rmtree(gateway.database.parent)
    code, told = restore(run, gateway, tmp_path / "backup.db")
    assert code == 1
    assert "fork" in told
    assert not gateway.database.exists()


async def test_on_a_new_machine_the_newest_known_checkpoint_decides(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    known = {}
    for number in range(3):
        async with gateway.running() as store:
            await refuse(store, gateway.clock, number)
            (tmp_path / f"checkpoint-{number}").write_text(store.checkpoint(), "utf-8")
            known[number] = store.size()
        if number == 1:
            back_up(run, gateway, tmp_path / "backup.db")
    shutil.rmtree(gateway.database.parent)
    gateway.mark.unlink()
    code, told = restore(run, gateway, tmp_path / "backup.db")
    assert (code, "--newest-known" in told) == (1, True)
    arguments = ("restore", "--config", gateway.config, "--from", tmp_path / "backup.db", "--newest-known")
    newer = run(*arguments, tmp_path / "checkpoint-2")
    assert (newer.code, "fork" in newer.err) == (1, True)
    assert not gateway.mark.exists()
    assert run(*arguments, tmp_path / "checkpoint-0").code == 0
    assert await gateway.grow(0) == known[1]


async def test_a_backup_of_another_history_is_refused(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    await gateway.grow(1)
    gateway.clock.advance(1)
    other = tmp_path / "other" / DATABASE
    await gateway.grow(5, other)
    code, told = restore(run, gateway, other)
    assert code == 1
    assert "another history" in told


async def test_a_running_gateway_is_not_restored(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    await gateway.grow(1)
    back_up(run, gateway, tmp_path / "backup.db")
    async with gateway.running():
        code, told = restore(run, gateway, tmp_path / "backup.db")
    assert code == 3
    assert "held by another process" in told


async def test_nothing_is_restored_while_a_copy_of_the_data_directory_runs(
    run: Run, gateway: Gateway, tmp_path: Path
) -> None:
    size = await gateway.grow(1)
    back_up(run, gateway, tmp_path / "backup.db")
    with closing(HighWaterMark(gateway.mark, gateway.signer.name)):
        code, told = restore(run, gateway, tmp_path / "backup.db")
    assert code == 3
    assert "log.mark is held by another process; stop every copy" in told
    assert leftovers(gateway.database.parent) == []
    assert await gateway.grow(1) == size + 1


async def test_a_damaged_backup_is_not_restored(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    size = await gateway.grow(3)
    out = tmp_path / "backup.db"
    back_up(run, gateway, out)
    with closing(sqlite3.connect(out)) as connection:
        connection.execute("DROP TRIGGER entry_is_final")
        connection.execute("UPDATE entry SET leaf = replace(leaf, 'scenario-1', 'scenario-9')")
        connection.commit()
    code, told = restore(run, gateway, out)
    assert code == 4
    assert "PROOF_OF_LOG_INVALID" in told
    assert await gateway.grow(0) == size
    assert leftovers(gateway.database.parent) == []


async def test_a_log_of_another_key_is_not_restored(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger" / DATABASE
    own, gateway.signer = gateway.signer, SignerKey.generate(gateway.signer.name)
    await gateway.grow(1, stranger)
    gateway.signer = own
    assert restore(run, gateway, stranger)[0] == 4
    assert not gateway.database.exists()


@pytest.mark.parametrize("content", [b"", b"not a database, but longer than a header of one hundred bytes" * 3])
def test_what_is_no_backup(run: Run, gateway: Gateway, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    code, _ = restore(run, gateway, tmp_path / "file")
    assert code in {1, 4}
    assert not gateway.database.exists()


async def test_an_unreadable_database_in_place_is_kept(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    await gateway.grow(1)
    back_up(run, gateway, tmp_path / "backup.db")
    gateway.database.write_bytes(b"damage" * 1000)
    for suffix in ("-wal", "-shm"):  # else SQLite mends the file from what it finds there
        gateway.database.with_name(DATABASE + suffix).unlink(missing_ok=True)
    code, told = restore(run, gateway, tmp_path / "backup.db")
    assert code == 1
    assert "move gateway.db" in told
    assert gateway.database.read_bytes() == b"damage" * 1000


async def test_a_left_over_write_ahead_log_is_not_replayed(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    await gateway.grow(1)
    back_up(run, gateway, tmp_path / "backup.db")
    gateway.database.unlink()
    gateway.database.with_name(f"{DATABASE}-wal").write_bytes(b"old")
    code, told = restore(run, gateway, tmp_path / "backup.db")
    assert code == 1
    assert "write-ahead log" in told


async def test_a_backup_is_never_overwritten(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    await gateway.grow(1)
    (tmp_path / "backup.db").write_text("precious", "utf-8")
    assert run("backup", "--config", gateway.config, "--out", tmp_path / "backup.db").code == 2
    assert (tmp_path / "backup.db").read_text("utf-8") == "precious"


async def test_a_damaged_database_gives_no_backup(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    await gateway.grow(3)
    with closing(sqlite3.connect(gateway.database)) as connection:
        connection.execute("DROP TRIGGER entry_stays")
        connection.execute("DELETE FROM entry WHERE idx = 2")
        connection.commit()
    done = run("backup", "--config", gateway.config, "--out", tmp_path / "backup.db")
    assert done.code == 4
    assert names(tmp_path) == ["network"]


def test_nothing_to_back_up(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    assert run("backup", "--config", gateway.config, "--out", tmp_path / "backup.db").code == 2
    assert run("backup", "--config", tmp_path / "nowhere.toml", "--out", tmp_path / "backup.db").code == 2
    assert restore(run, gateway, tmp_path / "nowhere.db")[0] == 2
