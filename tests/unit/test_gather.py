"""Concurrent questions in groups: each is answered alone, none waits for what it has nothing to do with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.errors import Reason, TiergateError
from gateway.rpc.gather import Gather


class Peer:
    """Answers a group when told to: each question with itself, those that begin with "bad" with an error."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.gates: list[asyncio.Event] = []
        self.asked = asyncio.Event()
        self.open = True

    async def ask_many(self, questions: Sequence[str]) -> list[str | TiergateError]:
        self.groups.append(list(questions))
        self.gates.append(asyncio.Event())
        self.asked.set()
        if not self.open:
            await self.gates[-1].wait()
        if "silence" in questions:
            raise TiergateError(Reason.HOME_CITY_UNAVAILABLE, "no answer", retry_after_s=5)
        if "crash" in questions:
            raise ZeroDivisionError
        if "short" in questions:
            return []
        return [TiergateError(Reason.USES_EXHAUSTED) if item.startswith("bad") else item for item in questions]


async def outcome(gather: Gather[str, str], question: str) -> str | Reason:
    try:
        return await gather.ask(question)
    except TiergateError as error:
        return error.reason


async def test_questions_of_one_turn_leave_together_and_are_answered_alone() -> None:
    peer = Peer()
    gather = Gather[str, str](peer.ask_many, max_group=64)
    found = await asyncio.gather(*(outcome(gather, item) for item in ("a", "bad", "c")))
    assert found == ["a", Reason.USES_EXHAUSTED, "c"]
    assert peer.groups == [["a", "bad", "c"]]


async def test_what_comes_meanwhile_is_the_next_group() -> None:
    peer = Peer()
    peer.open = False
    gather = Gather[str, str](peer.ask_many, max_group=64, patience_s=600)
    tasks = [asyncio.ensure_future(gather.ask("first"))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for item in ("b", "c"):
        tasks.append(asyncio.ensure_future(gather.ask(item)))
        await asyncio.sleep(0)
    assert peer.groups == [["first"]]
    peer.open = True
    peer.gates[0].set()
    assert await asyncio.gather(*tasks) == ["first", "b", "c"]
    assert peer.groups == [["first"], ["b", "c"]]


async def test_a_group_that_is_slow_holds_up_only_those_that_left_with_it() -> None:
    peer = Peer()
    peer.open = False
    gather = Gather[str, str](peer.ask_many, max_group=64, patience_s=0.001)
    slow = asyncio.ensure_future(gather.ask("slow"))
    await peer.asked.wait()
    peer.open = True
    assert await gather.ask("later") == "later"  # returns, though the first one has not come back
    assert not slow.done()
    peer.gates[0].set()
    assert await slow == "slow"
    assert await gather.ask("after") == "after"


async def test_a_group_has_a_largest_size() -> None:
    peer = Peer()
    gather = Gather[str, str](peer.ask_many, max_group=4)
    items = [str(number) for number in range(10)]
    assert await asyncio.gather(*map(gather.ask, items)) == items
    assert [len(group) for group in peer.groups] == [4, 4, 2]


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("silence", Reason.HOME_CITY_UNAVAILABLE),
        ("short", Reason.INTERNAL),
        ("crash", Reason.INTERNAL),
    ],
)
async def test_what_befalls_a_call_befalls_its_whole_group_and_no_other(cause: str, reason: Reason) -> None:
    peer = Peer()
    gather = Gather[str, str](peer.ask_many, max_group=64)
    found = await asyncio.gather(*(gather.ask(item) for item in ("a", cause)), return_exceptions=True)
    assert [item.reason for item in found if isinstance(item, TiergateError)] == [reason, reason]
    assert found[0] is not found[1]  # one object would collect the traceback of every task that raises it
    assert await gather.ask("next") == "next"


async def test_a_cancelled_callers_question_does_not_take_the_others_along() -> None:
    peer = Peer()
    peer.open = False
    gather = Gather[str, str](peer.ask_many, max_group=64)
    tasks = [asyncio.ensure_future(gather.ask(item)) for item in ("a", "b")]
    await peer.asked.wait()
    tasks[0].cancel()
    await asyncio.sleep(0)
    peer.gates[0].set()
    assert await tasks[1] == "b"
    assert tasks[0].cancelled()
    assert peer.groups == [["a", "b"]]
