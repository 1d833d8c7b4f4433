"""The adapter as a program: started, told to stop, told what is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox import quanzhou
from adapters.sandbox.residents import residents_of
from gateway.process import watch, write_ready
from tests.fakes.adapter import CSV, AdapterFiles


@pytest.fixture
def files(tmp_path: Path) -> AdapterFiles:
    quanzhou.export(residents_of("fuzhou"), tmp_path / "scores.csv")
    return AdapterFiles(tmp_path, CSV)


async def _started(files: AdapterFiles, city: str, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "adapters", city, "--config", str(files.file), *arguments]
    return await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE, **options)


async def _until(process: asyncio.subprocess.Process, event: bytes) -> None:
    """Read the program's log up to an event; it must not end before."""
    assert process.stderr is not None
    while event not in (line := await process.stderr.readline()):
        assert line, f"ended with {await process.wait()}"


@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT", "lifeline"])
async def test_the_program_serves_until_it_is_told_to_stop(files: AdapterFiles, end: str) -> None:
    files.settings()
    ready = files.folder / "ready.json"
    inner, outer = os.pipe()
    process = await _started(
        files, files.city, "--ready-file", str(ready), "--lifeline-fd", str(inner), pass_fds=(inner,)
    )
    os.close(inner)
    try:
        await _until(process, b'"serving"')
        told = json.loads(ready.read_bytes())
        assert told["address"].startswith("127.0.0.1:")
        process.send_signal(signal.SIGHUP)  # a reload, not an end
        await _until(process, b'"reloaded"')
        if end == "lifeline":
            os.close(outer)
            outer = -1
        else:
            process.send_signal(getattr(signal, end))
        _, log = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if outer >= 0:
            os.close(outer)
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert lines[-1]["event"] == "stopping"
    assert all("dropped" not in line for line in lines)


async def test_the_program_names_every_problem_and_fails(files: AdapterFiles) -> None:
    files.settings()
    files.file.write_text(files.file.read_text().replace('root = "root.json"\n', "typo = 1\n"))
    process = await _started(files, "fuzhou")
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"root" in said
    assert b"typo" in said


async def test_the_program_refuses_another_citys_settings(files: AdapterFiles) -> None:
    files.settings()
    process = await _started(files, "xiamen")
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"is fuzhou, not xiamen" in said


def test_a_ready_file_is_whole(tmp_path: Path) -> None:
    write_ready(tmp_path / "ready.json", {"address": "127.0.0.1:1"})
    assert json.loads((tmp_path / "ready.json").read_text()) == {"address": "127.0.0.1:1"}
    assert [path.name for path in tmp_path.iterdir()] == ["ready.json"]


async def test_a_lifeline_tells_its_end() -> None:
    inner, outer = os.pipe()
    ended = asyncio.Event()
    watch(inner, ended.set)
    os.write(outer, b"still here")
    os.close(outer)
    await ended.wait()
    os.close(inner)
