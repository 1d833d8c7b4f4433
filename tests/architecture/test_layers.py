"""The layer contracts of pyproject.toml hold, and notice when one is broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.architecture.tools import run

PACKAGES = ("adapters", "bench", "gateway", "tests")


def test_every_layer_contract_is_kept(checkout: Path) -> None:
    done = run("lint-imports", "--no-cache", cwd=checkout)
    assert done.code == 0, done.output


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("gateway/domain/ids.py", "import gateway.crypto.keys", "The gateway's layers"),
        ("gateway/extra.py", "import gateway.errors", "The gateway's layers"),
        ("gateway/services/__init__.py", "import grpc", "Domain, ports and use cases"),
        ("gateway/services/__init__.py", "import sqlite3", "Domain, ports and use cases"),
        ("gateway/transport/__init__.py", "import gateway.api", "Generated code stays"),
        ("adapters/__init__.py", "import gateway.storage", "Adapters take nothing"),
        ("adapters/__init__.py", "import gateway.services", "Adapters take nothing"),
        ("gateway/rpc/__init__.py", "import adapters", "Only the command knows"),
        ("adapters/fuzhou/__init__.py", "import adapters.xiamen", "No city knows another"),
        ("gateway/app.py", "import tests.conftest", "The product imports neither"),
    ],
)
def test_a_forbidden_import_is_noticed(checkout: Path, tmp_path: Path, module: str, line: str, contract: str) -> None:
    shutil.copy(checkout / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        shutil.copytree(checkout / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    done = run("lint-imports", "--no-cache", cwd=tmp_path)
    assert done.code != 0
    broken = [shown for shown in done.output.splitlines() if shown.endswith("BROKEN")]
    assert any(shown.startswith(contract) for shown in broken), done.output
