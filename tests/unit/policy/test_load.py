from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from gateway.domain.ids import CityId, ScenarioId
from gateway.domain.scenario import DepositWaiver, PercentageOff
from gateway.errors import ProblemsError, Reason
from gateway.policy.load import MAX_FILE_BYTES, load_policies
from tests.unit.policy.files import city, operator, places, problems_of, scenario, spoil, valid, write

CITY, SCENARIO, OPERATOR, SCALE, NOTICE = (
    "cities/alpha.toml",
    "scenarios/loans.toml",
    "operators/desk.toml",
    "tier-scale.toml",
    "notice.toml",
)
PERCENT_10, PERCENT_20 = "percent = 10", 'items = [{ kind = "percentage_off", percent = 20 }]'
TWO_OFF = 'kind = "percentage_off", percent = 20 }, { kind = "percentage_off", percent = 30 }]'


def test_a_valid_set_becomes_domain_objects(tmp_path: Path) -> None:
    loaded = load_policies(write(tmp_path, valid()))
    alpha = loaded.policies.concordances[CityId("alpha")]
    loans = loaded.policies.scenarios[ScenarioId("loans")]
    assert [alpha.level_of(points) for points in (0, 59, 60, 79, 80, 100)] == [0, 0, 1, 1, 2, 2]
    assert alpha.cuts[0].source == alpha.source
    assert [loans.terms_of(rung).items for rung in (0, 1, 2)] == [
        (PercentageOff(10),),
        (PercentageOff(20),),
        (PercentageOff(20), DepositWaiver()),
    ]
    assert loans.cap(3) == 2
    assert loans.consent.max_lifetime_s == 30 * 86_400
    assert loaded.warnings == ()


