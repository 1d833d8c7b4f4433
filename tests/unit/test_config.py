"""The gateway's settings: what is refused is told by its key, and everything at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.config import PREFIX, GatewayConfig
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
