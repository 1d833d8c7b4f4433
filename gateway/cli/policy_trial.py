"""Whether a process can start on its signed files once one more of them has been put there: tried on copies."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.cli.installation import Installation
from gateway.cli.output import RefusedError
from gateway.crypto.root_files import check_root, read_root
from gateway.errors import ProblemsError, TiergateError
from gateway.policy.directory import check_fresh
from gateway.policy.installed import NOTICES, installed_directory, load_installed


def trouble_with(place: Installation, file: Path, data: bytes) -> str:
    """What keeps the process of ``place`` from starting, before and after ``data`` stands in ``file``; "" for nothing.

    An installation that is whole stays whole: raises :class:`RefusedError` for a file that would break it. One that
    is not yet, or has expired, is put together file by file.
    """
    with TemporaryDirectory() as folder:
        copied = _copy(place, Path(folder))
        before = _trouble(copied)
        target = _counterpart(place, copied, file)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        after = _trouble(copied)
    if after and not before:
        text = f"with this file the process could neither reload nor start: {after}"
        raise RefusedError("INSTALLATION_BROKEN", text, _REMEDY)
    return after


_REMEDY = (
    "publish first what it needs: the directory before a bundle that names it, files signed under both roots before the"
    " next root; a bundle that is effective later needs a folder in the settings, beside the one in force"
)


def _copy(place: Installation, folder: Path) -> Installation:
    """The signed files of an installation, elsewhere."""
    bundle = None if place.bundle is None else folder / "bundle" / place.bundle.name
    copied = replace(
        place,
        root=folder / "root" / place.root.name,
        directory=folder / "directory" / place.directory.name,
        bundle=bundle,
    )
    files = [*place.root.parent.glob(f"{place.root.stem}.*"), place.directory]
    files += (place.directory.parent / NOTICES).glob("*.json")
    if place.bundle is not None:
        files += place.bundle.glob("*.json") if place.bundle.is_dir() else [place.bundle]
    for file in files:
        target = _counterpart(place, copied, file)
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            shutil.copyfile(file, target)
    return copied


def _counterpart(place: Installation, copied: Installation, file: Path) -> Path:
    """Where a file of ``place`` lies in its copy."""
    if place.bundle in {file, file.parent}:
        bundle = copied.bundle or copied.directory
        return bundle if file == place.bundle else bundle / file.name
    if file == place.directory:
        return copied.directory
    if file.parent == place.directory.parent / NOTICES:
        return copied.directory.parent / NOTICES / file.name
    return copied.root.parent / file.name


def _trouble(place: Installation) -> str:
    now_s = int(time.time())
    try:
        if place.bundle is not None:
            load_installed(place.root, place.directory, place.bundle, now_s=now_s)
        else:
            check_root(read_root(place.root), now_s)
            check_fresh(installed_directory(place.root, place.directory), now_s, 0)
    except ProblemsError as error:
        return str(error)
    except TiergateError as error:
        return f"{error.reason}: {error.detail or error.public_text}"
    return ""
