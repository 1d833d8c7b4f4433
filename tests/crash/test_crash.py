from __future__ import annotations

import shutil
from pathlib import Path

from tests.crash.run import Report, campaign
from tests.crash.whole import VICTIMS, whole_campaign


def test_what_was_acknowledged_outlives_kills_and_a_disk_that_fails(tmp_path: Path) -> None:
    """The third run fills its disk (ENOSPC), or limits its files; the fourth, where there is strace, injects EIO."""
    report = campaign(tmp_path, 6, 1, injected=shutil.which("strace") is not None, say=lambda _: None)
    assert report.broken == []
    assert sum(report.runs.values()) == 6
    assert report.acknowledged > 0
    assert report.hit["disk full"] + report.hit["file size limit"] == 1


def test_no_receipt_and_no_use_is_lost_when_gateway_or_adapter_is_killed(tmp_path: Path) -> None:
    report = Report()
    whole_campaign(tmp_path, len(VICTIMS), 1, report, say=lambda _: None)
    assert report.broken == []
    assert sum(report.runs.values()) == len(VICTIMS)
    assert report.acknowledged > 0
