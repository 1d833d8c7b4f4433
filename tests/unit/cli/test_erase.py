from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.domain.ids import BundleDigest
from tests.contract.store_samples import draft, record
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_backup import BUNDLE, Gateway, back_up, gateway, restore

__all__ = ["gateway"]  # a fixture
ORDER = ("--authority", "fuzhou-court", "--order", "0d" * 32)


async def decided(gateway: Gateway) -> int:
    """A log with one decision; the index of its consent's registration."""
    from dataclasses import replace

    async with gateway.running() as store:
        digest = BundleDigest(sha256(BUNDLE).hexdigest())
        (decision,) = await record(store, replace(draft(gateway.clock, 1), bundle=digest))
    return decision.log_index - 1


async def test_an_order_is_carried_out_and_the_log_goes_on(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    registered = await decided(gateway)
    done = await asyncio.to_thread(run, "erase", "--config", gateway.config, "--consent", registered, *ORDER, "--json")
    assert done.code == 0, done.err
    assert done.document["log_index"] == registered + 2
    assert b"synthetic.attestation.bytes" not in gateway.database.read_bytes()
    assert back_up(run, gateway, tmp_path / "after") == registered + 3
    assert b"synthetic.attestation.bytes" not in (tmp_path / "after").read_bytes()
    assert restore(run, gateway, tmp_path / "after")[0] == 0
    assert await gateway.grow(2) == registered + 5


async def test_a_backup_holds_nothing_of_what_was_erased_before_the_file_is_rewritten(
    run: Run, gateway: Gateway, tmp_path: Path
) -> None:
    registered = await decided(gateway)
    erased = b"synthetic.attestation.bytes"
    with closing(sqlite3.connect(gateway.database)) as connection:  # as pages that were rearranged before leave it
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute("DELETE FROM attestation")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert erased in gateway.database.read_bytes()
    async with gateway.running() as store:
        assert back_up(run, gateway, tmp_path / "backup") == store.size() == registered + 2
    assert erased not in (tmp_path / "backup").read_bytes()
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    assert restore(run, gateway, tmp_path / "backup")[0] == 0
    assert erased not in gateway.database.read_bytes()


async def test_a_backup_from_before_an_erasure_cannot_be_put_back(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    registered = await decided(gateway)
    back_up(run, gateway, tmp_path / "before")
    done = await asyncio.to_thread(run, "erase", "--config", gateway.config, "--consent", registered, *ORDER)
    assert done.code == 0
    code, said = restore(run, gateway, tmp_path / "before")
    assert code != 0
    assert "fork" in said


async def test_what_a_killed_restore_left_goes_with_an_erasure(run: Run, gateway: Gateway) -> None:
    await decided(gateway)
    left = gateway.database.with_name(f".{gateway.database.name}.{'0f' * 8}")
    left.write_bytes(gateway.database.read_bytes())
    assert (await asyncio.to_thread(run, "erase", "--config", gateway.config, "--due")).code == 0
    assert not left.exists()


async def test_a_running_gateway_is_left_alone(run: Run, gateway: Gateway) -> None:
    await decided(gateway)
    async with gateway.running():
        done = await asyncio.to_thread(run, "erase", "--config", gateway.config, "--due")
    assert done.code != 0


async def test_what_is_not_due_stays(run: Run, gateway: Gateway) -> None:
    await decided(gateway)
    done = await asyncio.to_thread(run, "erase", "--config", gateway.config, "--due", "--json")
    assert done.code == 0, done.err
    kept = b"".join(path.read_bytes() for path in gateway.database.parent.iterdir())
    assert b"synthetic.attestation.bytes" in kept


@pytest.mark.parametrize("arguments", [(), ("--due", "--consent", "2"), ("--consent", "2")])
def test_it_is_said_what_to_erase(run: Run, gateway: Gateway, arguments: tuple[str, ...]) -> None:
    assert run("erase", "--config", gateway.config, *arguments).code == 2


async def test_one_field_is_shown_and_verified(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    from gateway.consentlog.export import write_export

    index = await decided(gateway) + 1
    out = tmp_path / "opening"
    done = run("audit", "open", index, "--config", gateway.config, "--field", "decided_at", "--out", out)
    assert done.code == 0, done.err
    trust = tmp_path / "trust"
    trust.write_text(f"log {gateway.signer.verifier}\nquorum none\n")
    async with gateway.running() as store:
        write_export(store, tmp_path / "export", {sha256(BUNDLE).hexdigest(): BUNDLE}, trust.read_bytes())
    where = ("--trust", trust, "--export", tmp_path / "export", "--index")
    shown = run("audit", "verify-opening", out, *where, index, "--json")
    assert shown.code == 0, shown.err
    assert shown.document["value"] == str(gateway.clock.now_ms())
    out.write_bytes(out.read_bytes().replace(shown.document["value"].encode(), b"1"))
    assert run("audit", "verify-opening", out, *where, index).code == 4
