"""What is installed is what is in the repository: code, generated code, and the files that the code reads."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from tests.architecture.tools import files, python


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(checkout: Path, tmp_path: Path) -> None:
    expected = set()
    for path in files(checkout):
        if path.parts[0] in {"adapters", "gateway"}:
            expected.add(path.as_posix())
        elif len(path.parts) > 1:
            continue
        (tmp_path / "source" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(checkout / path, tmp_path / "source" / path)
    done = python(
        *("-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", tmp_path, tmp_path / "source"),
        cwd=tmp_path,
    )
    assert done.code == 0, done.output
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == expected
