"""Every harness over its seeds, its corpus, and a few changed inputs; what it says it covers it really calls."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from tests.fuzz.corpus import CORPUS, LARGEST_CORPUS, stored
from tests.fuzz.engine import mutants
from tests.fuzz.harness import Harness, name_of
from tests.fuzz.table import HARNESSES

MUTANTS = 200
ROOM = 24 << 20
"""Bytes that one input may take beyond what it needs for its own size (the largest policies are 0.3 MiB)."""
ROOM_PER_BYTE = 400
STEPS = 60_000
"""Calls and generator steps for one input beyond those for its own size: the whole of the policies is read in some."""
STEPS_PER_BYTE = 60

every_harness = pytest.mark.parametrize("harness", HARNESSES.values(), ids=list(HARNESSES))


@contextmanager
def _profiled(handler: Callable[[FrameType, str, Any], None]) -> Iterator[None]:
    before = sys.getprofile()
    sys.setprofile(handler)
    try:
        yield
    finally:
        sys.setprofile(before)


@every_harness
def test_seeds_are_taken_and_what_is_covered_is_called(harness: Harness) -> None:
    seeds = list(harness.seeds())
    called: set[CodeType] = set()
    with _profiled(lambda frame, event, _: called.add(frame.f_code) if event == "call" else None):
        taken = [harness.attempt(seed) for seed in seeds]
    assert taken[0]
    wanted = {name_of(function): getattr(function, "__func__", function).__code__ for function in harness.covers}
    assert {name for name, code in wanted.items() if code not in called} == set()


@every_harness
def test_corpus(harness: Harness) -> None:
    for path in stored(harness):
        harness.attempt(path.read_bytes())


@every_harness
def test_changed_inputs(harness: Harness) -> None:
    # what is stored is the same in every run; certificates, say, are made anew
    seeds = [path.read_bytes() for path in stored(harness)] or list(harness.seeds())
    for data in mutants(seeds, MUTANTS, harness.longest):
        harness.attempt(data)


@every_harness
def test_memory_and_work_follow_the_size_of_the_input(harness: Harness) -> None:
    seeds = list(harness.seeds())
    harness.attempt(seeds[0])  # what is made once
    swollen = [(seed * (harness.longest // max(1, len(seed)) + 1))[: harness.longest] for seed in seeds]
    swollen += [seed[:1] + b"\n".join([seed[1:]] * 4000)[: harness.longest] for seed in seeds]
    for data in (*seeds, *swollen):
        steps = 0

        def count(_frame: FrameType, event: str, _argument: Any) -> None:
            nonlocal steps
            steps += event in {"call", "c_call"}

        tracemalloc.start()
        try:
            with _profiled(count):
                harness.attempt(data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak <= ROOM + ROOM_PER_BYTE * len(data)
        assert steps <= STEPS + STEPS_PER_BYTE * len(data)


def test_the_corpus_is_small_and_belongs_to_harnesses(checkout: Path) -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == {name for name, harness in HARNESSES.items() if harness.stored}
    assert sum(path.stat().st_size for path in files) <= LARGEST_CORPUS
    assert CORPUS.is_relative_to(checkout)
    for harness in HARNESSES.values():
        assert all(path.stat().st_size <= harness.longest for path in stored(harness))
