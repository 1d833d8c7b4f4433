"""Signing by several authorities, and installing what they signed."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.cli.localnet.plan import AUTHORITIES, SIGNERS
from gateway.cli.localnet.provision import Network
from gateway.cli.peer_state import PeerState
from gateway.crypto.keys import thumbprint
from gateway.policy.installed import Installed, installed_directory
from tests.unit.cli.conftest import Run


@pytest.fixture
def keys(run: Run, tmp_path: Path) -> dict[str, Path]:
    """Keys of three authorities; the public parts lie beside them."""
    made = {name: tmp_path / f"{name}.pem" for name in ("province", "fuzhou", "xiamen")}
    for name, path in made.items():
        document = run("certs", "key", "--purpose", "authority", "--out", path, "--json").document
        (tmp_path / f"{name}.jwk").write_text(json.dumps(document["jwk"]), "utf-8")
    return made


def make_root(run: Run, keys: dict[str, Path], out: Path, version: int = 1) -> None:
    names = [f"--authority={name}={path.with_suffix('.jwk')}" for name, path in keys.items()]
    needed = [f"--threshold={kind}=2" for kind in ("bundle", "directory", "root")]
    ends = ("--expires", "2030-01-01T00:00Z")
    done = run("policy", "root", *names, *needed, "--version", version, *ends, "--out", out, "--json")
    assert done.code == 0, done.err
    assert done.document["thresholds"] == {"bundle": 2, "directory": 2, "root": 2}


def build(run: Run, policies: Path, out: Path, version: int, *more: object) -> str:
    done = run(
        "policy", "build", policies, "--version", version, "--expires", "2027-12-31", "--out", out, *more, "--json"
    )
    assert done.code == 0, done.err
    return str(done.document["digest"])


def sign(run: Run, file: Path, keys: Path | tuple[Path, ...], *more: str) -> None:
    named = [f"--key={key}" for key in (keys if isinstance(keys, tuple) else (keys,))]
    done = run("policy", "sign", file, *named, "--out", file.with_suffix(".json"), *more)
    assert done.code == 0, done.err


def test_two_of_three_sign_one_after_the_other(run: Run, keys: dict[str, Path], policies: Path, tmp_path: Path) -> None:
    root, plain = tmp_path / "root.json", tmp_path / "bundle.plain"
    signed = plain.with_suffix(".json")
    make_root(run, keys, root)
    build(run, policies, plain, 1)
    sign(run, plain, keys["province"], "--type", "bundle")
    done = run("policy", "verify", signed, "--root", root)
    assert done.code == 4
    assert "signed by province; 2 must sign" in done.err
    sign(run, signed, keys["xiamen"])
    assert run("policy", "verify", signed, "--root", root, "--json").document["signed_by"] == ["province", "xiamen"]


def test_a_root_follows_and_is_published(run: Run, keys: dict[str, Path], network: Network, tmp_path: Path) -> None:
    shared, config = network.layout.shared, network.layout.gateway / "gateway.toml"
    before = network.layout.signing_keys
    plain = tmp_path / "root.plain"
    make_root(run, keys, plain, version=2)
    sign(run, plain, keys["province"], "--type", "root")
    signed = plain.with_suffix(".json")
    sign(run, signed, keys["fuzhou"])
    assert run("policy", "publish", signed, "--config", config).code == 2  # the root before has not signed
    assert not (shared / "root.2.json").exists()
    sign(run, signed, before[0])
    assert run("policy", "publish", signed, "--config", config).code == 2  # one of the two that it asked for
    sign(run, signed, before[1])
    done = run("policy", "publish", signed, "--config", config, "--json")
    # directory and bundle are signed under the root before alone: the process could not start under the next one
    assert (done.code, done.document["error"]["reason"]) == (1, "INSTALLATION_BROKEN")
    assert not (shared / "root.2.json").exists()
    for name in ("directory.json", "bundle.json"):
        both = tmp_path / name
        both.write_bytes((shared / name).read_bytes())
        sign(run, both, (keys["province"], keys["fuzhou"]))
        assert run("policy", "publish", both, "--config", config).code == 0
    done = run("policy", "publish", signed, "--config", config, "--json")
    assert done.code == 0, done.err
    assert (shared / "root.2.json").read_bytes() == signed.read_bytes()
    assert run("policy", "status", "--config", config).code == 0


def test_a_newer_bundle_is_published_and_an_older_is_not(
    run: Run, network: Network, policies: Path, tmp_path: Path
) -> None:
    shared, config = network.layout.shared, network.layout.gateway / "gateway.toml"
    development = network.layout.signing_keys
    for version, name in ((1, "same"), (2, "newer")):
        build(run, policies, tmp_path / f"{name}.plain", version)
        sign(run, tmp_path / f"{name}.plain", development, "--type", "bundle")
    before = (shared / "bundle.json").read_bytes()
    refused = run("policy", "publish", tmp_path / "same.json", "--config", config, "--json")
    assert refused.code == 1
    assert refused.document["error"]["reason"] == "VERSION_NOT_NEWER"
    assert (shared / "bundle.json").read_bytes() == before
    done = run("policy", "publish", tmp_path / "newer.json", "--config", config)
    assert done.code == 0, done.err
    assert (shared / "bundle.json").read_bytes() == (tmp_path / "newer.json").read_bytes()


@pytest.mark.parametrize("authority", AUTHORITIES)
def test_no_authority_of_a_local_network_changes_a_rule_alone(
    run: Run, network: Network, policies: Path, tmp_path: Path, authority: str
) -> None:
    shared, config, plain = network.layout.shared, network.layout.gateway / "gateway.toml", tmp_path / "bundle.plain"
    build(run, policies, plain, 2)
    key, before = network.layout.signing_key(authority), (shared / "bundle.json").read_bytes()
    sign(run, plain, (key, key), "--type", "bundle")
    done = run("policy", "publish", plain.with_suffix(".json"), "--config", config)
    assert done.code == 4
    assert f"signed by {authority}; {SIGNERS} must sign" in done.err
    assert (shared / "bundle.json").read_bytes() == before
    (shared / "bundle.json").write_bytes(plain.with_suffix(".json").read_bytes())  # put there by hand
    done = run("policy", "status", "--config", config)
    assert done.code != 0
    assert "must sign" in done.err or "SIGNATURE_INVALID" in done.err


def test_a_folder_keeps_what_is_in_force_and_what_is_to_come(
    run: Run, network: Network, policies: Path, tmp_path: Path
) -> None:
    shared, config = network.layout.shared, network.layout.gateway / "gateway.toml"
    development = network.layout.signing_keys
    (shared / "bundle.json").rename(shared / "first.json")
    (shared / "bundle.json").mkdir()
    (shared / "first.json").rename(shared / "bundle.json" / "first.json")
    soon = datetime.fromtimestamp(time.time() + 3600, UTC).isoformat()
    for version, more in ((2, ("--effective", soon)), (3, ("--grace-hours", "0"))):
        plain = tmp_path / f"{version}.plain"
        build(run, policies, plain, version, *more)
        sign(run, plain, development, "--type", "bundle")
        done = run("policy", "publish", plain.with_suffix(".json"), "--config", config, "--json")
        assert done.code == 0, done.err
        if version == 2:
            assert len(list((shared / "bundle.json").iterdir())) == 2
            status = run("policy", "status", "--config", config, "--json").document
            assert [item["state"] for item in status["bundles"]] == ["in force", "to come"]
            assert {item["trouble"] for item in status["peers"]} == {"PEER_UNREACHABLE"}
    # the third is in force at once, without grace: the first can answer nothing more
    assert not (shared / "bundle.json" / "first.json").exists()
    assert [item["state"] for item in run("policy", "status", "--config", config, "--json").document["bundles"]][
        -1
    ] == ("in force")
    assert run("policy", "status", "--config", config).code == 0


def test_a_bundle_to_come_does_not_take_the_place_of_the_one_in_force(
    run: Run, network: Network, policies: Path, tmp_path: Path
) -> None:
    config, installed = network.layout.gateway / "gateway.toml", network.layout.shared / "bundle.json"
    before = installed.read_bytes()
    soon = datetime.fromtimestamp(time.time() + 3600, UTC).isoformat()
    build(run, policies, tmp_path / "next.plain", 2, "--effective", soon)
    sign(run, tmp_path / "next.plain", network.layout.signing_keys, "--type", "bundle")
    done = run("policy", "publish", tmp_path / "next.json", "--config", config)
    assert done.code == 1
    assert "no bundle is effective yet" in done.err
    assert "needs a folder" in done.err
    assert installed.read_bytes() == before


def test_an_installation_that_is_broken_is_put_together_again(
    run: Run, network: Network, policies: Path, tmp_path: Path
) -> None:
    config, shared = network.layout.gateway / "gateway.toml", network.layout.shared
    directory = shared / "directory.json"
    directory.rename(tmp_path / "kept.json")
    build(run, policies, tmp_path / "next.plain", 2)
    sign(run, tmp_path / "next.plain", network.layout.signing_keys, "--type", "bundle")
    done = run("policy", "publish", tmp_path / "next.json", "--config", config)
    assert done.code == 0, done.err
    assert "still cannot start" in done.out
    done = run("policy", "publish", tmp_path / "kept.json", "--config", config)
    assert done.code == 0, done.err
    assert "SIGHUP" in done.out
    assert run("policy", "status", "--config", config).code == 0


def test_notices_that_have_served_are_taken_away(run: Run, network: Network, tmp_path: Path) -> None:
    config, plain = network.layout.gateway / "gateway.toml", tmp_path / "notice.plain"
    notices = network.layout.shared / "notices"
    past = datetime.now(UTC) - timedelta(days=2)
    for hours in (1, 2):
        ends = (past + timedelta(hours=hours)).isoformat()
        run("policy", "notice", "--maintenance", f"quanzhou={past.isoformat()}/{ends}", "--out", plain)
        sign(run, plain, network.layout.signing_key("xiamen"), "--type", "notice")
        assert run("policy", "publish", plain.with_suffix(".json"), "--config", config).code == 0
    run("policy", "notice", "--remove-key", "k" * 43, "--out", plain)
    sign(run, plain, network.layout.signing_key("xiamen"), "--type", "notice")
    assert run("policy", "publish", plain.with_suffix(".json"), "--config", config).code == 0
    (left,) = notices.iterdir()
    assert left.read_bytes() == plain.with_suffix(".json").read_bytes()


@pytest.mark.parametrize("time_of", ["0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00"])
def test_a_time_out_of_all_bounds_is_refused(run: Run, policies: Path, tmp_path: Path, time_of: str) -> None:
    given = ("--version", 2, "--expires", "2027-12-31", "--effective", time_of, "--out", tmp_path / "bundle.plain")
    done = run("policy", "build", policies, *given)
    assert done.code == 2
    assert "--effective is not in a year" in done.err


def test_a_notice_is_made_signed_and_published(run: Run, network: Network, tmp_path: Path) -> None:
    config, plain = network.layout.gateway / "gateway.toml", tmp_path / "notice.plain"
    starts = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    ends = starts + timedelta(hours=2)
    window = f"quanzhou={starts:%Y-%m-%dT%H:%M:%SZ}/{ends.isoformat()}"
    done = run("policy", "notice", "--maintenance", window, "--remove-key", "k" * 43, "--out", plain, "--json")
    assert done.document["maintenance"] == [f"quanzhou: {starts:%Y-%m-%dT%H:%M:%SZ} to {ends:%Y-%m-%dT%H:%M:%SZ}"]
    sign(run, plain, network.layout.signing_key("xiamen"), "--type", "notice")  # any one may take away
    published = run("policy", "publish", plain.with_suffix(".json"), "--config", config, "--json").document
    assert published["unlisted"] == ["k" * 43]
    status = run("policy", "status", "--config", config, "--json").document
    assert list(status["removed"]) == ["k" * 43]
    assert status["maintenance"][0]["peer"] == "quanzhou"


def test_a_notice_that_names_nobody_is_told(run: Run, network: Network, tmp_path: Path) -> None:
    config, plain = network.layout.gateway / "gateway.toml", tmp_path / "notice.plain"
    shared = network.layout.installed(network.layout.gateway)
    directory = installed_directory(shared / "root.json", shared / "directory.json")
    city = next(iter(directory.cities.values()))
    named = [f"--remove-key={thumbprint(city.keys[0].jwk)}", f"--remove-peer={city.identity.uri}"]
    starts = datetime.now(UTC) + timedelta(days=3)
    window = f"{starts.isoformat()}/{(starts + timedelta(hours=2)).isoformat()}"
    planned = [f"--maintenance={name}={window}" for name in (city.id, "gateway")]
    strange = ["k" * 43, f"{city.identity.uri}-2", "fuzhuo"]
    stray = [f"--remove-key={strange[0]}", f"--remove-peer={strange[1]}", f"--maintenance={strange[2]}={window}"]
    for more, unlisted in ((stray, strange), ([], [])):
        assert run("policy", "notice", *named, *planned, *more, "--out", plain).code == 0
        sign(run, plain, network.layout.signing_key("xiamen"), "--type", "notice")
        done = run("policy", "publish", plain.with_suffix(".json"), "--config", config)
        assert done.code == 0
        assert [name for name in strange if f"nothing of it goes: {name}" in done.out] == unlisted


def test_status_waits_until_the_peers_named_have_followed(
    run: Run, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway takes the directory at the second look and the bundle at the third; Quanzhou never does."""
    looks: list[int] = []

    async def peers(_place: object, installed: Installed) -> dict[str, PeerState]:
        looks.append(len(looks))
        ours = installed.timeline.at(time.time()).digest
        version, bundle = [(0, "other"), (1, "other"), (1, ours)][min(len(looks), 3) - 1]
        return {"gateway": PeerState(version, {}, bundle=bundle), "quanzhou": PeerState(0, {})}

    monkeypatch.setattr("gateway.cli.policy_status._peers", peers)
    monkeypatch.setattr("gateway.cli.peer_state.LOOK_EVERY_S", 0)
    status = ("policy", "status", "--config", network.layout.gateway / "gateway.toml")
    done = run(*status, "--wait-for", "gateway", "--json")
    assert (done.code, len(looks)) == (0, 3)
    assert done.document["peers"][0]["bundle"] == "ours"
    assert done.err.count("waiting for gateway") == 1
    late = run(*status, "--wait-for", "gateway", "--wait-for", "quanzhou", "--wait", 0)
    assert late.code == 3
    assert "not yet by what is installed here: quanzhou" in late.out
    unknown = run(*status, "--wait-for", "eleventh")
    assert unknown.code == 2
    assert "gateway, quanzhou" in unknown.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("notice", "--maintenance", "quanzhou"),
        ("notice", "--maintenance", "quanzhou=soon/later"),
        ("notice", "--maintenance", "quanzhou=2026-12-01T02:00/2026-12-01T04:00"),
        ("root", "--authority", "nobody", "--threshold", "bundle=1", "--expires", "2030-01-01T00:00Z"),
        ("root", "--authority", "a=b", "--threshold", "lunch=1", "--expires", "2030-01-01T00:00Z"),
    ],
)
def test_wrong_arguments_make_nothing(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    out = tmp_path / "out"
    assert run("policy", *arguments, "--out", out).code == 2
    assert not out.exists()
