"""A small valid set of policy files of two invented cities, and ways to spoil it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from gateway.errors import Problem, ProblemsError
from gateway.policy.load import load_policies

SOURCE = """
[source]
url = "https://example.invalid/table"
published = "2026-01"
confidence = "high"
"""

DAY = date(2026, 6, 1)
"""A day on which all of it is in force."""

# all that must be told
NOTICE_TEXT = (
    "{operator_name} {operator_contact} {scenario_name} {purpose} {city_name} {lifetime} {uses} {present} {without} "
    "{at_best}"
)


def scale() -> str:
    names = ("ordinary", "good", "excellent", "outstanding")
    return "version = 1\n" + "".join(
        f'[[tiers]]\nid = "{name}"\nname_zh = "{name}"\nname_en = "{name}"\n' for name in names
    )


def city(name: str, *, illustrative: bool = False) -> str:
    return (
        f'id = "{name}"\nversion = 1\nscore_name_zh = "分"\nscore_name_en = "Score"\nscore_min = 0\nscore_max = 100\n'
        'design = "band"\nmax_age_days = 30\neffective_from = 2026-01-01\n'
        f"illustrative = {str(illustrative).lower()}\n{SOURCE}"
        '[[cuts]]\ntier = "good"\nminimum = 60\nlabel_zh = "一"\n'
        '[[cuts]]\ntier = "excellent"\nminimum = 80\nlabel_zh = "二"\n'
    )


def scenario(name: str, host: str, operator: str) -> str:
    return (
        f'id = "{name}"\nversion = 1\nhost_city = "{host}"\nsector = "library"\npurpose = "loan"\npurpose_zh = "借阅"\n'
        f'purpose_en = "a loan"\nname_zh = "借阅"\nname_en = "Loans"\noperators = ["{operator}"]\n'
        'time_grain = "minute"\neffective_from = 2026-01-01\nillustrative = false\nlocal_threshold = 60\n'
        '[base]\ntext_zh = "九折"\ntext_en = "10 % off"\nitems = [{ kind = "percentage_off", percent = 10 }]\n'
        '[[rungs]]\ntier = "good"\ntext_zh = "八折"\ntext_en = "20 % off"\n'
        'items = [{ kind = "percentage_off", percent = 20 }]\n'
        '[[rungs]]\ntier = "excellent"\ntext_zh = "八折，免押金"\ntext_en = "20 % off, no deposit"\n'
        'items = [{ kind = "percentage_off", percent = 20 }, { kind = "deposit_waiver" }]\n'
        f"[consent]\nmax_lifetime_days = 30\nmax_uses = 5\nunlimited = true\n{SOURCE}"
    )


def operator(name: str, host: str) -> str:
    return (
        f'id = "{name}"\nhost_city = "{host}"\nname_zh = "馆"\nname_en = "Library"\n'
        'contact = "desk@example.invalid"\nillustrative = true\n'
    )


def acceptance(name: str) -> str:
    rule = 'scenarios = ["*"]\neffective_from = 2026-01-01\n'
    return (
        f'id = "{name}"\nversion = 1\nillustrative = true\n'
        f'[[honours]]\nhomes = ["alpha", "beta"]\n{rule}[[vouches]]\nhosts = ["alpha"]\n{rule}'
    )


def city_cases() -> str:
    wanted = ((-1, "out-of-range"), (0, "ordinary"), (59, "ordinary"), (60, "good"), (79, "good"), (80, "excellent"))
    return "".join(
        f'[[cases]]\nname = "at {score}"\nscore = {score}\nexpect = "{tier}"\n'
        for score, tier in (*wanted, (100, "excellent"), (101, "out-of-range"))
    )


def scenario_cases() -> str:
    return (
        '[[cases]]\nname = "everybody"\ntier = "ordinary"\noutcome = "ordinary"\n'
        'terms = [{ kind = "percentage_off", percent = 10 }]\n'
        '[[cases]]\nname = "vouched for"\ntier = "outstanding"\noutcome = "entitled"\n'
        'terms = [{ kind = "deposit_waiver" }, { kind = "percentage_off", percent = 20 }]\n'
    )


def valid() -> dict[str, str]:
    """Path → text of a set without any problem."""
    return {
        "tier-scale.toml": scale(),
        "notice.toml": f'id = "n"\nversion = 1\ntext_zh = "{NOTICE_TEXT}"\ntext_en = "{NOTICE_TEXT}"\n',
        "cities/alpha.toml": city("alpha"),
        "cities/alpha.cases.toml": city_cases(),
        "cities/beta.toml": city("beta", illustrative=True),
        "cities/beta.cases.toml": city_cases(),
        "scenarios/loans.toml": scenario("loans", "alpha", "desk"),
        "scenarios/loans.cases.toml": scenario_cases(),
        "operators/desk.toml": operator("desk", "alpha"),
        "acceptance/alpha.toml": acceptance("alpha"),
        "acceptance/beta.toml": acceptance("beta"),
    }


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def spoil(files: dict[str, str], name: str, old: str, new: str) -> dict[str, str]:
    """Replace the first ``old`` in one file; a test that replaces nothing would prove nothing."""
    assert old in files[name]
    return {**files, name: files[name].replace(old, new, 1)}


def problems_of(root: Path) -> list[Problem]:
    """The problems that loading reports, each of which says what to do about it."""
    with pytest.raises(ProblemsError) as caught:
        load_policies(root)
    assert [str(problem) for problem in caught.value.problems if not problem.remedy] == []
    return caught.value.problems


def places(problems: list[Problem]) -> list[tuple[str, str]]:
    return [(problem.file, problem.path) for problem in problems]
