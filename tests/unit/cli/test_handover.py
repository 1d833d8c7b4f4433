from __future__ import annotations

from gateway.api.consent.v1.consent_pb2 import PreviewConsentResponse
from gateway.cli.handover import preview_document, preview_lines


def test_a_preview_is_the_notice_and_nothing_beside_it() -> None:
    preview = PreviewConsentResponse(
        notice_zh="告知书", notice_en="The notice", at_best_zh="免押金", at_best_en="No deposit", illustrative=True
    )
    assert preview_lines(preview_document(preview)) == ["告知书", "", "The notice"]
