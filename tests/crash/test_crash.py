from __future__ import annotations

from pathlib import Path

from tests.crash.run import Report, campaign
from tests.crash.whole import VICTIMS, whole_campaign


def test_what_was_acknowledged_outlives_kills(tmp_path: Path) -> None:
    report = campaign(tmp_path, 6, 1, injected=False, say=lambda _: None)
    assert report.broken == []
    assert sum(report.runs.values()) == 6
    assert report.acknowledged > 0


def test_no_receipt_and_no_use_is_lost_when_gateway_or_adapter_is_killed(tmp_path: Path) -> None:
    report = Report()
    whole_campaign(tmp_path, len(VICTIMS), 1, report, say=lambda _: None)
    assert report.broken == []
    assert sum(report.runs.values()) == len(VICTIMS)
    assert report.acknowledged > 0