# file, what is replaced, by what, the path of the problem, a part of its message
MALFORMED = [
    # shape
    (CITY, "version = 1", "version = 1\ncolour = 3", "colour", "unknown key"),
    (CITY, "version = 1\n", "", "version", "missing"),
    (CITY, "version = 1", 'version = "1"', "version", "integer"),
    (CITY, "version = 1", "version = true", "version", "integer"),
    (CITY, "version = 1", "version = 1.0", "version", "integer"),
    (CITY, "version = 1", "version = 0", "version", "greater"),
    (CITY, 'design = "band"', 'design = "guess"', "design", "'band'"),
    (CITY, "max_age_days = 30", "max_age_days = 0", "max_age_days", "greater"),
    (CITY, "score_max = 100", "score_max = 9007199254740992", "score_max", "less"),
    (CITY, "effective_from = 2026-01-01", 'effective_from = "2026-01-01"', "effective_from", "date"),
    (CITY, "effective_from = 2026-01-01", "effective_from = 2026-01-01T00:00:00Z", "effective_from", "date"),
    (CITY, 'published = "2026-01"', 'published = "January"', "source.published", "YYYY"),
    (CITY, 'published = "2026-01"', 'published = "2026-02-30"', "source.published", "day"),
    (CITY, 'confidence = "high"', 'confidence = "sure"', "source.confidence", "'high'"),
    (CITY, "https://example.invalid/table", "javascript:alert", "source.url", "pattern"),
    (CITY, 'score_name_zh = "分"', 'score_name_zh = " 分"', "score_name_zh", "no space"),
    (CITY, 'score_name_zh = "分"', 'score_name_zh = "\\u202e分"', "score_name_zh", "printable"),
    (SCENARIO, 'sector = "library"', 'sector = "finance"', "sector", "finance is outside"),
    (SCENARIO, 'sector = "library"', 'sector = "astrology"', "sector", "'library'"),
    (SCENARIO, "percent = 10", "percent = 0", "base.items.0.percent", "greater"),
    (SCENARIO, "percent = 20", "percent = 101", "rungs.0.items.0.percent", "less"),
    (SCENARIO, "percent = 10", 'percent = 10, note = "x"', "base.items.0.note", "unknown key"),
    (SCENARIO, 'kind = "percentage_off"', 'kind = "cash_back"', "base.items.0", "unknown kind"),
    (SCENARIO, 'kind = "percentage_off", ', "", "base.items.0", '"kind" is missing'),
    (SCENARIO, 'operators = ["desk"]', "operators = []", "operators", "at least 1"),
    (SCENARIO, 'purpose = "loan"', 'purpose = "Loan!"', "purpose", "a-z"),
    (SCENARIO, 'time_grain = "minute"', 'time_grain = "second"', "time_grain", "'minute'"),
    (SCENARIO, "max_uses = 5", "max_uses = 0", "consent.max_uses", "greater"),
    (SCENARIO, "unlimited = true", "unlimited = 1", "consent.unlimited", "boolean"),
    (SCENARIO, "max_lifetime_days = 30", "max_lifetime_days = 367", "consent.max_lifetime_days", "less"),
    (OPERATOR, 'contact = "desk@example.invalid"\n', "", "contact", "missing"),
    (NOTICE, " {uses}", "", "text_zh", "lacks {uses}"),
    (NOTICE, " {lifetime}", "", "text_zh", "lacks {lifetime}"),
    (NOTICE, " {present}", "", "text_zh", "lacks {present}"),
    (NOTICE, " {without}", "", "text_zh", "lacks {without}"),
    (NOTICE, " {at_best}", "", "text_zh", "lacks {at_best}"),
    (NOTICE, "{uses}", "{uses} {resident_name}", "text_zh", "unknown {resident_name}"),
    (SCALE, '[[tiers]]\nid = "good"\nname_zh = "good"\nname_en = "good"\n', "", "tiers", "at least 4"),
    # rules over several values or files
    (SCALE, 'id = "ordinary"', 'id = "bad"', "tiers.0.id", '"ordinary"'),
    (SCALE, 'id = "excellent"', 'id = "good"', "tiers.2.id", "twice"),
    (CITY, 'id = "alpha"', 'id = "gamma"', "id", 'named "alpha"'),
    (CITY, 'id = "alpha"', 'id = "gateway"', "id", "notices call the gateway"),
    (CITY, "score_max = 100", "score_max = 0", "score_max", "not above"),
    (CITY, "effective_from", "effective_until = 2025-12-31\neffective_from", "effective_until", "before"),
    (CITY, "minimum = 80", "minimum = 60", "cuts.1.minimum", "overlaps"),
    (CITY, "minimum = 80", "minimum = 50", "cuts.1.minimum", "overlaps"),
    (CITY, "minimum = 80", "minimum = 101", "cuts.1.minimum", "outside"),
    (CITY, "minimum = 60", "minimum = 0", "cuts.0.minimum", "outside"),
    (CITY, 'tier = "excellent"', 'tier = "good"', "cuts.1.tier", "not above"),
    (CITY, 'tier = "excellent"', 'tier = "superb"', "cuts.1.tier", "unknown tier"),
    (CITY, 'tier = "good"', 'tier = "ordinary"', "cuts.0.tier", "positive tier"),
    (SCENARIO, 'host_city = "alpha"', 'host_city = "omega"', "host_city", "unknown city"),
    (SCENARIO, 'operators = ["desk"]', 'operators = ["nobody"]', "operators.0", "unknown operator"),
    (SCENARIO, 'operators = ["desk"]', 'operators = ["desk", "desk"]', "operators.1", "twice"),
    (SCENARIO, "effective_from", "effective_until = 2025-12-31\neffective_from", "effective_until", "before"),
    (SCENARIO, 'sector = "library"', 'sector = "transit"', "time_grain", '"day"'),
    (SCENARIO, 'tier = "good"', 'tier = "superb"', "rungs.0.tier", "unknown tier"),
    (SCENARIO, 'tier = "good"', 'tier = "ordinary"', "rungs.0.tier", "positive tier"),
    (SCENARIO, 'tier = "excellent"', 'tier = "good"', "rungs.1.tier", "not above"),
    (SCENARIO, 'tier = "excellent"', 'tier = "outstanding"', "rungs.1.tier", "no cut"),
    (SCENARIO, PERCENT_10, "percent = 25", "rungs.0.items", "worse than in base"),
    (SCENARIO, PERCENT_20, 'items = [{ kind = "priority" }]', "rungs.0.items", "worse than in base"),
    (
        SCENARIO,
        PERCENT_20,
        'items = [{ kind = "percentage_off", percent = 30 }]',
        "rungs.1.items",
        "worse than in rungs.0",
    ),
    (
        SCENARIO,
        PERCENT_20,
        'items = [{ kind = "percentage_off", percent = 10 }]',
        "rungs.0.items",
        "nothing beyond base",
    ),
    (SCENARIO, 'kind = "percentage_off", percent = 10 }]', TWO_OFF, "base.items.1", "given twice"),
    (SCENARIO, "local_threshold = 60", "local_threshold = 61", "rungs.0.tier", "below the local threshold 61"),
    (SCENARIO, "local_threshold = 60", "local_threshold = 101", "local_threshold", "outside"),
    (OPERATOR, 'host_city = "alpha"', 'host_city = "omega"', "host_city", "unknown city"),
    (OPERATOR, 'host_city = "alpha"', 'host_city = "beta"', "operators.0", "another city"),
]


