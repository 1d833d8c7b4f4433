"""Sleeping to the point: never short, in order of the moments, and nobody sleeps for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from adapters.punctual import Punctual


@pytest.fixture
def punctual() -> Iterator[Punctual]:
    found = Punctual()
    yield found
    found.close()


async def test_nobody_is_woken_too_early(punctual: Punctual) -> None:
    async def early(seconds: float) -> bool:
        due = time.monotonic() + seconds
        await punctual.sleep(seconds)
        return time.monotonic() < due

    assert not any(await asyncio.gather(*(early(number * 0.0007) for number in range(30))))


async def test_sleepers_wake_in_the_order_of_their_moments(punctual: Punctual, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("adapters.punctual.time", SimpleNamespace(monotonic=lambda: now[0]))
    woken: list[int] = []

    async def sleep(number: int) -> None:
        await punctual.sleep(1000.0 + number)
        woken.append(number)

    sleepers = [asyncio.create_task(sleep(number)) for number in (3, 1, 4, 0, 2)]
    await asyncio.sleep(0)
    now[0] = 2000.0
    await punctual.sleep(-1500.0)  # before all others, so that the thread looks
    await asyncio.gather(*sleepers)
    assert woken == [0, 1, 2, 3, 4]


async def test_no_pause_at_all_is_a_pause_too(punctual: Punctual) -> None:
    await punctual.sleep(0.0)
    await punctual.sleep(-1.0)


async def test_a_cancelled_sleeper_disturbs_nobody(punctual: Punctual) -> None:
    cancelled = asyncio.create_task(punctual.sleep(0.005))
    other = asyncio.create_task(punctual.sleep(0.01))
    await asyncio.sleep(0)
    cancelled.cancel()
    await other
    with pytest.raises(asyncio.CancelledError):
        await cancelled


async def test_at_the_end_sleepers_are_woken() -> None:
    punctual = Punctual()
    sleeping = asyncio.create_task(punctual.sleep(3600))
    await asyncio.sleep(0)
    await asyncio.to_thread(punctual.close)
    await sleeping


def test_one_that_nobody_used_ends_at_once() -> None:
    Punctual().close()


async def test_a_loop_that_has_ended_disturbs_nobody(punctual: Punctual) -> None:
    def gone() -> None:
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            task = loop.create_task(punctual.sleep(0.01))
            loop.call_soon(loop.stop)
            loop.run_forever()
            task.cancel()

    await asyncio.to_thread(gone)
    await punctual.sleep(0.02)
