from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import Problem, ProblemsError, Reason
from gateway.policy.cases import CaseResult, run_cases
from gateway.policy.load import load_policies
from tests.unit.policy.files import places, scenario, spoil, valid, write

CITY, SCENARIO = "cities/alpha.cases.toml", "scenarios/loans.cases.toml"
GOOD_AT_60 = '[[cases]]\nname = "at 60"\nscore = 60\nexpect = "good"\n'


def run(root: Path, files: dict[str, str]) -> list[CaseResult]:
    write(root, files)
    return run_cases(root, load_policies(root))


def refused(root: Path, files: dict[str, str]) -> list[Problem]:
    with pytest.raises(ProblemsError) as caught:
        run(root, files)
    assert caught.value.reason is Reason.POLICY_INVALID
    return caught.value.problems


def test_every_case_is_run(tmp_path: Path) -> None:
    results = run(tmp_path, valid())
    assert len(results) == 8 + 8 + 2
    assert all(result.passed for result in results)


def test_a_case_that_expects_another_tier_does_not_pass(tmp_path: Path) -> None:
    files = spoil(valid(), CITY, GOOD_AT_60, GOOD_AT_60.replace('"good"', '"excellent"'))
    failed = [result for result in run(tmp_path, files) if not result.passed]
    assert [(r.file, r.name, r.expected, r.actual) for r in failed] == [(CITY, "at 60", "excellent", "good")]


def test_a_case_that_expects_a_tier_outside_the_range_does_not_pass(tmp_path: Path) -> None:
    files = spoil(valid(), CITY, '"out-of-range"', '"ordinary"')
    failed = [result for result in run(tmp_path, files) if not result.passed]
    assert [(r.name, r.expected, r.actual) for r in failed] == [("at -1", "ordinary", "out-of-range")]


def test_a_case_that_expects_other_terms_does_not_pass(tmp_path: Path) -> None:
    files = spoil(valid(), SCENARIO, "percent = 10", "percent = 11")
    failed = [result for result in run(tmp_path, files) if not result.passed]
    assert [result.name for result in failed] == ["everybody"]
    assert "percent=11" in failed[0].expected
    assert "percent=10" in failed[0].actual


def test_a_case_that_expects_another_outcome_does_not_pass(tmp_path: Path) -> None:
    files = spoil(valid(), SCENARIO, 'tier = "ordinary"\noutcome = "ordinary"', 'tier = "good"\noutcome = "ordinary"')
    failed = [result for result in run(tmp_path, files) if not result.passed]
    assert [result.name for result in failed] == ["everybody"]


@pytest.mark.parametrize("name", [CITY, SCENARIO])
def test_a_policy_file_without_cases(tmp_path: Path, name: str) -> None:
    files = valid()
    del files[name]
    problems = refused(tmp_path, files)
    assert places(problems) == [(name, "")]
    assert "missing" in problems[0].message


@pytest.mark.parametrize("name", [CITY, SCENARIO])
def test_an_empty_case_file(tmp_path: Path, name: str) -> None:
    assert places(refused(tmp_path, {**valid(), name: "# nothing yet\n"})) == [(name, "cases")]


def test_cases_without_a_policy(tmp_path: Path) -> None:
    name = "cities/gamma.cases.toml"
    assert places(refused(tmp_path, {**valid(), name: GOOD_AT_60})) == [(name, "")]


def test_an_unknown_key_in_a_case(tmp_path: Path) -> None:
    problems = refused(tmp_path, spoil(valid(), CITY, "score = 60", "score = 60\nresident = 1"))
    assert places(problems) == [(CITY, "cases.3.resident")]


@pytest.mark.parametrize(("name", "key"), [(CITY, "expect"), (SCENARIO, "tier")])
def test_an_unknown_tier_in_a_case(tmp_path: Path, name: str, key: str) -> None:
    problems = refused(tmp_path, spoil(valid(), name, f'{key} = "ordinary"', f'{key} = "superb"'))
    assert places(problems)[0][1].endswith(f".{key}")


@pytest.mark.parametrize("score", [-1, 0, 59, 60, 79, 80, 100, 101])
def test_an_untried_edge_is_named(tmp_path: Path, score: int) -> None:
    files = spoil(valid(), CITY, f"score = {score}\n", "score = 30\n")
    problems = refused(tmp_path, files)
    assert [(p.file, p.path, p.message) for p in problems] == [(CITY, "cases", f"no case with score {score}")]


@pytest.mark.parametrize(("tier", "outcome"), [("ordinary", "ordinary"), ("outstanding", "entitled")])
def test_both_outcomes_must_be_tried(tmp_path: Path, tier: str, outcome: str) -> None:
    case = f'[[cases]]\nname = "one"\ntier = "{tier}"\noutcome = "{outcome}"\nterms = []\n'
    problems = refused(tmp_path, {**valid(), SCENARIO: case})
    other = {"ordinary": "entitled", "entitled": "ordinary"}[outcome]
    assert [(p.file, p.path, p.message) for p in problems] == [(SCENARIO, "cases", f"no case with outcome {other}")]


def test_a_new_scenario_is_red_until_it_has_cases(tmp_path: Path) -> None:
    files = {**valid(), "scenarios/more.toml": scenario("more", "alpha", "desk")}
    assert places(refused(tmp_path, files)) == [("scenarios/more.cases.toml", "")]
