"""How the suite is dealt out to two processes: what it names exists, the longest begin, the rest keeps its order."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.architecture.tools import files
from tests.conftest import pytest_xdist_auto_num_workers
from tests.distribution import LONGEST, PROCESSES, longest_first, unit_of


def test_every_pattern_names_test_files_and_no_file_is_in_two_units(checkout: Path) -> None:
    paths = [path for path in files(checkout) if path.parts[0] == "tests" and path.name.startswith("test_")]
    named: list[Path] = []
    for pattern in (pattern for patterns in LONGEST.values() for pattern in patterns):
        matching = [path for path in paths if path.match(pattern)]
        assert matching, pattern
        named += matching
    assert len(set(named)) == len(named)


def test_a_file_is_a_unit_unless_it_shares_what_it_makes_with_others() -> None:
    assert unit_of("tests/e2e/test_demo.py::test_it[a::b]") == unit_of("tests/joining/test_city.py::test_it")
    assert unit_of("tests/unit/domain/test_ids.py::Test::test_it[x]") == "tests/unit/domain/test_ids.py"


def test_the_longest_begin_and_the_others_keep_their_order() -> None:
    first, second, *others = (
        "tests/e2e/test_demo.py::y",
        "tests/contract/test_sources.py::x",
        "tests/b.py::b",
        "tests/a.py::a",
    )
    items: list[Any] = [SimpleNamespace(nodeid=name) for name in (others[0], second, others[1], first)]
    longest_first(items)
    assert [item.nodeid for item in items] == [first, second, *others]


@pytest.mark.parametrize(("source", "processes"), [("TESTPATHS", PROCESSES), ("ARGS", 0)])
def test_the_whole_runs_in_several_processes_and_what_is_named_in_one(source: str, processes: int) -> None:
    config: Any = SimpleNamespace(args_source=pytest.Config.ArgsSource[source])
    assert pytest_xdist_auto_num_workers(config) == processes
