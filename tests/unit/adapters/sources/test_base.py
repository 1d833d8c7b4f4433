from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from adapters.score import RawScore, ScoreRecord
from adapters.sources.base import GuardedSource
from adapters.sources.options import Fields, SourceOptions
from adapters.sources.port import bad_record, platform_fault
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason, TiergateError

RECORD = ScoreRecord(RawScore(812), datetime(2026, 11, 20, tzinfo=UTC))
RESIDENT = ResidentRef("synthetic-0001")
Behaviour = Callable[[ResidentRef], Awaitable[Any]]


class Scripted(GuardedSource):
    """A city's own source, which does whatever the test says."""

    kind: ClassVar[str] = "scripted"

    def __init__(self, behaviour: Behaviour, clock: Callable[[], float] = lambda: 0.0, **options: Any) -> None:
        super().__init__(SourceOptions(fields=Fields(score="s", as_of="t"), **options), clock)
        self.behaviour = behaviour
        self.asked: list[ResidentRef] = []
        self.closed = 0

    async def _read(self, resident: ResidentRef) -> ScoreRecord | None:
        self.asked.append(resident)
        result: ScoreRecord | None = await self.behaviour(resident)
        return result

    async def _close(self) -> None:
        self.closed += 1


def raising(error: BaseException) -> Behaviour:
    async def behaviour(resident: ResidentRef) -> None:
        points = 812  # what a frame of city code would hold
        raise error from ValueError(f"{resident} has {points}")

    return behaviour


async def answering(resident: ResidentRef) -> ScoreRecord:
    return RECORD


async def failure_of(source: GuardedSource, resident: ResidentRef = RESIDENT) -> TiergateError:
    with pytest.raises(TiergateError) as caught:
        await source.read(resident)
    return caught.value


