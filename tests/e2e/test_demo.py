"""``tiergate demo``: what it prints, what it leaves behind (nothing), and what it says when it cannot."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.harness import alive, until

PROCESSES = 5
"""Two platforms, two adapters, the gateway."""
ASKED = {"home_city", "host_city", "operator", "scenario", "outcome", "terms", "log_index", "illustrative"}


@dataclass
class Run:
    """A demo in a process of its own; ``pids`` are all the processes that it has had."""

    process: asyncio.subprocess.Process
    pids: set[int] = field(default_factory=set)
    out: str = ""
    err: str = ""

    async def end(self) -> int:
        """Wait for its end; the exit code."""
        watching = asyncio.ensure_future(self._watch())
        out, err = await self.process.communicate()
        watching.cancel()
        self.out, self.err = out.decode(), err.decode()
        code = self.process.returncode
        assert code is not None
        return code

    async def _watch(self) -> None:
        while True:
            self.pids |= children(self.process.pid)
            await asyncio.sleep(0.02)

    async def all_run(self) -> bool:
        """Whether all processes have been started."""
        self.pids |= children(self.process.pid)
        return len(self.pids) >= PROCESSES

    async def all_gone(self) -> bool:
        """Whether none of them runs."""
        return not alive(self.pids)


def children(pid: int) -> set[int]:
    """Children of a process."""
    try:
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()}
    except (FileNotFoundError, ProcessLookupError):
        return set()


@asynccontextmanager
async def demo(*arguments: str, environment: Mapping[str, str] | None = None) -> AsyncIterator[Run]:
    """Start one."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "demo",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )
    run = Run(process)
    try:
        yield run
    finally:
        for pid in alive({process.pid, *run.pids}):
            os.kill(pid, signal.SIGKILL)
        await process.communicate()


@pytest.fixture(scope="module")
async def both(in_checkout: Path) -> tuple[Run, Run]:
    """Two demos at once, one for programs, one for people."""
    async with demo("--json") as machine, demo() as human:
        codes = await asyncio.gather(machine.end(), human.end())
        assert not any(codes), machine.err + human.err
    return machine, human


def test_json_is_one_document_of_the_documented_form(both: tuple[Run, Run]) -> None:
    document = json.loads(both[0].out)
    assert set(document) == {"checks", "log"}
    assert all(set(check) == ASKED for check in document["checks"])
    assert set(document["log"]) == {"size", "root", "verified"}
    assert document["log"]["verified"] is True
    assert document["log"]["size"] > max(check["log_index"] for check in document["checks"])


def test_both_directions_and_both_outcomes_are_shown(both: tuple[Run, Run]) -> None:
    checks = json.loads(both[0].out)["checks"]
    for pair in (("fuzhou", "xiamen"), ("xiamen", "fuzhou")):
        outcomes = {check["outcome"] for check in checks if (check["home_city"], check["host_city"]) == pair}
        assert outcomes == {"ENTITLED", "ORDINARY"}
    assert all(check["terms"]["text_zh"] and check["terms"]["text_en"] for check in checks)


def test_a_withdrawn_consent_turns_its_answer_to_ordinary(both: tuple[Run, Run]) -> None:
    checks = json.loads(both[0].out)["checks"]
    first, last = checks[0], checks[-1]
    assert (first["home_city"], first["operator"], first["scenario"]) == (
        last["home_city"],
        last["operator"],
        last["scenario"],
    )
    assert (first["outcome"], last["outcome"]) == ("ENTITLED", "ORDINARY")


def test_people_get_a_table_the_withdrawal_and_what_was_verified(both: tuple[Run, Run]) -> None:
    out = both[1].out
    for word in ("fuzhou", "xiamen-library", "ENTITLED", "ORDINARY", "免押金", "No deposit", "withdrawal:", "verified"):
        assert word in out
    assert "synthetic" in out


def test_progress_is_seen_on_standard_error(both: tuple[Run, Run]) -> None:
    for run in both:
        assert len(run.err.splitlines()) >= 5
        assert "Traceback" not in run.err


async def test_a_demo_that_ends_leaves_neither_process_nor_file(both: tuple[Run, Run], checkout: Path) -> None:
    for run in both:
        assert len(run.pids) == PROCESSES
        await until(run.all_gone, "every process is gone")
        assert not list((checkout / ".state").glob(f"*{run.process.pid}*"))


async def test_no_signal_leaves_a_process_behind(checkout: Path) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)

    async def interrupted(number: signal.Signals) -> None:
        async with demo() as run:
            await until(run.all_run, "all processes have been started")
            assert (checkout / ".state" / f"demo-{run.process.pid}").is_dir()
            run.process.send_signal(number)
            code = await run.end()
            assert code == (-number if number == signal.SIGKILL else 128 + number), run.err
            assert "Traceback" not in run.err
            await until(run.all_gone, f"every process is gone after {number.name}")

    await asyncio.gather(*map(interrupted, numbers))


async def test_a_process_that_cannot_start_is_named_with_cause_and_remedy(checkout: Path) -> None:
    of_a_killed_one = checkout / ".state" / "demo-4194305"  # above the largest process number there is
    (of_a_killed_one / "logs").mkdir(parents=True, exist_ok=True)
    async with demo("--json", environment={"TIERGATE_GATEWAY_LOG_KEY": "/nowhere/log.key"}) as run:
        assert await run.end() == 1
        assert json.loads(run.out)["error"]["exit_code"] == 1
        assert "gateway ended with" in run.err
        assert "log_key: /nowhere/log.key cannot be read" in run.err
        assert "look at the logs in" in run.err
        assert "Traceback" not in run.err
        await until(run.all_gone, "every process is gone")
        assert not of_a_killed_one.exists()


def test_state_lies_where_version_control_does_not_look(checkout: Path) -> None:
    assert "/.state/" in (checkout / ".gitignore").read_text("utf-8").splitlines()
