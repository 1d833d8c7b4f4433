from __future__ import annotations

from pathlib import Path

import pytest

from gateway.domain.ids import OperatorId, ScenarioId
from gateway.policy.load import load_policies
from gateway.policy.rows import CityName, rows_of
from tests.unit.policy import files

NAMES = {"alpha": CityName("甲", "Alpha"), "beta": CityName("乙", "Beta")}
FILE = {
    "id": "loans",
    "name_zh": "{city}借阅",
    "name_en": "Loans in {city}",
    "operators": ["{host}-desk"],
    "version": 1,
    "hosts": [{"city": "alpha"}, {"city": "beta", "version": 2, "operators": ["kiosk"], "name_en": "{city}: kiosk"}],
}


def test_a_file_without_rows_is_one_policy() -> None:
    (row,) = rows_of("scenarios", {"id": "loans"}, NAMES)
    assert (row.document, row.prefix, row.own) == ({"id": "loans"}, "", {})


def test_each_row_is_a_policy_of_its_host() -> None:
    first, second = rows_of("scenarios", FILE, NAMES)
    assert first.document == {
        "id": "alpha-loans",
        "host_city": "alpha",
        "name_zh": "甲借阅",
        "name_en": "Loans in Alpha",
        "operators": ["alpha-desk"],
        "version": 1,
    }
    assert second.document["id"] == "beta-loans"
    assert (second.document["version"], second.document["operators"]) == (2, ["kiosk"])
    assert (second.document["name_zh"], second.document["name_en"]) == ("乙借阅", "Beta: kiosk")


def test_what_a_row_states_is_told_with_the_row_s_path() -> None:
    _, second = rows_of("scenarios", FILE, NAMES)
    assert second.prefix == "hosts.1"
    assert second.own == {"host_city": "city", "version": "version", "operators": "operators", "name_en": "name_en"}


def test_a_city_without_a_name_stands_with_its_id() -> None:
    first, _ = rows_of("scenarios", FILE, {})
    assert first.document["name_en"] == "Loans in alpha"


def test_operators_of_one_file_share_what_stands_once() -> None:
    rows = list(rows_of("operators", {"host_city": "alpha", "operators": [{"id": "a"}, {"id": "b"}]}, NAMES))
    assert [row.document for row in rows] == [{"host_city": "alpha", "id": "a"}, {"host_city": "alpha", "id": "b"}]
    assert [row.prefix for row in rows] == ["operators.0", "operators.1"]


def test_operators_of_a_scenario_are_names_and_no_rows() -> None:
    (row,) = rows_of("scenarios", {"id": "loans", "operators": ["a"]}, NAMES)
    assert row.prefix == ""


@pytest.mark.parametrize("rows", [[], {}, "alpha", 3])
def test_what_is_no_table_of_rows_is_left_for_the_schema_to_refuse(rows: object) -> None:
    (row,) = rows_of("scenarios", {"id": "loans", "hosts": rows}, NAMES)
    assert row.document["hosts"] == rows


@pytest.mark.parametrize("row", ["alpha", 3, None])
def test_a_row_that_is_none_is_left_for_the_schema_to_refuse(row: object) -> None:
    (found,) = rows_of("scenarios", {"id": "loans", "hosts": [row]}, NAMES)
    assert found.document["hosts"] == [row]


def rowed() -> dict[str, str]:
    """The sample policies with their scenario and operator as rows, at both cities."""
    made = files.valid()
    text = made["scenarios/loans.toml"].replace('host_city = "alpha"\n', "").replace('["desk"]', '["{host}-desk"]')
    made["scenarios/loans.toml"] = text + '[[hosts]]\ncity = "alpha"\n[[hosts]]\ncity = "beta"\nlocal_threshold = 70\n'
    del made["operators/desk.toml"]
    for city in ("alpha", "beta"):
        made[f"operators/{city}-desk.toml"] = files.operator(f"{city}-desk", city)
    return made


def test_rows_are_loaded_as_scenarios_of_their_own(tmp_path: Path) -> None:
    policies = load_policies(files.write(tmp_path, rowed())).policies
    assert set(policies.scenarios) == {"alpha-loans", "beta-loans"}
    found = policies.scenarios[ScenarioId("beta-loans")]
    assert (found.host_city, found.local_threshold, found.operators) == ("beta", 70, (OperatorId("beta-desk"),))


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("local_threshold = 70", "local_threshold = -7.5", "hosts.1.local_threshold"),
        ('city = "beta"', 'city = "gamma"', "hosts.1.city"),
        ('city = "beta"', 'city = "beta"\nsurplus = 1', "hosts.1.surplus"),
        ("version = 1", "version = 0", "version"),
    ],
)
def test_a_problem_is_told_where_it_stands_in_the_file(tmp_path: Path, old: str, new: str, path: str) -> None:
    spoilt = files.spoil(rowed(), "scenarios/loans.toml", old, new)
    assert ("scenarios/loans.toml", path) in files.places(files.problems_of(files.write(tmp_path, spoilt)))


@pytest.mark.parametrize("key", ["id", "host_city"])
def test_a_host_s_row_cannot_state_what_follows_from_its_city(tmp_path: Path, key: str) -> None:
    loans = files.valid()["scenarios/loans.toml"].replace('host_city = "alpha"\n', "")
    rows = {**files.valid(), "scenarios/loans.toml": f'{loans}[[hosts]]\ncity = "alpha"\n{key} = "beta"\n'}
    (problem,) = files.problems_of(files.write(tmp_path, rows))
    assert (problem.path, problem.message) == (f"hosts.0.{key}", "unknown key")
