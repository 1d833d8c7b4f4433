"""A city's peer in another language, which shares no code with the product, passes the conformance kit."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.conformance.deployment import make_deployment
from gateway.conformance.table import CHECKS

CITY = "thirteenth"


@contextmanager
def serving(node: tuple[str, Path], checkout: Path, folder: Path) -> Iterator[str]:
    """The address of the adapter, for a city that was given ``folder``; it ends at the end."""
    program, packages = node
    command: list[str | Path] = [
        program,
        checkout / "tests/interop/node/server.js",
        checkout / "proto",
        folder,
        "127.0.0.1:0",
    ]
    environment = {**os.environ, "NODE_PATH": str(packages)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as city:
        try:
            assert city.stdout is not None
            said = re.fullmatch(r"serving (\d+)\n", city.stdout.readline())
            assert said, "the second adapter does not start; what it says is above"
            yield f"127.0.0.1:{said.group(1)}"
            assert city.poll() is None
        finally:
            city.terminate()


def asked(address: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    """Exit code and document of the command."""
    code = main(["conformance", address, "--deployment", str(folder), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_second_adapter_passes_twice(
    node: tuple[str, Path], checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_deployment(tmp_path / "kit", CITY, "127.0.0.1:7443").folder
    with serving(node, checkout, folder / "city") as address:
        for _ in range(2):
            code, document = asked(address, folder, capsys)
            others = {item["id"]: item["came"] for item in document["checks"] if item["verdict"] != "passed"}
            assert (code, others) == (0, {"error.retry": "the city was never unavailable during the run"})
            assert document["counts"]["passed"] == len(CHECKS) - 1


def test_its_faults_are_found_like_those_of_the_product(
    node: tuple[str, Path], checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_deployment(tmp_path / "kit", CITY, "127.0.0.1:7443").folder
    residents = folder / "city" / "residents.csv"
    rows, _, footer = residents.read_text("ascii").rpartition("# rows=")
    changed = rows.replace("kit-at-2,700,", "kit-at-2,699,")
    assert changed != rows
    count = footer.partition(" ")[0]
    residents.write_text(f"{changed}# rows={count} sha256={hashlib.sha256(changed.encode()).hexdigest()}\n", "ascii")
    with serving(node, checkout, folder / "city") as address:
        code, document = asked(address, folder, capsys)
    failed = {item["id"] for item in document["checks"] if item["verdict"] == "failed"}
    assert (code, failed) == (1, {"tier.cut-2", "tier.capped"})
