from __future__ import annotations

from pathlib import Path

import pytest

from tests.vectors.conftest import vectors_dir


def test_absent_vectors_fail_in_ci(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIERGATE_VECTORS", str(tmp_path / "none"))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="TIERGATE_VECTORS"):
        vectors_dir()


def test_absent_vectors_skip_on_a_workstation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIERGATE_VECTORS", str(tmp_path / "none"))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="TIERGATE_VECTORS"):
        vectors_dir()


def test_a_named_folder_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIERGATE_VECTORS", str(tmp_path))
    assert vectors_dir() == tmp_path
