"""``tiergate up``: the commands that it prints do what they say, in the order in which they stand."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.e2e.harness import alive, until
from tests.e2e.test_demo import children


@asynccontextmanager
async def up(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, str]]]:
    """Start it; its process, and its command lines by what they do."""
    progress = folder / "progress"
    with progress.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "up", "--json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=-1,
            stderr=stderr,
        )
    assert process.stdout is not None
    try:
        text = await process.stdout.read(1)
        assert text, progress.read_text("utf-8")  # a network that is up already, for one
        text += await process.stdout.readuntil(b"\n}\n")
        told: dict[str, Any] = json.loads(text)
        yield process, {item["what"]: item["command"] for item in told["commands"]}
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def call(command: str, folder: Path, *more: str) -> str:
    """Run a printed command to its end; what it prints on standard output."""
    words = [*shlex.split(command), *more]
    process = await asyncio.create_subprocess_exec(*words, cwd=folder, stdout=-1, stderr=-1)
    out, err = await process.communicate()
    assert process.returncode == 0, f"{command}\n{err.decode()}"
    return out.decode()


async def test_what_is_printed_can_be_copied(tmp_path: Path) -> None:
    async with up(tmp_path) as (process, commands):
        await call(commands["a consent"], tmp_path)
        before = json.loads(await call(commands["a check"], tmp_path, "--json"))
        assert before["outcome"] == "entitled"
        (consent,) = json.loads(await call(commands["her consents"], tmp_path, "--json"))["consents"]
        await call(commands["a withdrawal"].replace(" ID", f" {consent['consent_id']}"), tmp_path)
        after = json.loads(await call(commands["a check"], tmp_path, "--json"))
        assert after["outcome"] == "ordinary"
        await call(commands["an audit"], tmp_path)
        verified = json.loads(await call(commands["its verification"], tmp_path, "--json"))
        assert verified["size"] > after["log_index"]

        pids = children(process.pid)
        assert pids
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0

        async def gone() -> bool:
            return not alive(pids)

        await until(gone, "the end of all processes")
