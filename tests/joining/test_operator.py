"""An operator's steps: request, policy file, directory, and the first check by command line and in Python."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.domain.ids import OperatorId
from gateway.policy.installed import installed_directory
from tests.joining.operator import follow, require_entitled


def test_the_steps_lead_to_a_first_check_by_command_and_in_python(tmp_path: Path, checkout: Path) -> None:
    answers = follow(tmp_path, checkout, "python", {})
    assert set(answers) == {"by-command", "by-python"}
    require_entitled(answers["by-command"], "entitled")
    require_entitled(answers["by-python"], "OUTCOME_ENTITLED")
    assert answers["by-command"]["log_index"] < int(answers["by-python"]["log_index"])
    listed = installed_directory(tmp_path / "fuzhou-desk/root.json", tmp_path / "fuzhou-desk/directory.json")
    (key,) = listed.operators[OperatorId("fuzhou-desk")].keys
    assert key.purpose == "proof"
    open_to_it = json.loads((tmp_path / "scenarios.json").read_text("utf-8"))["scenarios"]
    assert [item["id"] for item in open_to_it] == ["fuzhou-library"]
