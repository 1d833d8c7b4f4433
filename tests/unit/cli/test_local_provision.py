"""``tiergate local provision`` takes the policies that it is told to take, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run


@pytest.mark.parametrize("names", ["loopback", "containers"])
def test_policies_that_are_not_there_are_not_replaced_by_others(run: Run, tmp_path: Path, names: str) -> None:
    folder, absent = tmp_path / "network", tmp_path / "typo"
    done = run("local", "provision", "--dir", folder, "--names", names, "--policies", absent)
    assert done.code == 2
    assert f"--policies {absent}: is not a folder" in done.err
    assert not folder.exists()


def test_without_any_told_it_takes_those_that_it_came_with(run: Run, tmp_path: Path) -> None:
    done = run("local", "provision", "--dir", tmp_path / "network", "--json")
    assert done.document["made"] is True
