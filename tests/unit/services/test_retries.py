"""How long one request id is a question about the person: for the minutes that a lost reply needs, whatever she is."""

from __future__ import annotations

import pytest

from gateway.domain.ids import EVALUATED_S
from gateway.errors import Reason
from tests.fakes.world import FUZHOU
from tests.unit.services.bench_of_checks import Bench, bench, refused

__all__ = ["bench"]  # a fixture


def _advance(bench: Bench, seconds: int) -> None:
    bench.clock.advance(seconds)
    bench.world.now_s += seconds


@pytest.mark.parametrize("uses", [1, 5, None], ids=["once", "counted", "unlimited"])
async def test_one_request_is_no_standing_question(bench: Bench, uses: int | None) -> None:
    token = bench.world.consent(uses=uses)
    await bench.check(token, 1)
    _advance(bench, 301)
    bench.city.rung = 0
    assert (await bench.check(token, 1)).decision.rung == 0  # a reply that was lost is asked for again
    for seconds in (301, 3600, 20 * 3600):
        _advance(bench, seconds)
        bench.city.rung = 1
        asked = len(bench.city.asked)
        await refused(bench, Reason.REQUEST_ENDED, token, number=1)
        assert len(bench.city.asked) == asked


async def test_a_batch_is_no_way_around_it_nor_is_a_cached_answer(bench: Bench) -> None:
    token = bench.world.consent()
    await bench.check(token, 1)
    _advance(bench, EVALUATED_S)
    await bench.check(token, 2)  # cached from now on
    results = await bench.checks.check_many([bench.question(token, 1)])
    assert [getattr(item, "reason", item) for item in results] == [Reason.REQUEST_ENDED]
    await refused(bench, Reason.REQUEST_ENDED, token, number=1)


async def test_it_does_not_count_for_the_consents_rate(bench: Bench) -> None:
    """Else who repeats an old id would use up what the person's real visits need."""
    token = bench.world.consent()
    await bench.check(token, 0)
    _advance(bench, EVALUATED_S)
    await bench.check(token, 1)
    for _ in range(100):
        await refused(bench, Reason.REQUEST_ENDED, token, number=0)
    await bench.check(token, 2)


@pytest.mark.parametrize("uses", [5, None], ids=["counted", "unlimited"])
@pytest.mark.parametrize("ends", ["not", "withdrawn", "corrected"])
async def test_that_it_has_ended_says_nothing_of_the_person(bench: Bench, uses: int | None, ends: str) -> None:
    token = bench.world.consent(uses=uses)
    await bench.check(token, 1)
    _advance(bench, EVALUATED_S)
    if ends == "withdrawn":
        await bench.events.take(FUZHOU, bench.world.withdrawal(bench.world.read(token).id))
    elif ends == "corrected":
        await bench.events.take(FUZHOU, bench.world.correction())
    await refused(bench, Reason.REQUEST_ENDED, token, number=1)
