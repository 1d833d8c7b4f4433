"""gateway/OPERATORS.md, followed to the letter; what has to be there afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.joining.steps import Follower, steps_of

SECTION = "Join in an afternoon"


def follow(folder: Path, checkout: Path, way: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """The answers of the first checks, by the name of their file."""
    steps = steps_of(checkout / "gateway" / "OPERATORS.md", SECTION)
    assert {name for step in steps for name in step.ways} == {"node"}
    with Follower(folder, checkout, (), environment) as follower:
        follower.follow(steps, way)
        answers = {file.stem: json.loads(file.read_text("utf-8")) for file in folder.glob("by-*.json")}
        follower.require_taken_while_running(answers["by-command"])
    return answers


def require_entitled(answer: Any, outcome: str) -> None:
    """AssertionError unless it is the library's best offer, with its mark."""
    assert answer["outcome"] == outcome
    assert "20 books" in answer["terms"]["text_en"]
    assert answer["illustrative"] is True
