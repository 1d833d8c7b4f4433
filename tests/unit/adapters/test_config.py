"""Settings: every problem at once, with its key path and never a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.config import AdapterSettings, load_keys, load_settings
from gateway.errors import ProblemsError, Reason
from tests.fakes.files import write_city_keys
from tests.fakes.network import FUZHOU, Network

SETTINGS = """
city = "fuzhou"
listen = "127.0.0.1:0"
data_dir = "data"
root = "root.json"
directory = "directory.json"
bundle = "bundle.json"
decoy_resident = "synthetic-fz-0001"

[tls]
cert = "adapter.pem"
key = "adapter.key"
ca = "ca.pem"

[keys]
pairwise_secret = "pairwise.key"
consent = { kid = "fuzhou-consent-1", file = "consent.pem" }
attestation = { kid = "fuzhou-attestation-1", file = "attestation.pem" }
event = { kid = "fuzhou-event-1", file = "event.pem" }

[source]
kind = "csv"
path = "scores.csv"
fields = { resident = "id", score = "score", as_of = "as_of" }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "adapter.toml"
    path.write_text(SETTINGS)
    return path


def _problems(file: Path, environment: dict[str, str] | None = None) -> dict[str, str]:
    with pytest.raises(ProblemsError) as caught:
        load_settings(file, environment or {})
    assert caught.value.reason is Reason.CONFIG_INVALID
    return {problem.path: problem.message for problem in caught.value.problems}


def test_paths_start_at_the_files_folder(file: Path) -> None:
    settings = load_settings(file, {})
    assert settings.keys.consent.file == file.parent / "consent.pem"
    assert settings.source.kind == "csv"
    assert settings.source.path == file.parent / "scores.csv"
    assert settings.tls.ca == file.parent / "ca.pem"


def test_what_is_not_said_has_its_default(file: Path) -> None:
    settings = load_settings(file, {})
    assert (settings.answers.lifetime_s, settings.answers.time_grid_s) == (300, 0.005)
    assert settings.metrics_listen is None


def test_the_environment_has_the_last_word(file: Path) -> None:
    settings = load_settings(
        file,
        {
            "TIERGATE_ADAPTER_LISTEN": "0.0.0.0:7443",
            "TIERGATE_ADAPTER_ANSWERS__TIME_GRID_S": "0",
            "TIERGATE_ADAPTER_ANSWERS__LIFETIME_S": "120",
            "TIERGATE_ADAPTER_SOURCE__PATH": "other.csv",
            "TIERGATE_GATEWAY_LISTEN": "not ours",
        },
    )
    assert settings.listen == "0.0.0.0:7443"
    assert (settings.answers.lifetime_s, settings.answers.time_grid_s) == (120, 0)
    assert settings.source.path == file.parent / "other.csv"  # type: ignore[union-attr]  # the kind is csv


def test_every_problem_is_reported_at_once(file: Path) -> None:
    file.write_text(
        SETTINGS.replace('city = "fuzhou"', 'city = "Fuzhou!"\nunknown = 1').replace('root = "root.json"\n', "")
    )
    found = _problems(file, {"TIERGATE_ADAPTER_ANSWERS__LIFETIME_S": "301", "TIERGATE_ADAPTER_TYPO": "x"})
    assert set(found) == {"city", "unknown", "root", "answers.lifetime_s", "typo"}


@pytest.mark.parametrize("address", ["nowhere", ":7443", "host:", "host:99999", "host:port", "host:-1"])
def test_an_address_is_host_and_port(file: Path, address: str) -> None:
    assert set(_problems(file, {"TIERGATE_ADAPTER_LISTEN": address})) == {"listen"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ANSWERS__LIFETIME_S", "0"),
        ("ANSWERS__DEADLINE_S", "0"),
        ("ANSWERS__TIME_GRID_S", "-1"),
        ("WITHDRAWAL_WAIT_S", "3"),
        ("LIMITS__IN_FLIGHT", "0"),
        ("DECOY_RESIDENT", "not a reference"),
    ],
)
def test_a_value_out_of_bounds_is_refused(file: Path, name: str, value: str) -> None:
    path = name.lower().replace("__", ".")
    assert set(_problems(file, {f"TIERGATE_ADAPTER_{name}": value})) == {path}


def test_a_file_that_is_missing_or_no_toml_is_refused(tmp_path: Path) -> None:
    assert set(_problems(tmp_path / "absent.toml")) == {""}
    (tmp_path / "bad.toml").write_text("city = ")
    assert set(_problems(tmp_path / "bad.toml")) == {""}


def test_keys_are_loaded_from_their_files(network: Network, file: Path) -> None:
    write_city_keys(network, FUZHOU, file.parent)
    keys = load_keys(load_settings(file, {}).keys)
    keys.check_against(network.directory.cities[FUZHOU], "directory.json")


def test_every_key_that_cannot_be_used_is_named(network: Network, file: Path) -> None:
    write_city_keys(network, FUZHOU, file.parent)
    (file.parent / "consent.pem").unlink()
    (file.parent / "event.pem").chmod(0o644)
    (file.parent / "pairwise.key").chmod(0o644)
    with pytest.raises(ProblemsError) as caught:
        load_keys(load_settings(file, {}).keys)
    assert caught.value.reason is Reason.KEY_INVALID
    assert len(caught.value.problems) == 3


def test_settings_hold_no_secret(network: Network, file: Path) -> None:
    write_city_keys(network, FUZHOU, file.parent)
    settings: Any = load_settings(file, {})
    assert isinstance(settings, AdapterSettings)
    assert "PRIVATE" not in repr(settings)