@pytest.mark.parametrize(("name", "old", "new", "path", "message"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_fault_is_reported_where_it_is(
    tmp_path: Path, name: str, old: str, new: str, path: str, message: str
) -> None:
    problems = problems_of(write(tmp_path, spoil(valid(), name, old, new)))
    # the operator's city is compared where the scenario names the operator
    file = SCENARIO if path == "operators.0" else name
    assert [p for p in problems if (p.file, p.path) == (file, path) and message in p.message], problems


def test_a_missing_base_offer(tmp_path: Path) -> None:
    files = valid()
    files[SCENARIO] = re.sub(r"\[base\]\n(.+\n){3}", "", files[SCENARIO])
    problems = problems_of(write(tmp_path, files))
    assert places(problems) == [(SCENARIO, "base")]
    assert problems[0].message == "required key is missing"


def test_one_id_in_two_files(tmp_path: Path) -> None:
    files = {**valid(), "operators/desk2.toml": operator("desk", "alpha")}
    problems = problems_of(write(tmp_path, files))
    assert places(problems) == [("operators/desk2.toml", "id"), ("operators/desk2.toml", "id")]
    assert "operators/desk.toml" in problems[1].message


def test_every_problem_of_every_file_is_reported_at_once(tmp_path: Path) -> None:
    files = spoil(valid(), CITY, "minimum = 80", "minimum = 60\nmaximum = 90")
    files = spoil(files, SCENARIO, "percent = 10", "percent = 300")
    files = spoil(files, "cities/beta.toml", "minimum = 80", "minimum = 10")
    files = spoil(files, OPERATOR, 'name_en = "Library"', 'name_en = ""')
    problems = problems_of(write(tmp_path, files))
    assert places(problems) == [
        (CITY, "cuts.1.maximum"),
        (SCENARIO, "base.items.0.percent"),
        (OPERATOR, "name_en"),
        ("cities/beta.toml", "cuts.1.minimum"),
    ]


def test_a_file_that_cannot_be_read_is_not_also_an_unknown_reference(tmp_path: Path) -> None:
    files = spoil(valid(), CITY, "version = 1", "version = =")
    assert places(problems_of(write(tmp_path, files))) == [(CITY, "")]


def test_the_local_threshold_is_a_warning_while_the_host_is_illustrative(tmp_path: Path) -> None:
    files = spoil(valid(), SCENARIO, "local_threshold = 60", "local_threshold = 61")
    files = spoil(files, CITY, "illustrative = false", "illustrative = true")
    loaded = load_policies(write(tmp_path, files))
    assert places(list(loaded.warnings)) == [(SCENARIO, "rungs.0.tier")]


def test_the_local_threshold_is_a_warning_while_the_scenario_is_illustrative(tmp_path: Path) -> None:
    files = spoil(valid(), SCENARIO, "local_threshold = 60", "local_threshold = 61")
    files = spoil(files, SCENARIO, "illustrative = false", "illustrative = true")
    loaded = load_policies(write(tmp_path, files))
    assert places(list(loaded.warnings)) == [(SCENARIO, "rungs.0.tier")]


def test_a_scenario_without_a_published_threshold_is_accepted(tmp_path: Path) -> None:
    files = spoil(valid(), SCENARIO, "local_threshold = 60\n", "")
    assert load_policies(write(tmp_path, files)).policies.scenarios[ScenarioId("loans")].local_threshold is None


def test_a_second_scenario_is_one_file(tmp_path: Path) -> None:
    files = {**valid(), "scenarios/more.toml": scenario("more", "alpha", "desk")}
    assert set(load_policies(write(tmp_path, files)).policies.scenarios) == {"loans", "more"}


@pytest.mark.parametrize("name", ["cities/Alpha.toml", "cities/notes.txt", "scenarios/loans.toml.bak", "extra.toml"])
def test_a_file_that_nothing_reads_is_a_problem(tmp_path: Path, name: str) -> None:
    problems = problems_of(write(tmp_path, {**valid(), name: city("alpha")}))
    assert (name, "") in places(problems)


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    load_policies(write(tmp_path, {**valid(), "cities/.alpha.toml.swp": "", ".keep": ""}))


@pytest.mark.parametrize("name", [SCALE, NOTICE])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    files = valid()
    del files[name]
    problems = problems_of(write(tmp_path, files))
    assert places(problems) == [(name, "")]


def test_a_missing_folder(tmp_path: Path) -> None:
    root = write(tmp_path, valid())
    shutil.rmtree(root / "operators")
    assert ("operators", "") in places(problems_of(root))


def test_a_folder_in_place_of_the_policies(tmp_path: Path) -> None:
    assert {problem.file for problem in problems_of(tmp_path / "nowhere")} >= {SCALE, NOTICE, "cities", "scenarios"}


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    root = write(tmp_path, valid())
    (root / CITY).write_bytes("名".encode("gb18030"))
    problems = problems_of(root)
    assert places(problems) == [(CITY, "")]
    assert "UTF-8" in problems[0].message


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    root = write(tmp_path, valid())
    (root / CITY).write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    problems = problems_of(root)
    assert places(problems) == [(CITY, "")]
    assert "larger" in problems[0].message


def test_a_directory_in_place_of_a_file(tmp_path: Path) -> None:
    root = write(tmp_path, valid())
    (root / OPERATOR).unlink()
    (root / OPERATOR).mkdir()
    assert places(problems_of(root)) == [(OPERATOR, "")]


@pytest.mark.parametrize("name", [CITY, OPERATOR, "tier-scale.toml", "notice.toml"])
def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(tmp_path: Path, name: str) -> None:
    root = write(tmp_path, valid())
    (root / name).unlink()
    os.mkfifo(root / name)
    problem = next(problem for problem in problems_of(root) if problem.file == name)
    assert "is not a regular file" in problem.message


def test_the_error_is_typed_and_shows_file_path_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError) as caught:
        load_policies(write(tmp_path, spoil(valid(), CITY, "version = 1", "version = 1\ncolour = 3")))
    assert caught.value.reason is Reason.POLICY_INVALID
    assert f"{CITY}: colour: unknown key (remove the key or correct its spelling)" in str(caught.value)


def test_a_scenario_that_its_host_lets_nobody_use_is_a_warning_with_the_file_to_name_it_in(tmp_path: Path) -> None:
    """A host that has decided about others may have forgotten one; refusing is its right, so that it is no error."""
    files = valid() | {"scenarios/second.toml": scenario("second", "alpha", "desk")}
    named = spoil(files, "acceptance/alpha.toml", 'scenarios = ["*"]', 'scenarios = ["loans"]')
    (warning,) = load_policies(write(tmp_path / "forgotten", named)).warnings
    assert (warning.file, warning.path) == ("scenarios/second.toml", "host_city")
    assert warning.remedy == "name it in acceptance/alpha.toml"
    both = spoil(files, "acceptance/alpha.toml", 'scenarios = ["*"]', 'scenarios = ["loans", "second"]')
    assert load_policies(write(tmp_path / "named", both)).warnings == ()
