"""Exports that are whole, and would make nearly everybody a person without a score; and files that cannot be read."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import pytest

from adapters.score import ScoreRecord
from adapters.sources import csv
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason
from tests.fakes.exports import GOOD, HEADER, SOMEBODY, Export, export_in, sealed


@pytest.fixture
async def export(tmp_path: Path) -> AsyncIterator[Export]:
    async with export_in(tmp_path) as made:
        yield made


def scores(*residents: str) -> str:
    return HEADER + "".join(f"{resident},812,2026-11-20\n" for resident in residents)


TEN = tuple(f"r{number}" for number in range(1, 11))
NOBODY_HAS_A_SCORE = {
    "no rows": HEADER,
    "bad rows alone": scores(*TEN).replace("812", "N/A"),
    "everybody twice": scores(*TEN, *TEN),
    "nobody with a score": scores(*TEN).replace("812", ""),
}
TOO_GREAT_A_LOSS = {
    **NOBODY_HAS_A_SCORE,
    "six of ten are gone": scores(*TEN[:4]),
    "six of ten are bad": scores(*TEN[:4]) + scores(*TEN[4:]).removeprefix(HEADER).replace("812", "N/A"),
    "six of ten are without a score": scores(*TEN[:4]) + scores(*TEN[4:]).removeprefix(HEADER).replace("812", ""),
    "others in their place": scores(*(f"{resident}-new" for resident in TEN)),
    "more bad rows than good": scores(*TEN) + "new,N/A,2026-11-20\n" * 11,
}


@pytest.mark.parametrize("name", TOO_GREAT_A_LOSS)
async def test_an_export_that_takes_too_many_scores_is_refused_and_the_last_one_stays(
    export: Export, name: str
) -> None:
    export.replace(sealed(scores(*TEN)))
    await export.source.ping()
    export.replace(sealed(TOO_GREAT_A_LOSS[name]))
    await export.source.ping()
    for resident in TEN:
        record = await export.source.read(ResidentRef(resident))
        assert isinstance(record, ScoreRecord)
        assert record.as_of == datetime(2026, 11, 19, 16, tzinfo=UTC)  # it ages as it would have
    assert export.alarms == ["export_refused"]
    export.replace(sealed(scores(*TEN, "r11")))
    await export.source.ping()
    assert isinstance(await export.source.read(ResidentRef("r11")), ScoreRecord)
    assert export.alarms == ["export_refused"]


@pytest.mark.parametrize("name", NOBODY_HAS_A_SCORE)
@pytest.mark.parametrize("options", [{}, {"max_loss": 1}])
async def test_an_export_without_any_score_is_refused_from_the_start_and_whatever_may_be_lost(
    export: Export, name: str, options: dict[str, float]
) -> None:
    export.open(**options)
    export.replace(sealed(NOBODY_HAS_A_SCORE[name]))
    assert (await export.refusal()).reason is Reason.PLATFORM_UNAVAILABLE
    assert export.alarms == ["export_refused"]


async def test_a_loss_up_to_the_set_share_is_taken(export: Export) -> None:
    export.replace(sealed(scores(*TEN)))
    await export.source.ping()
    export.replace(sealed(scores(*TEN[:5])))
    await export.source.ping()
    assert await export.source.read(ResidentRef(TEN[9])) is None
    assert export.alarms == []
    export.open(max_loss=0.1)
    await export.source.ping()
    export.replace(sealed(scores(*TEN[:4])))
    await export.source.ping()
    assert isinstance(await export.source.read(ResidentRef(TEN[4])), ScoreRecord)
    assert export.alarms == ["export_refused"]


async def test_a_great_loss_that_is_right_is_taken_by_a_restart_unless_it_is_below_the_least_number(
    export: Export,
) -> None:
    export.replace(sealed(scores(*TEN)))
    await export.source.ping()
    export.replace(sealed(scores(*TEN[:2])))
    export.open(min_scores=3)
    assert (await export.refusal()).reason is Reason.PLATFORM_UNAVAILABLE
    assert export.alarms == ["export_refused"]
    export.open(min_scores=2)
    assert isinstance(await export.source.read(SOMEBODY), ScoreRecord)
    assert export.alarms == ["export_refused"]


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, "Input/output error")])
async def test_a_file_that_could_not_be_read_is_alarmed_and_tried_again(
    export: Export, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_arguments: object) -> NoReturn:
        raise error

    export.replace(sealed(GOOD))
    with monkeypatch.context() as patched:
        patched.setattr(csv, "read_rows", fails)
        assert (await export.refusal()).reason is Reason.PLATFORM_UNAVAILABLE
        assert export.alarms == ["export_refused"]
    assert isinstance(await export.source.read(SOMEBODY), ScoreRecord)
