"""Background tasks outlive their errors."""

from __future__ import annotations

import asyncio

import pytest

from gateway.process import kept_running


async def test_a_task_that_fails_is_begun_again_until_it_is_done() -> None:
    runs: list[int] = []

    async def run() -> None:
        runs.append(len(runs))
        if len(runs) < 4:
            raise (OSError(28, "full"), KeyError("x"), ExceptionGroup("g", [ValueError("y")]))[runs[-1]]

    await kept_running("test", run, again_s=0.0)
    assert runs == [0, 1, 2, 3]


async def test_a_task_that_is_cancelled_ends() -> None:
    began = asyncio.Event()

    async def run() -> None:
        began.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(kept_running("test", run))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
