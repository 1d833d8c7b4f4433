from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.sandbox.residents import CUTS, STALE_DAYS, read_dataset, residents_of, stored
from adapters.sources.csv_export import write_export

POLICIES = Path(__file__).parents[4] / "policies" / "cities"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize("city", CUTS)
def test_the_cuts_are_those_of_the_citys_concordance(city: str) -> None:
    table = tomllib.loads((POLICIES / f"{city}.toml").read_text("utf-8"))
    assert tuple(cut["minimum"] for cut in table["cuts"]) == CUTS[city]
    assert table["max_age_days"] < STALE_DAYS


@pytest.mark.parametrize("city", CUTS)
def test_a_dozen_cover_every_case_and_say_that_they_are_invented(city: str) -> None:
    people = residents_of(city)
    points = {person.points for person in people}
    assert len(people) == len({person.ref for person in people}) == 12
    assert {cut - below for cut in CUTS[city] for below in (0, 1)} <= points
    assert {0, 1000, None} <= points
    assert [person.about for person in people if person.corrupt] == ["corrupt record"]
    assert [person.about for person in people if person.age_days == STALE_DAYS] == ["stale score"]
    assert all(person.ref.startswith("synthetic-") and person.name.startswith("SYNTHETIC ") for person in people)


def test_canary_cities_have_scores_of_their_own_range() -> None:
    people = residents_of("fuzhou", scale=10**11, offset=7)
    assert people[0].points == 1000 * 10**11 + 7
    assert people[9].points is None


def test_what_a_platform_stores() -> None:
    rows = {row[0]: row for row in stored(residents_of("xiamen"), NOW)}
    assert rows["synthetic-xm-0012"][2] == "corrupt"
    assert rows["synthetic-xm-0010"][2] is None
    assert NOW - rows["synthetic-xm-0001"][3] == timedelta(days=1)
    assert NOW - rows["synthetic-xm-0011"][3] == timedelta(days=STALE_DAYS)


def test_a_dataset_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "people.json"
    file.write_text(json.dumps({"canary-1": 10**14, "canary-2": None}))
    assert [(person.ref, person.points) for person in read_dataset(file)] == [("canary-1", 10**14), ("canary-2", None)]


@pytest.mark.parametrize("content", ["[]", '{"a": "1"}', '{"a": 1.5}', '{"a": true}', "{"])
def test_a_dataset_of_another_shape_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "people.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"."):
        read_dataset(file)


def test_a_standard_export_is_a_dataset(tmp_path: Path) -> None:
    day = (datetime.now(UTC) - timedelta(days=7)).date()
    file = tmp_path / "people.csv"
    write_export(file, ("resident", "score", "as_of"), [("a", 600, day), ("b", "", day)])
    assert [(person.ref, person.points, person.age_days) for person in read_dataset(file)] == [
        ("a", 600, 7),
        ("b", None, 7),
    ]


@pytest.mark.parametrize(
    "content", ["resident,score\na,1\n", "resident,score,as_of\na,x,2026-01-01\n", "resident,score,as_of\na,1,soon\n"]
)
def test_another_table_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "people.csv"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"."):
        read_dataset(file)
