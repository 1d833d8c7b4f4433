"""The uniform no (I3) at the gateway: a withdrawn consent is decided by the same statements as any other."""

from __future__ import annotations

import pytest

from gateway.domain.decision import Outcome
from tests.fakes.statements import statements
from tests.fakes.world import FUZHOU
from tests.unit.services.bench_of_checks import Bench, bench

__all__ = ["bench"]  # a fixture

REASONS = ("below", "withdrawn after use", "withdrawn unused", "withdrawn, push under way")


async def _prepared(bench: Bench, reason: str, uses: int | None) -> str:
    token = bench.world.consent(uses=uses)
    bench.city.rung = 1 if reason == "withdrawn after use" else 0
    if reason == "withdrawn unused":
        await bench.events.take(FUZHOU, bench.world.withdrawal(bench.world.read(token).id))
    await bench.check(token, REASONS.index(reason))
    if reason == "withdrawn after use":
        await bench.events.take(FUZHOU, bench.world.withdrawal(bench.world.read(token).id))
    return token


@pytest.mark.parametrize("uses", [None, 9], ids=["cached", "round-trip"])
async def test_every_reason_is_the_same_statements_and_questions(bench: Bench, uses: int | None) -> None:
    work = {}
    for number, reason in enumerate(REASONS):
        token = await _prepared(bench, reason, uses)
        asked, size = len(bench.city.asked), bench.store.size()
        with statements(bench.store._connection, bench.store._lookup, bench.store._reader) as seen:
            answer = await bench.check(token, 100 + number)
        assert answer.decision.outcome is Outcome.ORDINARY
        work[reason] = seen, len(bench.city.asked) - asked, bench.store.size() - size
    assert work["below"][0]  # the trace sees something
    assert {reason: done for reason, done in work.items() if done != work["below"]} == {}
