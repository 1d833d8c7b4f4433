"""The next version of the peer directory: somebody entered, left out, or kept out."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from gateway.cli.localnet.plan import TRUST_DOMAIN
from gateway.cli.localnet.provision import Network
from gateway.conformance.check import Result
from gateway.conformance.passport import issue_passport, passport_digest
from gateway.conformance.table import CHECKS
from gateway.crypto.envelope import DIRECTORY_TYPE, verify
from gateway.crypto.keys import generate_signing_key, public_jwk, thumbprint
from gateway.crypto.root_files import read_root
from gateway.domain.directory import Directory
from gateway.domain.ids import CityId
from gateway.policy.directory import read_directory
from gateway.policy.installed import installed_directory
from tests.unit.cli.conftest import Ran, Run, signed_by

CITY = "eleventh"


@pytest.fixture
def entry(run: Run, tmp_path: Path) -> Path:
    done = run("adapter", "init", CITY, "--trust-domain", TRUST_DOMAIN, "--into", tmp_path / CITY)
    assert done.code == 0, done.err
    return tmp_path / CITY / "entry.json"


def changed(entry: Path, **members: Any) -> None:
    entry.write_text(json.dumps(json.loads(entry.read_text("utf-8")) | members), "utf-8")


def enter(run: Run, network: Network, *more: object) -> Ran:
    shared = network.layout.shared
    out = network.layout.base / "directory.plain"
    return run(
        "policy", "directory", shared / "directory.json", "--root", shared / "root.json", *more, "--out", out, "--json"
    )


def passport(folder: Path, city: str) -> tuple[Path, Path, str]:
    key = generate_signing_key("EdDSA")
    results = [Result(item.id, item.says, item.source, "passed") for item in CHECKS]
    text = issue_passport(key, runner="r", city=city, implementation="i", checks=CHECKS, results=results, days=90)
    (folder / "passport.jwt").write_text(f"{text}\n", "ascii")
    (folder / "runner.jwk").write_text(json.dumps(public_jwk(key)), "ascii")
    return folder / "passport.jwt", folder / "runner.jwk", text


def sign(run: Run, network: Network, plain: Path, signed: Path) -> int:
    return run("policy", "sign", plain, "--type", "directory", *signed_by(network, "--key"), "--out", signed).code


def test_a_city_is_entered_in_the_next_version(run: Run, network: Network, entry: Path, tmp_path: Path) -> None:
    file, runner, text = passport(tmp_path, CITY)
    done = enter(run, network, "--city", entry, "--passport", file, "--runner-key", runner)
    assert done.code == 0, done.err
    assert (done.document["version"], done.document["city"], done.document["entry"]) == (2, CITY, "added")
    plain = Path(done.document["file"])
    listed = read_directory(plain.read_bytes())
    city = listed.cities[CityId(CITY)]
    assert set(listed.cities) == {"quanzhou", CITY}
    assert city.passport is not None
    assert city.passport.digest == passport_digest(text)
    signed = tmp_path / "directory.json"
    assert sign(run, network, plain, signed) == 0
    settings = network.layout.gateway / "gateway.toml"
    assert run("policy", "publish", signed, "--config", settings).code == 0
    changed(entry, name_en="Another name")
    soon = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() + 60 * 86_400))
    again = enter(run, network, "--city", entry, "--expires", soon)
    assert (again.document["version"], again.document["entry"]) == (3, "replaced")
    assert again.document["expires"] == soon
    renewed = read_directory(plain.read_bytes()).cities[CityId(CITY)]
    assert (renewed.name_en, renewed.passport) == ("Another name", city.passport)  # it stays admitted


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"identity": "spiffe://another.invalid/city/eleventh"}, "cities.0.identity"),
        ({"keys": []}, "keys"),
        ({"surplus": 1}, "surplus"),
        ({"id": "Eleventh"}, "id"),
    ],
)
def test_an_entry_that_cannot_be_listed_is_told_with_its_place(
    run: Run, network: Network, entry: Path, members: dict[str, Any], path: str
) -> None:
    changed(entry, **members)
    done = enter(run, network, "--city", entry)
    assert done.code == 4
    problems = done.document["error"]["problems"]
    assert [item["path"] for item in problems] == [path]
    assert not (network.layout.base / "directory.plain").exists()


def test_a_key_of_somebody_else_is_refused(run: Run, network: Network, entry: Path) -> None:
    listed = json.loads(entry.read_text("utf-8"))
    changed(entry, id="twelfth", identity=f"spiffe://{TRUST_DOMAIN}/city/twelfth")
    shared = network.layout.shared
    first = enter(run, network, "--city", entry)
    assert sign(run, network, Path(first.document["file"]), shared / "directory.json") == 0
    entry.write_text(json.dumps(listed), "utf-8")
    done = enter(run, network, "--city", entry)
    assert done.code == 4
    problems = done.document["error"]["problems"]
    assert len(problems) == 3
    assert all("listed twice" in item["message"] and "handed over anew" in item["remedy"] for item in problems)


@pytest.mark.parametrize("which", ["nobody", "both", "passport alone", "another city's passport", "no key", "a bundle"])
def test_what_cannot_be_meant(run: Run, network: Network, entry: Path, tmp_path: Path, which: str) -> None:
    file, runner, _ = passport(tmp_path, CITY if which != "another city's passport" else "twelfth")
    admitted = ("--passport", file, "--runner-key", runner)
    (tmp_path / "no.jwk").write_text("{}", "ascii")
    more: tuple[object, ...] = {
        "nobody": (),
        "both": ("--city", entry, "--operator", entry),
        "passport alone": ("--city", entry, "--passport", file),
        "another city's passport": ("--city", entry, *admitted),
        "no key": ("--city", entry, "--passport", file, "--runner-key", tmp_path / "no.jwk"),
        "a bundle": ("--city", entry),
    }[which]
    if which == "a bundle":
        shared = network.layout.shared
        (shared / "directory.json").write_bytes((shared / "bundle.json").read_bytes())
    done = enter(run, network, *more)
    assert done.code == 2
    assert done.document["error"]["reason"] == "USAGE"


def test_a_passport_that_ends_before_the_directory_is_refused(
    run: Run, network: Network, entry: Path, tmp_path: Path
) -> None:
    file, runner, _ = passport(tmp_path, CITY)
    late = ("--expires", time.strftime("%Y-%m-%dT00:00Z", time.gmtime(time.time() + 200 * 86_400)))
    done = enter(run, network, "--city", entry, "--passport", file, "--runner-key", runner, *late)
    assert done.code == 4
    assert "outlive its passport" in done.document["error"]["problems"][0]["message"]


def test_passports_are_required_once_every_city_has_one(
    run: Run, network: Network, entry: Path, tmp_path: Path
) -> None:
    required = "--require-passports"
    file, runner, _ = passport(tmp_path, CITY)
    done = enter(run, network, "--city", entry, "--passport", file, "--runner-key", runner, required)
    assert done.code == 4
    assert [item["path"] for item in done.document["error"]["problems"]] == ["cities.1.passport"]
    shared = network.layout.shared
    listed = verify(read_root(shared / "root.json"), DIRECTORY_TYPE, (shared / "directory.json").read_bytes())
    (only,) = json.loads(listed)["cities"]
    entry.write_text(json.dumps(only), "utf-8")
    file, runner, _ = passport(tmp_path, only["id"])
    done = enter(run, network, "--city", entry, "--passport", file, "--runner-key", runner, required)
    assert done.code == 0, done.err
    assert read_directory(Path(done.document["file"]).read_bytes()).require_passports is True


def test_a_passport_that_nobody_has_verified_is_not_entered(
    run: Run, network: Network, entry: Path, tmp_path: Path
) -> None:
    changed(entry, passport={"digest": "ab" * 32, "expires": 2**52})
    done = enter(run, network, "--city", entry)
    assert done.code == 4
    assert [item["path"] for item in done.document["error"]["problems"]] == ["passport"]
    file, runner, text = passport(tmp_path, CITY)
    done = enter(run, network, "--city", entry, "--passport", file, "--runner-key", runner)
    assert done.code == 0, done.err
    admitted = read_directory(Path(done.document["file"]).read_bytes()).cities[CityId(CITY)].passport
    assert admitted is not None
    assert admitted.digest == passport_digest(text)


def test_a_passport_by_another_list_of_checks_is_outdated(
    run: Run, network: Network, entry: Path, tmp_path: Path
) -> None:
    key = generate_signing_key("EdDSA")
    results = [Result(item.id, item.says, item.source, "passed") for item in CHECKS[:-1]]
    text = issue_passport(
        key, runner="r", city=CITY, implementation="i", checks=CHECKS[:-1], results=results, days=90
    )  # fmt: skip
    file, runner = tmp_path / "old.jwt", tmp_path / "old.jwk"
    file.write_text(text, "ascii")
    runner.write_text(json.dumps(public_jwk(key)), "ascii")
    done = enter(run, network, "--city", entry, "--passport", file, "--runner-key", runner)
    assert (done.code, done.document["error"]["reason"]) == (1, "PASSPORT_OUTDATED")


def notice(run: Run, network: Network, folder: Path, *named: str) -> None:
    plain = folder / "notice.plain"
    assert run("policy", "notice", *named, "--out", plain).code == 0
    key = network.layout.signing_keys[0]
    assert run("policy", "sign", plain, "--type", "notice", "--key", key, "--out", folder / "notice.json").code == 0
    config = network.layout.gateway / "gateway.toml"
    assert run("policy", "publish", folder / "notice.json", "--config", config).code == 0


def publish(run: Run, network: Network, done: Ran, later_s: int = 0) -> Directory:
    """Sign what was made, publish it, and give the directory as it then holds."""
    shared = network.layout.shared
    signed = network.layout.base / "signed.json"
    assert done.code == 0, done.err
    plain = Path(done.document["file"])
    plain.write_bytes(rfc8785.dumps(json.loads(plain.read_bytes()) | {"issued": int(time.time()) + later_s}))
    assert sign(run, network, plain, signed) == 0
    published = run("policy", "publish", signed, "--config", network.layout.gateway / "gateway.toml")
    assert published.code == 0, published.err
    return installed_directory(shared / "root.json", shared / "directory.json")


def test_what_a_notice_removed_stays_removed_in_later_versions(
    run: Run, network: Network, entry: Path, tmp_path: Path
) -> None:
    shared = network.layout.shared
    city = installed_directory(shared / "root.json", shared / "directory.json").cities[CityId("quanzhou")]
    stolen = thumbprint(city.keys[0].jwk)
    notice(run, network, tmp_path, "--remove-key", stolen)
    made = enter(run, network, "--city", entry)
    assert made.document["left_out"] == [stolen]
    held = publish(run, network, made, later_s=2)  # a notice of the same second would go before it
    assert CITY in held.cities
    assert stolen not in {thumbprint(key.jwk) for key in held.cities[CityId("quanzhou")].keys}
    assert not list((shared / "notices").iterdir())  # it has served: the directory itself lists the key no more


def test_what_a_notice_removed_comes_back_by_its_name_alone(
    run: Run, network: Network, entry: Path, tmp_path: Path
) -> None:
    shared = network.layout.shared
    jwk = json.loads(entry.read_text("utf-8"))["keys"][0]["jwk"]
    held = publish(run, network, enter(run, network, "--city", entry))
    stolen, identity = thumbprint(jwk), held.cities[CityId(CITY)].identity.uri
    notice(run, network, tmp_path, "--remove-key", stolen, f"--remove-peer={identity}")
    assert CITY not in installed_directory(shared / "root.json", shared / "directory.json").cities
    refused = enter(run, network, "--city", entry)
    assert (refused.code, refused.document["error"]["reason"]) == (1, "REMOVED_BEFORE")
    one = enter(run, network, "--city", entry, "--relist", identity)
    assert one.document["error"]["reason"] == "REMOVED_BEFORE"
    both = enter(run, network, "--city", entry, "--relist", identity, "--relist", stolen)
    held = publish(run, network, both, later_s=2)
    assert stolen in {thumbprint(key.jwk) for key in held.cities[CityId(CITY)].keys}


def test_a_rotation_does_not_bring_back_what_a_notice_removed(run: Run, network: Network, tmp_path: Path) -> None:
    shared, settings = network.layout.shared, network.layout.city("quanzhou") / "adapter.toml"
    settings.write_text(settings.read_text("utf-8").replace("@PLATFORM_PORT@", "1"), "utf-8")
    city = installed_directory(shared / "root.json", shared / "directory.json").cities[CityId("quanzhou")]
    stolen = next(thumbprint(key.jwk) for key in city.keys if key.purpose == "event")
    notice(run, network, tmp_path, "--remove-key", stolen)
    alone = ("--without", "gateway", "--without", "quanzhou", "--wait", 0)
    given = ("--purpose", "consent", "--config", settings, *signed_by(network, "--authority-key"), *alone)
    assert run("keys", "rotate", *given).code == 0
    signed = verify(read_root(shared / "root.json"), DIRECTORY_TYPE, (shared / "directory.json").read_bytes())
    after = read_directory(signed).cities[CityId("quanzhou")]
    assert len(after.keys) == len(city.keys)  # one more, and one less
    assert stolen not in {thumbprint(key.jwk) for key in after.keys}


def test_the_directory_is_renewed_and_a_peer_leaves(run: Run, network: Network) -> None:
    shared = network.layout.shared
    renewed = enter(run, network, "--expires", "2030-01-01T00:00Z")
    assert renewed.document["expires"] == "2030-01-01T00:00:00Z"
    before = installed_directory(shared / "root.json", shared / "directory.json")
    peer = next(iter(before.operators.values())).identity
    held = publish(run, network, enter(run, network, "--remove", peer.uri))
    assert set(held.operators) == set(before.operators) - {peer.name}
    assert held.cities == before.cities


@pytest.mark.parametrize(
    "given",
    [("--remove", "k" * 43), ("--remove", "spiffe://a.invalid/gateway"), ("--relist", "k" * 43)],
)
def test_a_name_that_is_not_there_is_told(run: Run, network: Network, given: tuple[str, str]) -> None:
    done = enter(run, network, *given, "--expires", "2030-01-01T00:00Z")
    assert done.code == 2
    assert given[1] in done.document["error"]["message"]
