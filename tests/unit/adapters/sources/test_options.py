from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.score import RawScore
from adapters.sources.options import Fields, Secret, to_score
from gateway.domain.ids import CityId
from gateway.domain.tier import Concordance, Cut, Source
from gateway.errors import ProblemsError, Reason, TiergateError

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SOURCE = Source("https://example.test/", "2026", "none")


def is_exactly(score: RawScore | None, points: int) -> bool:
    """Whether a box holds these points, told by concordances that cut there and one above."""

    def level(cut: int) -> int:
        assert score is not None
        cuts = (Cut(1, cut, "", SOURCE),)
        bounds = (-(10**15), 10**15)
        return score.map(
            Concordance(
                CityId("x"), 1, "分", "score", *bounds, "band", cuts, 30, date(2026, 1, 1), None, True, SOURCE, SOURCE
            )
        )

    return level(points) == 1 and level(points + 1) == 0


@pytest.mark.parametrize(
    ("value", "points"),
    [
        (812, 812),
        (0, 0),
        (-5, -5),
        ("812", 812),
        (" 812 ", 812),
        ("812.00", 812),
        ("+812", 812),
        ("-5", -5),
        (812.0, 812),
        (Decimal("812.00"), 812),
        (10**15 - 1, 10**15 - 1),
        ("999999999999999", 10**15 - 1),
    ],
)
def test_whole_numbers_in_any_usual_shape_are_scores(value: object, points: int) -> None:
    assert is_exactly(to_score(value), points)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_nothing_is_no_score(value: object) -> None:
    assert to_score(value) is None


@pytest.mark.parametrize(
    "value",
    [
        True,
        "excellent",
        "812.5",
        812.5,
        Decimal("0.1"),
        Decimal("NaN"),
        Decimal("Infinity"),
        float("nan"),
        float("inf"),
        "１２",  # full-width digits
        "8_12",
        "0x10",
        "1e3",
        "9" * 17,
        10**15 + 1,
        10**400,
        1e300,
        Decimal("1e30"),
        [812],
        {"score": 812},
        b"812",
        datetime(2026, 1, 1, tzinfo=UTC),
    ],
    ids=lambda value: f"{type(value).__name__}-{str(value)[:12]}",
)
def test_anything_else_is_a_bad_record_that_is_not_quoted(value: object) -> None:
    with pytest.raises(TiergateError) as caught:
        to_score(value)
    assert caught.value.reason is Reason.SOURCE_INVALID
    assert "812" not in caught.value.detail


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("iso8601", "2026-11-20T12:00:00Z"),
        ("iso8601", "2026-11-20T12:00:00+00:00"),
        ("iso8601", "2026-11-20T20:00:00"),
        ("iso8601", "2026-11-20 20:00:00"),
        ("epoch_s", 1795176000),
        ("epoch_s", "1795176000"),
        ("epoch_s", Decimal(1795176000)),
        ("epoch_ms", 1795176000000),
        ("%Y-%m-%d %H:%M:%S", "2026-11-20 20:00:00"),
        ("%Y年%m月%d日 %H时", "2026年11月20日 20时"),
        ("%Y-%m-%dT%H:%M:%S%z", "2026-11-20T21:00:00+0900"),
        ("iso8601", NOON),
        ("iso8601", datetime(2026, 11, 20, 20)),  # noqa: DTZ001  # as databases give it
        ("epoch_s", NOON.astimezone(timezone(timedelta(hours=3)))),
    ],
)
def test_times_in_every_declared_format(form: str, value: object) -> None:
    assert Fields(score="s", as_of="t", as_of_format=form).time_of(value) == NOON


def test_a_date_alone_is_its_first_moment_at_the_offset() -> None:
    for value, form in [("2026-11-20", "%Y-%m-%d"), ("2026-11-20", "iso8601"), (date(2026, 11, 20), "iso8601")]:
        found = Fields(score="s", as_of="t", as_of_format=form, utc_offset="-03:30").time_of(value)
        assert found == datetime(2026, 11, 20, 3, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("iso8601", None),
        ("iso8601", ""),
        ("iso8601", "yesterday"),
        ("iso8601", 1795176000),
        ("iso8601", "2026-02-30"),
        ("iso8601", "0001-01-01T00:00:00"),
        ("iso8601", True),
        ("epoch_s", "soon"),
        ("epoch_s", 1795176000000),
        ("epoch_s", float("nan")),
        ("epoch_s", float("inf")),
        ("epoch_ms", [1]),
        ("%Y-%m-%d", "20.11.2026"),
        ("%Y-%m-%d", 20261120),
    ],
)
def test_a_time_that_is_none_is_a_bad_record(form: str, value: object) -> None:
    with pytest.raises(TiergateError) as caught:
        Fields(score="s", as_of="t", as_of_format=form).time_of(value)
    assert caught.value.reason is Reason.SOURCE_INVALID


def test_a_score_without_a_time_is_a_bad_record_and_a_time_without_a_score_is_none() -> None:
    fields = Fields(score="s", as_of="t")
    with pytest.raises(TiergateError):
        fields.record(812, None)
    assert fields.record(None, None) is None


@pytest.mark.parametrize(
    "table",
    [
        {"as_of_format": "DD.MM.YYYY"},
        {"as_of_format": "%H:%M"},
        {"utc_offset": "Asia/Shanghai"},
        {"utc_offset": "+8"},
        {"utc_offset": "+24:00"},
        {"score": ""},
        {"score": 1},
        {"skore": "s"},
    ],
)
def test_fields_are_checked(table: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Fields.model_validate({"score": "s", "as_of": "t", **table})


def test_a_secret_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("s3cret\r\n")
    monkeypatch.setenv("PLATFORM_TOKEN", "s3cret")
    assert Secret.model_validate({"file": "token"}, context={"base": tmp_path}).read() == "s3cret"
    assert Secret.model_validate({"env": "PLATFORM_TOKEN"}).read() == "s3cret"


@pytest.mark.parametrize("table", [{}, {"file": "a", "env": "B"}, {"env": "not a name"}, {"value": "s3cret"}])
def test_a_secret_has_exactly_one_place(table: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Secret.model_validate(table)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff\xfe", b"x" * 9000, b"bell\x07"])
def test_an_unusable_secret_is_a_problem_with_its_place_and_without_its_text(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ProblemsError) as caught:
        Secret.model_validate({"file": str(file)}).read()
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert str(file) in str(caught.value)
    assert "lines" not in str(caught.value)


def test_a_missing_secret_is_a_problem(tmp_path: Path) -> None:
    for table in ({"file": str(tmp_path / "none")}, {"env": "TIERGATE_NO_SUCH_VARIABLE"}):
        with pytest.raises(ProblemsError) as caught:
            Secret.model_validate(table).read()
        assert caught.value.reason is Reason.CONFIG_INVALID
