"""The table of threats is held against the tests that it names: each row names at least one, and each one exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

FILE = Path("gateway/THREATS.md")
NAMED = re.compile(r"`(tests/[\w./]+\.py)::(test_\w+)`")
PARTIES = (
    "Malicious operator",
    "Malicious gateway",
    "Malicious city",
    "Colluding operators",
    "Thief of a token",
    "Thief of a key",
    "Network attacker",
    "Insider with the gateway's database",
    "Insider with a city's database",
    "Auditor",
    "Compromised authority",
)
MATRIX = "Who can learn and link what"
LEARNERS = (
    "Home city",
    "score platform",
    "Host operator",
    "Gateway (running)",
    "Auditor",
    "Two colluding operators",
    "Operator and gateway together",
    "Thief of the gateway's database",
    "Thief of a city's database",
)
THREAT_COLUMNS = ["#", "Threat", "Control", "Default", "Test", "Left"]
MATRIX_COLUMNS = ["#", "Party", "Learns", "Can link", "Does not learn", "Test"]

Row = dict[str, str]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def tables(text: str) -> dict[str, list[Row]]:
    """Rows by heading, each by the names of its columns."""
    found: dict[str, list[Row]] = {}
    heading, columns = "", list[str]()
    for line in text.splitlines():
        if line.startswith("## "):
            heading, columns = line[3:], []
        elif line.startswith("|") and not columns:
            columns = cells(line)
        elif line.startswith("|") and not re.fullmatch(r"\|(-+\|)+", line.replace(" ", "")):
            row = cells(line)
            assert len(row) == len(columns), f"a row of another length under {heading}: {line[:60]}"
            found.setdefault(heading, []).append(dict(zip(columns, row, strict=True)))
    return found


@pytest.fixture(scope="module")
def threats(checkout: Path) -> dict[str, list[Row]]:
    return tables((checkout / FILE).read_text(encoding="utf-8"))


@cache
def functions_of(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def unknown(checkout: Path, row: Row) -> list[str]:
    """What a row names that is no test."""
    named = NAMED.findall(row["Test"])
    return [
        f"{file}::{name}"
        for file, name in named
        if not (checkout / file).is_file() or name not in functions_of(checkout / file)
    ]


def test_every_party_has_its_rows(threats: dict[str, list[Row]]) -> None:
    assert [party for party in PARTIES if not threats.get(party)] == []
    for heading, rows in threats.items():
        assert list(rows[0]) == (MATRIX_COLUMNS if heading == MATRIX else THREAT_COLUMNS), heading


def test_every_row_says_everything(threats: dict[str, list[Row]]) -> None:
    rows = [row for found in threats.values() for row in found]
    assert [row["#"] for row in rows if not all(row.values())] == []
    numbers = [row["#"] for row in rows]
    assert len(set(numbers)) == len(numbers)


def test_every_row_names_a_test(threats: dict[str, list[Row]]) -> None:
    for row in (row for found in threats.values() for row in found):
        rest = NAMED.sub("", row["Test"]).strip()
        assert NAMED.search(row["Test"]), f"{row['#']} names no test"
        assert not rest, f"{row['#']} has something beside tests in its column: {rest}"


def test_every_named_test_exists(threats: dict[str, list[Row]], checkout: Path) -> None:
    missing = {row["#"]: found for rows in threats.values() for row in rows if (found := unknown(checkout, row))}
    assert not missing


def test_a_test_that_is_not_there_is_noticed(checkout: Path) -> None:
    here = "tests/architecture/test_threats.py"
    assert unknown(checkout, {"Test": f"`{here}::test_every_named_test_exists`"}) == []
    assert unknown(checkout, {"Test": f"`{here}::test_of_nothing` `tests/none.py::test_of_nothing`"}) == [
        f"{here}::test_of_nothing",
        "tests/none.py::test_of_nothing",
    ]


def test_the_matrix_has_every_party(threats: dict[str, list[Row]]) -> None:
    parties = [row["Party"] for row in threats[MATRIX]]
    assert [name for name in LEARNERS if not any(name in party for party in parties)] == []


def test_it_is_said_plainly_that_the_home_city_learns_who_asked(threats: dict[str, list[Row]]) -> None:
    (home,) = [row for row in threats[MATRIX] if row["Party"].startswith("Home city (adapter)")]
    assert "which operator asked" in home["Learns"]
