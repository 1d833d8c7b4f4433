from __future__ import annotations

import pytest

from gateway.api.consent.v1.consent_pb2 import PreviewConsentResponse
from gateway.cli.handover import preview_document, preview_lines


@pytest.mark.parametrize("illustrative", [True, False])
@pytest.mark.parametrize("best", ["No deposit", ""])
def test_a_preview_is_the_notice_and_an_older_one_gets_its_mark_beside_it(best: str, *, illustrative: bool) -> None:
    preview = PreviewConsentResponse(
        notice_zh="告知书", notice_en="The notice", at_best_zh=best, at_best_en=best, illustrative=illustrative
    )
    notice, beside = preview_lines(preview_document(preview))[:3], preview_lines(preview_document(preview))[3:]
    assert notice == ["告知书", "", "The notice"]
    assert ("illustrative" in " ".join(beside)) == (illustrative and not best)
    assert len(beside) <= 2
