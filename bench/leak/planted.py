"""``python -m bench.leak.planted …``: the gateway's command, with a delay planted where a withdrawn consent is decided.

It shows that the measurement would see such a leak. The product has no switch for it: its code is replaced from here,
in this process alone.
"""

from __future__ import annotations

import time
from unittest.mock import patch

from gateway.cli import run
from gateway.domain.decision import Decision
from gateway.errors import TiergateError
from gateway.ports import DecisionDraft
from gateway.storage.group import GroupTransaction
from gateway.storage.rows import short

DELAY_S = 100e-6
SLOW = ("withdrawn", "withdrawn after use", "replaced")
"""The reasons that it slows: those of which the gateway knows a withdrawal."""


def plant() -> None:
    """Make the log's transaction busy for ``DELAY_S`` longer for each decision on a withdrawn consent."""
    decide = GroupTransaction._decide  # noqa: SLF001 - what is to be slowed is nobody else's business

    def slowly(self: GroupTransaction, draft: DecisionDraft) -> Decision | TiergateError:
        consent = self._consents.get(short(draft.consent))
        if consent is not None and consent.withdrawn is not None:
            end = time.perf_counter() + DELAY_S
            while time.perf_counter() < end:
                pass
        return decide(self, draft)

    patch.object(GroupTransaction, "_decide", slowly).start()


if __name__ == "__main__":
    plant()
    run()
