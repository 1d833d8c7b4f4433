"""The command as auditors and those who operate a process use it, against a real gateway and a real adapter."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from gateway.cli.localnet.plan import Layout
from gateway.crypto.envelope import BUNDLE_TYPE, DIRECTORY_TYPE, read, sign
from gateway.crypto.keys import load_private_key
from gateway.policy.bundle import build_bundle
from gateway.policy.directory import build_directory, read_directory
from gateway.policy.load import load_policies
from tests.fakes.running import CITY, OPERATOR, Running


async def test_an_auditor_lists_shows_exports_and_verifies(network: Running) -> None:
    _, token = await network.granted("audited.jwt", "--uses", 1)
    decided = (await network.check(token, "--json")).document
    listed = await network.audit("list", "--type", "decision", "--outcome", "entitled", "--city", CITY, "--json")
    assert decided["log_index"] in {item["index"] for item in listed.document["entries"]}
    assert {item["type"] for item in listed.document["entries"]} == {"decision"}
    assert (await network.audit("list", "--to", "2026-01-01", "--json")).document["entries"] == []
    assert (await network.audit("list", "--from", "2026-01-01", "--last", 1, "--json")).document["entries"]
    assert "time (UTC)" in (await network.audit("list")).out

    shown = await network.audit("show", decided["log_index"], "--json")
    assert shown.document["entry"]["id"] == decided["decision_id"]
    missing = await network.audit("show", 10**6)
    assert missing.code == 1
    assert "RANGE_INVALID" in missing.err

    folder = network.folder / "export"
    exported = await network.audit("export", "--out", folder, "--json")
    assert exported.code == 0, exported.err
    verified = await network.run("audit", "verify", folder, "--trust", network.layout.shared / "trust", "--json")
    assert verified.code == 0
    assert verified.document["root"] == exported.document["root"]
    drawing = ("audit", "sample", folder, "--trust", network.layout.shared / "trust", "--count", 1000, "--json")
    drawn = await network.run(*drawing, "--type", "decision", "--nonce", "of the test")
    assert drawn.document["verified"]["root"] == exported.document["root"]
    assert decided["log_index"] in {item["index"] for item in drawn.document["sample"]}
    assert {item["type"] for item in drawn.document["sample"]} == {"decision"}
    assert (await network.audit("export", folder)).code == 0  # brought up to date in place
    reads = await network.audit("list", "--type", "audit_read", "--json")
    whole = [item["end"] for item in reads.document["entries"] if item["start"] == 0]
    assert max(whole) == exported.document["size"]  # what lay there already was not read again


async def test_roles_are_kept_apart(network: Running) -> None:
    profile = network.layout.operator(OPERATOR) / "client.toml"
    false = profile.with_name("false.toml")
    text = profile.read_text("utf-8").replace('role = "operator"', 'role = "auditor"')
    false.write_text("\n".join(line for line in text.splitlines() if not line.startswith("proof_")), "utf-8")
    done = await network.run("audit", "list", "--profile", false)
    assert done.code == 1
    assert "CALLER_NOT_PERMITTED" in done.err


@pytest.mark.parametrize("who", ["operator", "auditor", "app", "gateway", "adapter"])
async def test_the_doctor_finds_nothing_to_mend(network: Running, who: str) -> None:
    layout = network.layout
    arguments: tuple[object, ...] = {
        "operator": ("--profile", layout.operator(OPERATOR) / "client.toml"),
        "auditor": ("--profile", layout.auditor / "client.toml"),
        "app": ("--profile", layout.app(CITY) / "client.toml"),
        "gateway": ("--config", layout.gateway / "gateway.toml"),
        "adapter": ("--config", layout.city(CITY) / "adapter.toml"),
    }[who]
    done = await network.run("doctor", *arguments, "--json")
    assert done.code == 0, done.out
    (peer, *_) = [item["subject"] for item in done.document["findings"] if item["check"] == "peer"]
    fine = {item["check"] for item in done.document["findings"] if item["subject"] == peer and item["state"] == "ok"}
    assert fine == {"peer", "clock", "directory", "bundle", *(("log",) if who == "auditor" else ())}


def _copied(network: Running, name: str) -> Layout:
    """The files of the network, to be changed; the processes go on with their own."""
    return Layout(Path(shutil.copytree(network.layout.base, network.folder / name, ignore=_without_data)))


def _without_data(_folder: str, names: list[str]) -> set[str]:
    return {"data", "log.mark"} & set(names)


@pytest.mark.parametrize("who", ["operator", "auditor", "gateway"])
async def test_the_doctor_sees_another_bundle(network: Running, who: str) -> None:
    layout = _copied(network, f"other-bundle-{who}")
    keys = [load_private_key(key) for key in layout.signing_keys]
    data = build_bundle(load_policies(network.checkout / "policies"), 2, date(2027, 12, 31))
    (layout.shared / "bundle.json").write_bytes(sign(BUNDLE_TYPE, data, keys))
    arguments: tuple[object, ...] = {
        "operator": ("--profile", layout.operator(OPERATOR) / "client.toml"),
        "auditor": ("--profile", layout.auditor / "client.toml"),
        "gateway": ("--config", layout.gateway / "gateway.toml"),
    }[who]
    done = await network.run("doctor", *arguments, "--json")
    assert done.code == 1
    (found,) = (item for item in done.document["findings"] if item["state"] == "problem")
    assert found["check"] == "bundle"
    assert "another policy bundle" in found["message"]
    assert found["remedy"]


async def test_the_doctor_tells_whose_directory_is_the_older_one(network: Running) -> None:
    layout = _copied(network, "other-directory")
    keys = [load_private_key(key) for key in layout.signing_keys]
    file = layout.shared / "directory.json"
    held = read_directory(read(file.read_bytes())[1])
    newer = build_directory(replace(held, version=held.version + 1))
    file.write_bytes(sign(DIRECTORY_TYPE, newer, keys))
    done = await network.run("doctor", "--config", layout.city(CITY) / "adapter.toml", "--json")
    assert done.code == 0
    told = [item for item in done.document["findings"] if item["check"] == "directory"]
    (found,) = (item for item in told if item["state"] == "warning")
    assert f"version {held.version} of the directory, ours is {held.version + 1}" in found["message"]
    assert "its place" in found["remedy"]


async def test_the_doctor_sees_an_unknown_authority(network: Running) -> None:
    layout = _copied(network, "other-authority")
    tls = layout.operator(OPERATOR) / "tls"
    identity = "spiffe://example.invalid/operator/xiamen-library"
    made = await network.run("certs", "dev", "--out", network.folder / "stranger", "--identity", identity, "--json")
    shutil.copy(made.document["ca"], tls / "ca.pem")
    done = await network.run("doctor", "--profile", layout.operator(OPERATOR) / "client.toml", "--json")
    assert done.code == 1
    (found,) = (item for item in done.document["findings"] if item["state"] == "problem")
    assert "PEER_WRONG" in found["message"]
    assert "authority" in found["message"]


async def test_a_running_gateway_is_backed_up(network: Running) -> None:
    config = network.layout.gateway / "gateway.toml"
    done = await network.run("backup", "--config", config, "--out", network.folder / "backup.db", "--json")
    assert done.code == 0, done.err
    assert done.document["size"] > 1
    held = await network.run("restore", "--config", config, "--from", network.folder / "backup.db")
    assert held.code == 3


async def test_an_adapter_serves_the_city_of_its_settings_alone(network: Running) -> None:
    config = network.layout.city(CITY) / "adapter.toml"
    done = await network.run("adapter", "serve", "atlantis", "--config", config)
    assert done.code == 2
    assert "atlantis" in done.err


async def test_a_second_gateway_on_one_database_is_refused(network: Running) -> None:
    done = await network.run("serve", "--config", network.layout.gateway / "gateway.toml")
    assert done.code == 3
    assert "STORE_BUSY" in done.err
