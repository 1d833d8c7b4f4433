from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from adapters.sources.workers import Workers


async def test_results_and_errors_come_back() -> None:
    workers = Workers(2, "test")
    assert await workers.run(lambda: threading.current_thread().daemon) is True
    with pytest.raises(ZeroDivisionError):
        await workers.run(lambda: 1 / 0)
    workers.stop()


async def test_a_job_cancelled_before_its_turn_is_not_run() -> None:
    workers = Workers(1, "test")
    gate, ran = threading.Event(), threading.Event()
    held = asyncio.create_task(workers.run(gate.wait))
    late = asyncio.create_task(workers.run(ran.set))
    await asyncio.sleep(0)
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    gate.set()
    assert await held
    await workers.run(lambda: None)
    assert not ran.is_set()
    workers.stop()


async def test_an_idle_thread_keeps_no_result_alive() -> None:
    class Result:
        pass

    workers = Workers(1, "test")
    result = await workers.run(Result)
    await asyncio.sleep(0)
    gone = weakref.ref(result)
    del result
    await workers.run(lambda: None)
    gc.collect()
    assert gone() is None
    workers.stop()


async def test_the_last_thread_to_end_runs_at_end_once() -> None:
    ended: list[str] = []
    done = threading.Event()

    def at_end() -> None:
        ended.append(threading.current_thread().name)
        done.set()

    workers = Workers(3, "test", at_end)
    workers.stop()
    assert await asyncio.to_thread(done.wait, 30)
    assert len(ended) == 1
