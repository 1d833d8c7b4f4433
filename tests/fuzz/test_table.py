"""The table of harnesses against the code: nothing that reads from outside is left out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import MethodDescriptor
from protovalidate import Validator

from gateway.consentlog.entry import SCHEMAS, decode
from tests.fuzz.harness import name_of
from tests.fuzz.log_world import entries
from tests.fuzz.requests import METHODS, sound
from tests.fuzz.table import EXEMPT, HARNESSES, READS_FROM_OUTSIDE


def _functions(tree: ast.AST, prefix: str) -> Iterator[str]:
    """Qualified names of functions and methods that are not inside another function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}.{node.name}")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}.{node.name}"


def _readers(checkout: Path) -> set[str]:
    pattern = re.compile(rf"{READS_FROM_OUTSIDE}(_|\Z)")
    found: set[str] = set()
    for package in ("adapters", "gateway"):
        for path in (checkout / package).rglob("*.py"):
            module = path.relative_to(checkout).with_suffix("").as_posix().replace("/", ".")
            if not module.startswith("gateway.api."):
                found.update(
                    name
                    for name in _functions(ast.parse(path.read_text("utf-8")), module)
                    if pattern.match(name.rpartition(".")[2])
                )
    return found


def test_every_reader_has_a_harness_or_a_reason(checkout: Path) -> None:
    covered = {name_of(function) for harness in HARNESSES.values() for function in harness.covers}
    readers = _readers(checkout)
    assert len(readers) > 60
    assert readers - covered - set(EXEMPT) == set(), "neither in a harness nor exempt"
    assert set(EXEMPT) - readers == set(), "exempt, and not there"
    assert set(EXEMPT) & covered == set(), "exempt, and covered"
    assert all(len(reason.split()) >= 3 for reason in EXEMPT.values())


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_rpc_has_a_request_that_keeps_the_contract(method: MethodDescriptor) -> None:
    """The harness of requests begins with these."""
    found = Validator().collect_violations(sound(method))
    assert [str(violation.proto) for violation in found] == []


def test_every_type_of_log_entry_is_among_the_seeds() -> None:
    assert {decode(raw).type for raw in entries()} == set(SCHEMAS)
