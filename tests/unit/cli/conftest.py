"""Wiring: the command in this process, and the files of a small network."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.cli.localnet.plan import Layout, Options
from gateway.cli.localnet.provision import Network, provision
from gateway.cli.options import PROFILE_VARIABLE
from tests.unit.consentlog.samples import TRUST


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    """The trust file of an auditor of the sample logs."""
    path = tmp_path / "trust"
    path.write_bytes(TRUST)
    return path


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output, which must be one JSON document."""
        return json.loads(self.out)


Run = Callable[..., Ran]
Change = Callable[[str, str, str], None]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line in this process."""
    monkeypatch.delenv(PROFILE_VARIABLE, raising=False)

    def run_command(*arguments: object) -> Ran:
        capsys.readouterr()
        code = main([str(item) for item in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Ran(code, said.out, said.err)

    return run_command


def signed_by(network: Network, option: str = "--authority-key") -> tuple[str, ...]:
    """The options that name the keys of as many authorities as must sign."""
    return tuple(f"{option}={key}" for key in network.layout.signing_keys)


@pytest.fixture(scope="session")
def policies(checkout: Path) -> Path:
    """The shipped policies."""
    return checkout / "policies"


@pytest.fixture
def network(tmp_path: Path, policies: Path) -> Network:
    """The files of a network of one city; nothing of it runs."""
    made = provision(Layout(tmp_path / "network"), Options(cities=("quanzhou",), policies=policies))
    for port in made.ports.values():
        port.release()
    return made


@pytest.fixture
def draft(tmp_path: Path, policies: Path) -> Path:
    """The shipped policies, to be changed."""
    folder = tmp_path / "draft"
    for path in policies.rglob("*.toml"):
        copy = folder / path.relative_to(policies)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return folder


@pytest.fixture
def change(draft: Path) -> Change:
    """Replaces a text in a file of the draft, everywhere in it."""

    def replace(name: str, old: str, new: str) -> None:
        path = draft / name
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")

    return replace
