"""What a city starts from is whole, private where it must be, and good as it stands."""

from __future__ import annotations

import re
import shutil
import stat
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from adapters.config import load_keys, load_settings
from adapters.sources.csv import CsvSource
from adapters.sources.csv_export import check_seal
from gateway.cli.adapter_init import CUTS
from gateway.domain.ids import ResidentRef
from gateway.policy.entries import read_entry
from tests.unit.cli.conftest import Ran, Run

CITY, DOMAIN = "eleventh", "province.example.invalid"
PRIVATE = {
    "app/tls/key.pem",
    "keys/attestation.pem",
    "keys/consent.pem",
    "keys/event.pem",
    "keys/pairwise.secret",
    "tls/key.pem",
}


def init(run: Run, folder: Path, *more: str, city: str = CITY, domain: str = DOMAIN) -> Ran:
    return run("adapter", "init", city, "--trust-domain", domain, "--into", folder, *more, "--json")


@pytest.fixture(params=["csv", "sql", "http"])
def made(request: pytest.FixtureRequest, run: Run, tmp_path: Path) -> Path:
    done = init(run, tmp_path / "city", "--source", request.param, "--address", "127.0.0.1:7443")
    assert done.code == 0, done.err
    assert done.document["source"] == request.param
    return tmp_path / "city"


def test_the_settings_are_settings_and_every_value_is_explained(made: Path) -> None:
    settings = load_settings(made / "adapter.toml", {})
    assert (settings.city, settings.listen) == (CITY, "127.0.0.1:7443")
    load_keys(settings.keys)
    lines = (made / "adapter.toml").read_text("utf-8").splitlines()
    unexplained = [
        line for above, line in pairwise(lines) if re.match(r"\w+ = ", line) and (not above or above.startswith("["))
    ]
    assert not unexplained


def test_policies_and_cases_hold_beside_the_shipped_ones(made: Path, run: Run, policies: Path, tmp_path: Path) -> None:
    shutil.copytree(policies, tmp_path / "policies")
    shutil.copytree(made / "policies", tmp_path / "policies", dirs_exist_ok=True)
    done = run("policy", "test", tmp_path / "policies", "--json")
    assert (done.code, done.document["failed"]) == (0, 0)
    concordance = tomllib.loads((made / "policies" / "cities" / f"{CITY}.toml").read_text("utf-8"))
    assert concordance["illustrative"] is True
    assert tuple(cut["minimum"] for cut in concordance["cuts"]) == CUTS


def test_private_parts_are_their_owners_alone_and_nothing_else_is_private(made: Path) -> None:
    files = {path.relative_to(made).as_posix(): path for path in made.rglob("*") if path.is_file()}
    assert {name for name, path in files.items() if stat.S_IMODE(path.stat().st_mode) == 0o600} == PRIVATE
    begins = "PRIVATE" + " KEY"
    assert {name for name, path in files.items() if begins in path.read_text("utf-8", "replace")} == {
        name for name in PRIVATE if name.endswith(".pem")
    }
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


@pytest.mark.parametrize(("place", "role"), [("tls", f"city/{CITY}"), ("app/tls", f"city/{CITY}/app")])
def test_requests_ask_for_the_citys_identities(made: Path, place: str, role: str) -> None:
    request = x509.load_pem_x509_csr((made / place / "request.csr").read_bytes())
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"spiffe://{DOMAIN}/{role}"]
    wanted = [] if place != "tls" else [f"{CITY}.{DOMAIN}"]
    assert names.get_values_for_type(x509.DNSName) == wanted


def test_the_entry_lists_the_public_parts_of_the_keys(made: Path) -> None:
    entry: Any = read_entry("city", (made / "entry.json").read_bytes(), "entry.json").document
    keys = load_keys(load_settings(made / "adapter.toml", {}).keys)
    assert entry.endpoint.address == "127.0.0.1:7443"
    assert [(key.purpose, key.kid) for key in entry.keys] == [
        ("consent", keys.consent.kid),
        ("attestation", keys.attestation.kid),
        ("event", keys.event.kid),
    ]


async def test_the_sample_is_a_standard_export_of_invented_people(run: Run, tmp_path: Path) -> None:
    assert init(run, tmp_path / "city").code == 0
    file = tmp_path / "city" / "sample.csv"
    with file.open("rb") as opened:
        sealed = check_seal(opened, file.stat().st_size, "auto")
    rows = file.read_text("utf-8").splitlines()[1:-1]
    assert sealed.rows == len(rows) > 10
    assert all(row.startswith(f"synthetic-{CITY}-") for row in rows)
    settings = load_settings(tmp_path / "city" / "adapter.toml", {})
    assert settings.source.kind == "csv"
    source = CsvSource(settings.source)
    try:
        await source.read(ResidentRef(settings.decoy_resident))
    finally:
        await source.close()


@pytest.mark.parametrize(
    ("more", "city", "domain", "said"),
    [
        ((), "Eleventh", DOMAIN, "a-z, 0-9 and hyphens"),
        ((), "a" * 49, DOMAIN, "a-z, 0-9 and hyphens"),
        ((), "gateway", DOMAIN, "give the city another id"),
        ((), CITY, "No Domain", "the province says it"),
        (("--address", "nowhere"), CITY, DOMAIN, "--address"),
        (("--address", "127.0.0.1:0"), CITY, DOMAIN, "--address"),
        (("--name-en", "two\nlines"), CITY, DOMAIN, "--name-en"),
        (("--url", "https://scores.example.invalid"), CITY, DOMAIN, "--source http"),
        (("--source", "http", "--url", "http://scores.example.invalid"), CITY, DOMAIN, "loopback"),
        (("--source", "http", "--url", "ftp://x.invalid"), CITY, DOMAIN, "source.http.base_url"),
        (("--source", "ftp"), CITY, DOMAIN, "--help"),
    ],
)
def test_what_cannot_be_meant_is_told_and_leaves_nothing(
    run: Run, tmp_path: Path, more: tuple[str, ...], city: str, domain: str, said: str
) -> None:
    done = init(run, tmp_path / "city", *more, city=city, domain=domain)
    assert done.code == 2
    assert said in done.err
    assert done.document["error"]["reason"] == "USAGE"
    assert not list(tmp_path.iterdir())


def test_nothing_is_ever_overwritten(run: Run, tmp_path: Path) -> None:
    for place in (tmp_path / "file", tmp_path / "folder"):
        place.write_text("mine", "utf-8") if place.name == "file" else place.mkdir()
        done = init(run, place)
        assert done.code == 2
        assert "--into" in done.err
    assert (tmp_path / "file").read_text("utf-8") == "mine"
    assert init(run, tmp_path / "no" / "where").code == 2
    (tmp_path / ".city.draft").mkdir()
    assert "somebody fills it" in init(run, tmp_path / "city").err
    assert sorted(path.name for path in tmp_path.iterdir()) == [".city.draft", "file", "folder"]
