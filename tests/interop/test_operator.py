"""An operator's first check in Node.js, by the sample that ``tiergate operator init`` writes."""

from __future__ import annotations

from pathlib import Path

from tests.joining.operator import follow, require_entitled


def test_the_steps_lead_to_a_first_check_in_node(node: tuple[str, Path], checkout: Path, tmp_path: Path) -> None:
    _, packages = node
    answers = follow(tmp_path, checkout, "node", {"NODE_PATH": str(packages)})
    assert set(answers) == {"by-command", "by-python", "by-node"}
    require_entitled(answers["by-node"], "OUTCOME_ENTITLED")
    assert int(answers["by-node"]["log_index"]) > answers["by-command"]["log_index"]
