"""The uniform no (I3) over real processes: bytes, metadata, status, log and receipts. Times are for ``./dev leak``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bench.leak.classes import REASONS, TOP, TWIN
from bench.leak.shapes import Shape, differences, shapes
from bench.leak.stage import Stage, set_up
from bench.material import Consent

ENTITLED = "entitled"


async def _entitled(stage: Stage, uses: int) -> Consent:
    return (await stage.grant(TOP, uses)).consent


@pytest.fixture(scope="module")
async def seen(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, dict[str, Shape]]]:
    """What every reason looks like, and an entitled answer beside them."""
    async with set_up(tmp_path_factory.mktemp("uniform-no")) as stage:
        entitled = replace(TWIN, name=ENTITLED, prepare=_entitled)
        yield await shapes(stage, (*REASONS, TWIN, entitled))


def test_every_reason_looks_like_every_other(seen: dict[str, dict[str, Shape]]) -> None:
    reasons = {name: asked for name, asked in seen.items() if name != ENTITLED}
    assert len(reasons) == len(REASONS) + 1
    assert differences(reasons) == []


def test_every_kind_of_question_was_asked(seen: dict[str, dict[str, Shape]]) -> None:
    asked = seen[TWIN.name]
    for token in ("unlimited", "counted"):
        assert asked[f"{token}: first"].jump == 2  # the registration, and the decision
        assert asked[f"{token}: next"].jump == 1
        assert asked[f"{token}: a retry"].jump == 0
        assert b"tlog-proof" in asked[f"{token}: with receipt"].payload
    assert asked["a batch of both"].jump == 2
    assert asked["single: the one use"].jump == 2
    assert b'"outcome":"ordinary"' in asked["a receipt later"].payload
    refused = {name: shape.status for name, shape in asked.items() if shape.status != "OK"}
    assert refused == {
        "no use is left": "FAILED_PRECONDITION",
        "no proof": "INVALID_ARGUMENT",
        "another's proof": "PERMISSION_DENIED",
        "a proof too many": "INVALID_ARGUMENT",
        "single: no use is left": "FAILED_PRECONDITION",
    }


def test_what_may_differ_is_seen(seen: dict[str, dict[str, Shape]]) -> None:
    told = differences({name: seen[name] for name in (TWIN.name, ENTITLED)})
    assert any("payload" in line for line in told)
    assert any("entries" in line for line in told)
