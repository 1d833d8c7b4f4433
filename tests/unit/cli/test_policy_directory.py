"""The next version of the peer directory, with somebody entered."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.localnet.plan import TRUST_DOMAIN
from gateway.cli.localnet.provision import Network
from gateway.conformance.check import Result
from gateway.conformance.passport import issue_passport, passport_digest
from gateway.conformance.table import CHECKS
from gateway.crypto.envelope import DIRECTORY_TYPE, verify
from gateway.crypto.keys import generate_signing_key, public_jwk
from gateway.crypto.root_files import read_root
from gateway.domain.ids import CityId
from gateway.policy.directory import read_directory
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
    again = enter(run, network, "--city", entry, "--expires", "2030-01-01T00:00Z")
    assert (again.document["version"], again.document["entry"]) == (3, "replaced")
    assert again.document["expires"] == "2030-01-01T00:00:00Z"


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