@pytest.mark.parametrize(
    ("thrown", "reason"),
    [
        (bad_record("the score is not a number"), Reason.SOURCE_INVALID),
        (platform_fault("HTTP status 500"), Reason.PLATFORM_UNAVAILABLE),
        (TiergateError(Reason.INTERNAL, "812"), Reason.PLATFORM_UNAVAILABLE),
        (ConnectionResetError("peer 812"), Reason.PLATFORM_UNAVAILABLE),
        (TimeoutError("812"), Reason.PLATFORM_UNAVAILABLE),
        (ValueError("invalid literal: 812"), Reason.PLATFORM_UNAVAILABLE),
        (KeyError("812"), Reason.PLATFORM_UNAVAILABLE),
        (RecursionError("812"), Reason.PLATFORM_UNAVAILABLE),
        (MemoryError("812"), Reason.PLATFORM_UNAVAILABLE),
        (StopAsyncIteration(812), Reason.PLATFORM_UNAVAILABLE),
        (ExceptionGroup("812", [ValueError("812")]), Reason.PLATFORM_UNAVAILABLE),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
async def test_only_two_reasons_escape_and_nothing_of_the_record(thrown: Exception, reason: Reason) -> None:
    error = await failure_of(Scripted(raising(thrown)))
    assert error.reason is reason
    assert (error.retry_after_s is None) == (reason is Reason.SOURCE_INVALID)
    assert "812" not in error.detail
    assert RESIDENT not in error.detail
    assert error.__cause__ is None
    assert error.__context__ is None


async def test_what_is_no_record_is_a_fault_of_the_source() -> None:
    async def behaviour(resident: ResidentRef) -> object:
        return {"score": 812}

    error = await failure_of(Scripted(behaviour))
    assert error.reason is Reason.PLATFORM_UNAVAILABLE
    assert "812" not in error.detail


async def test_the_deadline_ends_a_read_that_never_ends() -> None:
    async def behaviour(resident: ResidentRef) -> None:
        await asyncio.Event().wait()

    error = await failure_of(Scripted(behaviour, deadline_s=0.01))
    assert error.reason is Reason.PLATFORM_UNAVAILABLE
    assert "deadline" in error.detail


async def test_waiting_for_a_slot_counts_against_the_deadline_and_slots_are_bounded() -> None:
    release, running, most = asyncio.Event(), 0, 0

    async def behaviour(resident: ResidentRef) -> ScoreRecord:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await release.wait()
        finally:
            running -= 1
        return RECORD

    source = Scripted(behaviour, deadline_s=0.05, max_in_flight=2, breaker_failures=100)
    outcomes = await asyncio.gather(*(source.read(RESIDENT) for _ in range(5)), return_exceptions=True)
    assert most == 2
    assert all(isinstance(o, TiergateError) and o.reason is Reason.PLATFORM_UNAVAILABLE for o in outcomes)
    release.set()
    assert await source.read(RESIDENT) is RECORD


async def test_a_cancelled_reader_is_cancelled() -> None:
    started = asyncio.Event()

    async def behaviour(resident: ResidentRef) -> None:
        started.set()
        await asyncio.Event().wait()

    source = Scripted(behaviour, breaker_failures=1)
    task = asyncio.create_task(source.read(RESIDENT))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    source.behaviour = answering
    assert await source.read(RESIDENT) is RECORD


async def test_the_breaker_refuses_then_tries_once_then_closes() -> None:
    now = 0.0
    source = Scripted(raising(OSError("down")), clock=lambda: now, breaker_failures=2, breaker_open_s=10)
    await failure_of(source)
    await failure_of(source, ResidentRef("synthetic-other"))
    refused = await failure_of(source)
    assert refused.retry_after_s == 10
    assert len(source.asked) == 2
    now = 11.0
    source.behaviour = answering
    assert await source.read(RESIDENT) is RECORD
    assert await source.read(RESIDENT) is RECORD


async def test_one_resident_who_fails_again_and_again_does_not_close_the_city() -> None:
    source = Scripted(raising(OSError("her record alone")), breaker_failures=2, breaker_open_s=10)
    for _ in range(5):
        assert (await failure_of(source)).reason is Reason.PLATFORM_UNAVAILABLE
    assert len(source.asked) == 5
    await failure_of(source, ResidentRef("synthetic-other"))  # the second who fails: it is the platform
    assert "not asked" in (await failure_of(source)).detail


async def test_two_residents_who_fail_in_turns_do_not_close_the_city() -> None:
    source = Scripted(raising(OSError("their records alone")), breaker_failures=3, breaker_open_s=10)
    two = (ResidentRef("synthetic-one"), ResidentRef("synthetic-two"))
    for _ in range(5):
        for resident in two:
            assert (await failure_of(source, resident)).reason is Reason.PLATFORM_UNAVAILABLE
    assert len(source.asked) == 10
    await failure_of(source, ResidentRef("synthetic-three"))  # the third who fails: it is the platform
    assert "not asked" in (await failure_of(source, two[0])).detail


@pytest.mark.parametrize("answer", [answering, raising(bad_record("garbage"))])
async def test_whoever_is_answered_ends_the_count_of_those_who_fail(answer: Behaviour) -> None:
    source = Scripted(raising(OSError("down")), breaker_failures=2, breaker_open_s=10)
    for _ in range(3):
        await failure_of(source, ResidentRef("synthetic-one"))
        source.behaviour = answer
        with contextlib.suppress(TiergateError):
            await source.read(RESIDENT)
        source.behaviour = raising(OSError("down"))
    await failure_of(source, ResidentRef("synthetic-one"))
    await failure_of(source, ResidentRef("synthetic-two"))
    assert "not asked" in (await failure_of(source)).detail


async def test_bad_records_never_open_the_breaker() -> None:
    source = Scripted(raising(bad_record("garbage")), breaker_failures=1)
    for _ in range(5):
        assert (await failure_of(source)).reason is Reason.SOURCE_INVALID
    assert len(source.asked) == 5


@pytest.mark.parametrize("resident", ["", ".", "..", "a\nb", "a\0b", " a", "a ", "a" * 129])
async def test_a_reference_no_platform_can_know_is_not_asked_for(resident: str) -> None:
    source = Scripted(answering)
    assert await source.read(ResidentRef(resident)) is None
    assert source.asked == []


async def test_ping_asks_for_the_probe_and_tells_the_text() -> None:
    source = Scripted(raising(OSError("no route to host")), probe_ref="nobody")
    with pytest.raises(TiergateError) as caught:
        await source.ping()
    assert source.asked == ["nobody"]
    assert caught.value.reason is Reason.PLATFORM_UNAVAILABLE
    assert "no route to host" in caught.value.detail
    assert isinstance(caught.value.__cause__, OSError)


async def test_ping_is_content_with_a_platform_that_answers_at_all() -> None:
    await Scripted(answering).ping()
    await Scripted(raising(bad_record("garbage"))).ping()


async def test_close_closes_once() -> None:
    source = Scripted(answering)
    await source.close()
    await source.close()
    assert source.closed == 1
    assert (await failure_of(source)).reason is Reason.PLATFORM_UNAVAILABLE
