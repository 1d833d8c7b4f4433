"""Files of what a city has decided about the others: each mistake is told with file and path."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.domain.acceptance import standing_of
from gateway.domain.ids import CityId, ScenarioId
from gateway.policy.load import load_policies
from tests.unit.policy import files

ALPHA, BETA, LOANS = CityId("alpha"), CityId("beta"), ScenarioId("loans")
FILE = "acceptance/alpha.toml"


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('id = "alpha"', 'id = "gamma"', "id"),
        ('homes = ["alpha", "beta"]', 'homes = ["alpha", "gamma"]', "honours.0.homes.1"),
        ('hosts = ["alpha"]', 'hosts = ["gamma"]', "vouches.0.hosts.0"),
        ('scenarios = ["*"]', 'scenarios = ["submarines"]', "honours.0.scenarios.0"),
        ('scenarios = ["*"]', "scenarios = []", "honours.0.scenarios"),
        ("version = 1", "version = 0", "version"),
        ("illustrative = true", "illustrative = true\nsurplus = 1", "surplus"),
        ("effective_from = 2026-01-01", "effective_from = 2026-01-01\neffective_until = 2025-01-01", "honours.0"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, path: str) -> None:
    problems = files.problems_of(files.write(tmp_path, files.spoil(files.valid(), FILE, old, new)))
    assert all(problem.message and problem.file == FILE for problem in problems)
    assert any(problem.path.startswith(path) for problem in problems), files.places(problems)


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('homes = ["alpha", "beta"]', 'homes = ["alpha", "Beta!"]', "honours.0.homes.1"),
        ('homes = ["alpha", "beta"]', 'homes = ["alpha", 7]', "honours.0.homes.1"),
        ('hosts = ["alpha"]', 'hosts = [{ city = "alpha" }]', "vouches.0.hosts.0"),
        ('scenarios = ["*"]', 'scenarios = ["**"]', "honours.0.scenarios.0"),
    ],
)
def test_what_may_be_an_id_or_a_star_is_one_problem_at_its_key(tmp_path: Path, old: str, new: str, path: str) -> None:
    (problem,) = files.problems_of(files.write(tmp_path, files.spoil(files.valid(), FILE, old, new)))
    assert (problem.file, problem.path) == (FILE, path)
    assert "must be '*'" in problem.message
    assert "function" not in str(problem)


@pytest.mark.parametrize("missing", ["alpha", "beta"])
def test_a_city_that_has_stated_nothing_has_refused(tmp_path: Path, missing: str) -> None:
    texts = files.valid()
    del texts[f"acceptance/{missing}.toml"]
    policies = load_policies(files.write(tmp_path, texts)).policies
    standing = standing_of(policies.acceptance, BETA, policies.scenarios[LOANS], files.DAY)
    assert standing == ("not-honoured" if missing == "alpha" else "not-vouched")


def test_both_files_open_the_pair(tmp_path: Path) -> None:
    policies = load_policies(files.write(tmp_path, files.valid())).policies
    assert standing_of(policies.acceptance, BETA, policies.scenarios[LOANS], files.DAY) == "open"
