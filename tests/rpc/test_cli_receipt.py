"""The command around consent receipts: got from a real adapter, kept, and verified with no network and no profile."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.fakes.running import LOW, TOP, Ran, Running


async def _registered(network: Running, identifier: str) -> Ran:
    """Her receipt, once the report of the first use has reached the city."""
    while True:
        got = await network.consent("receipt", identifier, "--resident", TOP, "--json")
        assert got.code == 0, got.err
        if got.document["registration"] is not None:
            return got


async def test_a_receipt_from_grant_to_withdrawal_and_on_another_machine(network: Running, tmp_path: Path) -> None:
    identifier, token = await network.granted("to-be-kept.jwt", "--uses", 3)
    before = await network.consent("receipt", identifier, "--resident", TOP, "--token-file", token, "--json")
    assert before.code == 0, before.err
    assert (before.document["registration"], before.document["token_checked"]) == (None, True)
    words = await network.consent("receipt", identifier, "--resident", TOP)
    assert "a consent enters the log with its first check" in words.out

    checked = await network.check(token, "--json")
    registered = await _registered(network, identifier)
    assert registered.document["registration"]["log_index"] == checked.document["log_index"] - 1

    withdrawn = await network.consent("withdraw", identifier, "--resident", TOP, "--json")
    assert withdrawn.document["acknowledged"] is True
    assert withdrawn.document["checkpoint_size"] > withdrawn.document["log_index"]
    kept = tmp_path / "kept.jwt"
    last = await network.consent("receipt", identifier, "--resident", TOP, "--out", kept, "--json")
    assert last.document["state"] == "withdrawn"
    assert last.document["changes"][0]["log"] == {
        "log_index": withdrawn.document["log_index"],
        "checkpoint_size": withdrawn.document["checkpoint_size"],
    }
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (await network.consent("receipt", identifier, "--resident", TOP, "--out", kept)).code == 2

    elsewhere = tmp_path / "elsewhere"  # three public files and the receipt
    shutil.copytree(network.layout.shared, elsewhere)
    public = ("--root", elsewhere / "root.json", "--directory", elsewhere / "directory.json")
    trusted = ("--trust", elsewhere / "trust")
    verified = await network.run("consent", "receipt", "--verify", kept, *public, *trusted)
    assert verified.code == 0, verified.err
    assert "verified: the city's signature and every proof" in verified.out
    assert f"log index {withdrawn.document['log_index']}" in verified.out

    data = kept.read_bytes()
    for at in (0, len(data) // 3, len(data) // 2, len(data) - 2, len(data) - 1):
        kept.write_bytes(bytes([*data[:at], data[at] ^ 1, *data[at + 1 :]]))
        spoilt = await network.run("consent", "receipt", "--verify", kept, *public, *trusted, "--json")
        assert spoilt.code == 4
        assert json.loads(spoilt.out)["error"]["reason"] == "RECEIPT_INVALID"
    kept.write_bytes(data)
    _, other = await network.granted("another.jwt", "--uses", 1)
    wrong = await network.run("consent", "receipt", "--verify", kept, *public, "--token-file", other)
    assert wrong.code == 4
    assert "another token" in wrong.err


async def test_what_makes_no_sense_is_refused(network: Running, tmp_path: Path) -> None:
    identifier, _ = await network.granted("never-used.jwt", "--uses", 1)
    assert (await network.consent("receipt", identifier, "--resident", LOW)).code == 1
    assert (await network.consent("receipt", identifier)).code == 2
    assert (await network.consent("receipt")).code == 2
    assert (await network.consent("receipt", identifier, "--resident", TOP, "--verify", tmp_path / "x")).code == 2
    assert (await network.run("consent", "receipt", "--verify", tmp_path / "x", "--root", tmp_path / "y")).code == 2
    assert (await network.consent("receipt", "--verify", tmp_path / "absent")).code == 2
    (tmp_path / "noise").write_bytes(b"\xff" * 50)
    assert (await network.consent("receipt", "--verify", tmp_path / "noise")).code == 4
