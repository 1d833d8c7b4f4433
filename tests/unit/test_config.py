"""The gateway's settings: what is refused is told by its key, and everything at once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Le

from gateway.app import serve
from gateway.config import PREFIX, GatewayConfig, Limits, require_files
from gateway.errors import ProblemsError, Reason
from gateway.settings import read_settings

PATHS = {
    "data_dir": "data",
    "root": "root.json",
    "directory": "directory.json",
    "bundle": "bundles",
    "log_key": "log.key",
    "log_mark": "log.mark",
}
TLS = {"cert": "cert.pem", "key": "key.pem", "ca": "ca.pem"}


def settings(folder: Path, more: str = "", environment: dict[str, str] | None = None, **paths: str) -> GatewayConfig:
    """The settings of a file in ``folder``."""
    lines = [f'{name} = "{path}"' for name, path in (PATHS | paths).items()]
    tls = [f'{name} = "{path}"' for name, path in TLS.items()]
    file = folder / "gateway.toml"
    file.write_text("\n".join(['listen = "127.0.0.1:0"', *lines, "[tls]", *tls, more]), "utf-8")
    return read_settings(GatewayConfig, file, prefix=PREFIX, environment=environment or {})


def refused(folder: Path, *arguments: Any, **paths: Any) -> dict[str, str]:
    """What is wrong, by key."""
    with pytest.raises(ProblemsError) as caught:
        settings(folder, *arguments, **paths)
    assert caught.value.reason is Reason.CONFIG_INVALID
    return {problem.path: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize(
    "mark",
    ["data/log.mark", "x/../data/log.mark", "data/inner/log.mark", "./data/./log.mark", "link/log.mark", "alias"],
)
def test_a_mark_in_the_data_folder_is_refused_by_whatever_way_it_is_named(tmp_path: Path, mark: str) -> None:
    for name in ("data", "x"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("data")
    (tmp_path / "alias").symlink_to("data/log.mark")
    assert "lies in data_dir" in refused(tmp_path, log_mark=mark)[""]


def test_a_mark_is_refused_in_a_data_folder_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to("disk")
    assert "lies in data_dir" in refused(tmp_path, log_mark="disk/log.mark")[""]


@pytest.mark.parametrize("mark", ["log.mark", "data/../log.mark", "data.mark/log.mark", "round"])
def test_a_mark_beside_the_data_folder_is_taken(tmp_path: Path, mark: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "round").symlink_to("round")
    assert settings(tmp_path, log_mark=mark).log_mark == tmp_path / mark


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("in_flight", "true"),
        ("in_flight", "1.5"),
        ("in_flight", "100_001"),
        ("per_operator_per_s", "inf"),
        ("per_operator_per_s", "nan"),
        ("per_operator_per_s", "1e10"),
        ("per_consent_per_h", "true"),
        ("burst", "10_000_000_000"),
        ("consent_burst", "10_000_000_000"),
        ("consents_rated", "1_000_000_000"),
        ("attestations", "100_000_000_000_000_000_000_000"),
        ("remember_tokens", "100_000_000_000_000_000_000_000"),
        ("remember_proofs", "100_000_000"),
        ("stop_grace_s", "inf"),
        ("stop_grace_s", "601"),
        ("trust_remembered", "1"),
        ("trust_remembered", "0.0"),
    ],
)
def test_a_bound_that_is_of_another_kind_or_beyond_what_can_be_is_refused(tmp_path: Path, key: str, value: str) -> None:
    assert set(refused(tmp_path, f"[limits]\n{key} = {value}")) == {f"limits.{key}"}


def test_every_bound_has_a_highest() -> None:
    for name, field in Limits.model_fields.items():
        if field.annotation is not bool:
            assert any(isinstance(item, Le) for item in field.metadata), name


def test_the_environment_says_numbers_and_truth_values_as_text(tmp_path: Path) -> None:
    said = {
        f"{PREFIX}LIMITS__IN_FLIGHT": "7",
        f"{PREFIX}LIMITS__STOP_GRACE_S": "0.5",
        f"{PREFIX}LIMITS__TRUST_REMEMBERED": "true",
    }
    limits = settings(tmp_path, environment=said).limits
    assert (limits.in_flight, limits.stop_grace_s, limits.trust_remembered) == (7, 0.5, True)
    assert set(refused(tmp_path, "", {f"{PREFIX}LIMITS__STOP_GRACE_S": "inf"})) == {"limits.stop_grace_s"}


WITNESSING = """
[witnessing]
trust = "trust"
ca = "witness-ca.pem"
witnesses = [{ name = "w", url = "https://w.example" }]
"""
READ = {"root", "directory", "bundle", "log_key", "tls.cert", "tls.key", "tls.ca"}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with all files that the settings name; nothing is in them."""
    for name in ("root.json", "directory.json", "log.key", *TLS.values(), "trust", "witness-ca.pem"):
        (tmp_path / name).touch(0o600)
    (tmp_path / "bundles").mkdir()
    return tmp_path


def missing(folder: Path, more: str = "", **paths: str) -> dict[str, str]:
    """What is wrong with the files, by key."""
    read = settings(folder, more, None, **paths)
    with pytest.raises(ProblemsError) as caught:
        require_files(read, folder / "gateway.toml")
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert {problem.file for problem in caught.value.problems} == {str(folder / "gateway.toml")}
    assert all(problem.remedy for problem in caught.value.problems)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_all_files_that_are_missing_are_named_at_once(tmp_path: Path) -> None:
    found = missing(tmp_path, WITNESSING)
    assert set(found) == READ | {"witnessing.trust", "witnessing.ca"}
    assert found["tls.ca"] == f"{tmp_path / 'ca.pem'} cannot be read (No such file or directory)"


def test_a_gateway_without_files_does_not_start_and_makes_none(tmp_path: Path) -> None:
    settings(tmp_path)
    with pytest.raises(ProblemsError) as caught:
        asyncio.run(serve(tmp_path / "gateway.toml"))
    assert {problem.path for problem in caught.value.problems} == READ
    assert [path.name for path in tmp_path.iterdir()] == ["gateway.toml"]


def test_files_that_are_there_will_do(installed: Path) -> None:
    require_files(settings(installed, WITNESSING), installed / "gateway.toml")
    (installed / "data").mkdir()
    (installed / "log.mark").touch()
    require_files(settings(installed), installed / "gateway.toml")


def test_a_pipe_or_a_folder_is_no_file_and_keeps_nobody_waiting(installed: Path) -> None:
    for name in ("root.json", "cert.pem", "log.key"):
        (installed / name).unlink()
    os.mkfifo(installed / "root.json")
    os.mkfifo(installed / "pipe")
    (installed / "cert.pem").mkdir()
    (installed / "log.key").symlink_to("log.key")
    found = missing(installed, bundle="pipe")
    assert set(found) == {"root", "tls.cert", "log_key", "bundle"}
    assert "not a regular file" in found["bundle"]


@pytest.mark.parametrize("place", ["root.json", "root.json/data", "root.json/far/below", "dangling"])
def test_a_data_folder_that_cannot_be_is_named(installed: Path, place: str) -> None:
    (installed / "dangling").symlink_to("nowhere")
    found = missing(installed, data_dir=place)
    assert set(found) == {"data_dir"}
    assert "is not a folder" in found["data_dir"]


def test_a_mark_that_is_no_file_or_has_no_place_is_named(installed: Path) -> None:
    assert set(missing(installed, log_mark="bundles")) == {"log_mark"}
    assert set(missing(installed, log_mark="root.json/log.mark")) == {"log_mark"}
