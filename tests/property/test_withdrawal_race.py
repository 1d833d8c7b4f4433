"""A withdrawal races with running checks, over hundreds of interleavings of the real services and store (I7)."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from gateway.crypto.consent import ConsentToken
from gateway.domain.decision import Decision
from gateway.errors import TiergateError
from gateway.services.ask_cities import AttestQuestion
from gateway.services.check import CheckAnswer
from gateway.services.take_event import TakenEvent
from tests.fakes.world import FUZHOU
from tests.unit.services.bench_of_checks import Bench, bench

__all__ = ["bench"]  # a fixture

SCHEDULES = 400
LONGEST_WAIT = 40
"""Turns of the event loop that an operation may wait before it starts: about as long as a check takes."""


@dataclass
class Told:
    """One decision as an operator was told it. ``after``: the check began when the withdrawal had been acknowledged."""

    decision: Decision
    after: bool


@dataclass
class Race:
    """One consent, several checks of it, one withdrawal."""

    bench: Bench
    chance: random.Random
    text: str
    token: ConsentToken
    told: list[Told] = field(default_factory=list)
    index: int | None = None

    async def turns(self) -> None:
        """Let others go first for a while."""
        for _ in range(self.chance.randrange(LONGEST_WAIT)):
            await asyncio.sleep(0)

    async def check(self, first: int) -> None:
        """One check, or a batch; some repeat a request id that another one uses."""
        await self.turns()
        numbers = [first] if self.chance.random() < 0.6 else [first, first - 1, first + 1000]
        after = self.index is not None
        questions = [self.bench.question(self.text, number) for number in numbers]
        if len(questions) == 1:
            answers: list[CheckAnswer | TiergateError] = [await self.bench.checks.check(questions[0])]
        else:
            answers = await self.bench.checks.check_many(questions)
        for answer in answers:
            assert isinstance(answer, CheckAnswer)
            self.told.append(Told(answer.decision, after))

    async def withdraw(self) -> None:
        """The city's event, taken and acknowledged."""
        await self.turns()
        taken = await self.bench.events.take(FUZHOU, self.bench.world.withdrawal(self.token.id))
        self.index = taken.log_index

    async def run(self, start: int) -> None:
        """Everything at once, then one more check."""
        checks = [self.check(start + number) for number in range(self.chance.randrange(2, 7))]
        await asyncio.gather(self.withdraw(), *checks)
        await self.check(start)


async def test_no_decision_after_an_acknowledged_withdrawal_is_entitled(bench: Bench) -> None:
    chance = random.Random(20_261_101)
    attest = bench.city.attest

    async def slow(question: AttestQuestion) -> str:
        for _ in range(chance.randrange(LONGEST_WAIT)):
            await asyncio.sleep(0)
        return await attest(question)

    bench.city.attest = slow  # type: ignore[method-assign]  # the city takes its time
    entitled = straddling = late = 0
    for number in range(SCHEDULES):
        text = bench.world.consent(uses=None if chance.random() < 0.5 else 50)
        race = Race(bench, chance, text, bench.world.read(text))
        await race.run(10 + 10_000 * number)
        assert race.index is not None
        for told in race.told:
            rung, place = told.decision.rung, told.decision.log_index
            assert rung == 0 or (place < race.index and not told.after), f"schedule {number}"
            entitled += rung > 0
            straddling += rung == 0 and not told.after
            late += told.after
    # the schedules are worth something only if withdrawals came before, between and after
    assert min(entitled, straddling, late) > SCHEDULES // 4


@pytest.mark.parametrize("members", ["one group", "many groups"])
async def test_in_one_commit_group_the_order_of_the_log_decides(bench: Bench, members: str) -> None:
    """Operations that reach the writer together are decided one after the other, as they stand in the log."""
    text = bench.world.consent()
    await bench.check(text, 1)  # attested and live from here on: nothing but the writer is waited for
    token = bench.world.read(text)
    checks = [bench.checks.check(bench.question(text, number)) for number in range(2, 12)]
    event = bench.events.take(FUZHOU, bench.world.withdrawal(token.id))
    if members == "one group":
        answers = await asyncio.gather(*checks[:5], event, *checks[5:])
    else:
        answers = [await work for work in (*checks[:5], event, *checks[5:])]
    taken = answers.pop(5)
    assert isinstance(taken, TakenEvent)
    index = taken.log_index
    for answer in answers:
        assert isinstance(answer, CheckAnswer)
        assert (answer.decision.rung > 0) == (answer.decision.log_index < index)
