from __future__ import annotations

import copy
import dataclasses
import io
import json
import logging
import math
import pickle
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pydantic_core
import pytest
import structlog
from rich.console import Console
from rich.pretty import pretty_repr
from rich.traceback import Traceback

from adapters.score import MAX_ABSOLUTE_POINTS, RawScore, ScoreRecord
from gateway.domain.ids import CityId
from gateway.domain.tier import Concordance, Cut, Source
from gateway.errors import Reason, TiergateError

POINTS = 873_412
SOURCE = Source("https://example.test/", "2026", "none")
NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)


def concordance(highest: int = 1_000_000) -> Concordance:
    cuts = tuple(Cut(level, minimum, "", SOURCE) for level, minimum in [(1, 650_000), (2, 750_000), (3, 850_000)])
    city = CityId("fuzhou")
    return Concordance(
        city, 1, "分", "score", 0, highest, "band", cuts, 30, date(2026, 1, 1), None, True, SOURCE, SOURCE
    )


def record() -> ScoreRecord:
    return ScoreRecord(RawScore(POINTS), NOW)


@pytest.mark.parametrize(
    ("points", "level"), [(0, 0), (649_999, 0), (650_000, 1), (750_000, 2), (849_999, 2), (850_000, 3), (1_000_000, 3)]
)
def test_a_concordance_opens_it(points: int, level: int) -> None:
    assert RawScore(points).map(concordance()) == level


@pytest.mark.parametrize("points", [-1, 1_000_001, MAX_ABSOLUTE_POINTS])
def test_outside_the_range_nothing_of_the_value_is_in_the_error(points: int) -> None:
    score = RawScore(points)
    with pytest.raises(TiergateError) as caught:
        score.map(concordance())
    assert caught.value.reason is Reason.SOURCE_INVALID
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert str(abs(points)) not in caught.value.detail


@pytest.mark.parametrize("points", [MAX_ABSOLUTE_POINTS + 1, -MAX_ABSOLUTE_POINTS - 1, 10**30])
def test_no_score_is_that_large(points: int) -> None:
    with pytest.raises(TiergateError) as caught:
        RawScore(points)
    assert caught.value.reason is Reason.SOURCE_INVALID
    assert str(abs(points)) not in caught.value.detail


@pytest.mark.parametrize("points", [1.0, "812", True, None])
def test_only_whole_numbers_go_in(points: Any) -> None:
    with pytest.raises(TypeError):
        RawScore(points)


