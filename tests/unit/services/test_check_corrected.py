"""A correction ends what was decided on what was attested before it: for a repeated request, too."""

from __future__ import annotations

import pytest

from tests.fakes.world import FUZHOU
from tests.unit.services.bench_of_checks import Bench, bench

__all__ = ["bench"]


def later(bench: Bench, seconds: float) -> None:
    bench.clock.advance(seconds)
    bench.world.now_s = bench.clock.now_ms() // 1000


@pytest.mark.parametrize("uses", [None, 5])
async def test_a_repeated_request_is_not_answered_as_before_a_correction(bench: Bench, uses: int | None) -> None:
    text = bench.world.consent(uses=uses)
    before = await bench.check(text, 1)
    assert before.decision.rung == 1
    bench.city.rung = 0  # frozen
    await bench.events.take(FUZHOU, bench.world.correction())
    later(bench, 5)
    after = await bench.check(text, 1)
    assert (after.decision.rung, after.decision.log_index > before.decision.log_index) == (0, True)
    assert (await bench.check(text, 1)).decision == after.decision
