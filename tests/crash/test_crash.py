from __future__ import annotations

from pathlib import Path

from tests.crash.run import campaign


def test_what_was_acknowledged_outlives_kills(tmp_path: Path) -> None:
    report = campaign(tmp_path, 6, 1, injected=False, say=lambda _: None)
    assert report.broken == []
    assert sum(report.runs.values()) == 6
    assert report.acknowledged > 0