FORBIDDEN: dict[str, Callable[[Any], object]] = {
    "str": str,
    "repr": repr,
    "ascii": ascii,
    "format": format,
    "f-string": lambda score: f"{score}",
    "f-string repr": lambda score: f"{score!r}",
    "f-string number": lambda score: f"{score:d}",
    "percent s": lambda score: "%s" % score,  # noqa: UP031
    "percent d": lambda score: "%d" % score,  # noqa: UP031
    "percent r": lambda score: "%r" % score,  # noqa: UP031
    "str.format": "{}".format,
    "int": int,
    "float": float,
    "complex": complex,
    "bool": bool,
    "bytes": bytes,
    "round": round,
    "trunc": math.trunc,
    "hex": hex,
    "range": range,
    "index": lambda score: [0][score],
    "add": lambda score: score + 1,
    "subtract": lambda score: 1 - score,
    "negate": lambda score: -score,
    "equal": lambda score: score == POINTS,
    "not equal": lambda score: score != POINTS,
    "equal to itself": lambda score: score == RawScore(POINTS),
    "less": lambda score: score < POINTS,
    "less or equal": lambda score: score <= POINTS,
    "greater": lambda score: score > 0,
    "greater or equal": lambda score: score >= 0,
    "sorted": lambda score: sorted([score, score]),
    "hash": hash,
    "set": lambda score: {score},
    "dict key": lambda score: {score: 1},
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "old pickle": lambda score: pickle.dumps(score, protocol=0),
    "reduce": lambda score: score.__reduce__(),
    "reduce_ex": lambda score: score.__reduce_ex__(2),
    "getstate": lambda score: score.__getstate__(),
    "json": json.dumps,
    "json default": lambda score: json.dumps(score, default=str),
    "pydantic json": lambda score: pydantic_core.to_json({"score": score}),
    "vars": vars,
    "iterate": list,
    "length": len,
    "subclass": lambda score: type("Mine", (RawScore,), {}),
    "attribute": lambda score: setattr(score, "label", 1),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_every_other_way_out_is_refused_without_the_value(name: str) -> None:
    with pytest.raises((TypeError, AttributeError, pydantic_core.PydanticSerializationError)) as caught:
        FORBIDDEN[name](RawScore(POINTS))
    assert str(POINTS) not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("template", ["a score: %s", "a score: %r", "a score: %d"])
def test_logging_writes_no_score(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out, complaints = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", complaints)
    logger = logging.Logger("scores")  # noqa: LOG001  # one of the test's own, outside the tree
    logger.addHandler(logging.StreamHandler(out))
    logger.warning(template, RawScore(POINTS))
    logger.warning("record %s", record())
    assert str(POINTS) not in out.getvalue() + complaints.getvalue()
    assert out.getvalue() == "record <ScoreRecord withheld>\n"


@pytest.mark.parametrize("renderer", [structlog.processors.JSONRenderer(), structlog.processors.KeyValueRenderer()])
def test_structlog_refuses_a_score_and_withholds_a_record(renderer: Any) -> None:
    lines: list[str] = []

    class Lines:
        def warning(self, line: str) -> None:
            lines.append(line)

    logger = structlog.wrap_logger(Lines(), processors=[renderer])
    with pytest.raises(TypeError):
        logger.warning("leak", score=RawScore(POINTS))
    logger.warning("leak", record=record())
    assert len(lines) == 1
    assert "<ScoreRecord withheld>" in lines[0]
    assert str(POINTS) not in lines[0]


def fail_with_locals() -> None:
    score = RawScore(POINTS)
    kept = [record(), {"score": score}]
    raise ValueError(f"{len(kept)} things in hand")


def test_tracebacks_with_locals_show_no_score() -> None:
    console = Console(file=io.StringIO(), record=True, width=200)
    structured = structlog.tracebacks.ExceptionDictTransformer(show_locals=True)
    with pytest.raises(ValueError, match="2 things") as caught:
        fail_with_locals()
    error = caught.value
    console.print(Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True))
    shown = console.export_text()
    assert "fail_with_locals" in shown
    dicts = json.dumps(structured((type(error), error, error.__traceback__)))
    standard = traceback.TracebackException.from_exception(error, capture_locals=False)
    assert str(POINTS) not in shown + dicts + "".join(standard.format())


def test_pretty_printers_show_no_score() -> None:
    assert str(POINTS) not in pretty_repr({"score": RawScore(POINTS), "record": record()})


@pytest.mark.parametrize("way", [dataclasses.asdict, dataclasses.astuple, copy.deepcopy, pickle.dumps])
def test_a_record_is_not_taken_apart(way: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError) as caught:
        way(record())
    assert str(POINTS) not in "".join(traceback.format_exception(caught.value))


def test_a_record_says_nothing_in_words() -> None:
    assert repr(record()) == str(record()) == f"{record()}" == "<ScoreRecord withheld>"


def test_a_records_time_is_utc() -> None:
    china = timezone(timedelta(hours=8))
    assert ScoreRecord(RawScore(1), NOW.astimezone(china)).as_of.utcoffset() == timedelta(0)
    with pytest.raises(TiergateError) as caught:
        ScoreRecord(RawScore(1), NOW.replace(tzinfo=None))
    assert caught.value.reason is Reason.SOURCE_INVALID
