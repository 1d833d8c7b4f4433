from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.localnet.provision import Network
from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.note import parse_note
from gateway.consentlog.shard import PLACES
from gateway.consentlog.trust import TrustPolicy
from gateway.storage.sealing import next_key_file
from tests.fakes.next_key import enter_next_key
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_backup import Gateway, back_up, restore

NEXT = "tiergate.example/log/2027q1/shard1"


class Sealing(Gateway):
    """A stopped gateway whose log is to be sealed."""

    def __init__(self, network: Network, run: Run) -> None:
        super().__init__(network)
        self.run, self.layout = run, network.layout
        self.key = network.layout.gateway / "log.key"

    def prepare(self, origin: str = NEXT, *, days: int = 7, enter: bool = True) -> str:
        out = next_key_file(self.key)
        made = self.run("certs", "key", "--purpose", "log", "--origin", origin, "--out", out, "--json")
        assert made.code == 0, made.err
        vkey: str = made.document["vkey"]
        if enter:
            enter_next_key(self.layout, vkey, days=days)
        return vkey

    def seal(self, code: int = 0) -> Any:
        done = self.run("audit", "seal", "--config", self.config, "--json")
        assert done.code == code, done.err
        if code == 0:
            from gateway.consentlog.key_file import read_signer

            self.signer = read_signer(self.key)
        return done.document if code == 0 else done.err


@pytest.fixture
def sealing(network: Network, run: Run) -> Sealing:
    return Sealing(network, run)


async def test_a_shard_is_sealed_once(sealing: Sealing) -> None:
    size = await sealing.grow(3)
    vkey = sealing.prepare()
    done = sealing.seal()
    assert (done["sealed"], done["size"], done["next_vkey"]) == (True, size + 1, vkey)
    head = Checkpoint.parse(parse_note(done["checkpoint"].encode()).text)
    assert (head.origin, head.size) == (done["origin"], size + 1)
    again = sealing.seal()
    assert again == {"sealed": False, "newest_origin": NEXT, "newest_vkey": vkey}
    async with sealing.running() as store:
        assert store.end() > PLACES


async def test_what_an_interrupted_seal_left_is_finished_by_the_same_command(
    sealing: Sealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sealing.grow(1)
    sealing.prepare()
    monkeypatch.setattr("gateway.storage.sealing.finish_seal", lambda *_: False)
    assert sealing.seal()["sealed"]
    assert next_key_file(sealing.key).exists()
    monkeypatch.undo()
    assert sealing.seal()["newest_origin"] == NEXT
    assert not next_key_file(sealing.key).exists()


async def test_a_directory_that_does_not_go_with_it_refuses(sealing: Sealing) -> None:
    await sealing.grow(1)
    assert "no log.key.next" in sealing.seal(2)
    sealing.prepare(enter=False)
    assert "does not name the next key" in sealing.seal(1)
    next_key_file(sealing.key).unlink()
    sealing.prepare(days=-1)
    assert "trusted no more" in sealing.seal(1)
    assert await sealing.grow(1) < PLACES


async def test_a_gateway_that_runs_is_left_alone(sealing: Sealing) -> None:
    sealing.prepare()
    async with sealing.running():
        said = await asyncio.to_thread(sealing.seal, 3)
    assert "STORE_BUSY" in said


async def test_backups_keep_their_continuity_across_a_seal(sealing: Sealing, run: Run, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    await sealing.grow(2)
    back_up(run, sealing, before)
    sealing.prepare()
    sealing.seal()
    await sealing.grow(2)
    back_up(run, sealing, after)
    code, said = restore(run, sealing, before)
    assert (code, "fork" in said) == (1, True)  # the database in place is of a later shard
    shutil.rmtree(sealing.database.parent)
    code, said = restore(run, sealing, before)
    assert (code, "fork" in said) == (1, True)  # and so is the mark
    code, said = restore(run, sealing, after)
    assert code == 0, said
    assert await sealing.grow(1) > 3


async def test_on_a_new_machine_the_newest_known_checkpoint_tells_of_the_seal(
    sealing: Sealing, run: Run, tmp_path: Path
) -> None:
    before, after, known = tmp_path / "before", tmp_path / "after", tmp_path / "known"
    await sealing.grow(2)
    back_up(run, sealing, before)
    sealing.prepare()
    sealing.seal()
    async with sealing.running() as store:
        known.write_text(store.checkpoint(), "utf-8")
    back_up(run, sealing, after)
    shutil.rmtree(sealing.database.parent)
    sealing.mark.unlink()
    for source, code in ((before, 1), (after, 0)):
        done = run("restore", "--config", sealing.config, "--from", source, "--newest-known", known)
        assert done.code == code, done.err


def test_a_trust_file_names_every_shard_and_its_time(sealing: Sealing, run: Run, tmp_path: Path) -> None:
    old = str(sealing.signer.verifier)
    vkey = sealing.prepare()
    shared = sealing.layout.shared
    files = ("--root", shared / "root.json", "--directory", shared / "directory.json", "--out", tmp_path / "trust")
    done = run("audit", "trust", *files, "--json")
    assert done.document["logs"] == [old, vkey]
    policy = TrustPolicy.parse((tmp_path / "trust").read_bytes())
    assert [str(key) for key in policy.logs] == [old, vkey]
    window = policy.window(policy.logs[0])
    assert window.from_ms is not None
    assert window.until_ms is not None
    assert window.until_ms - window.from_ms == 37 * 86_400_000
    assert policy.window(policy.logs[1]).until_ms is None


async def test_the_doctor_tells_the_age_of_a_shard_and_of_a_seal_that_is_due(
    sealing: Sealing, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def findings() -> dict[str, tuple[str, str]]:
        done = await asyncio.to_thread(run, "doctor", "--config", sealing.config, "--json")
        return {Path(item["subject"]).name: (item["state"], item["message"]) for item in done.document["findings"]}

    assert "gateway.db" not in await findings()
    await sealing.grow(1)
    sealing.prepare()
    state, text = (await findings())["log.key"]
    assert (state, "among the earlier ones" in text) == ("problem", True)
    sealing.seal()
    found = await findings()
    assert found["log.key"][0] == "ok"
    assert found["gateway.db"] == ("ok", f"shard 1 of {found['gateway.db'][1].split()[3]} entries, begun 0 days ago")
    monkeypatch.setattr("gateway.cli.local_checks.QUARTER_DAYS", -1)
    assert (await findings())["gateway.db"][0] == "warning"
