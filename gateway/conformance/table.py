"""All checks, in the order in which they are made."""

from __future__ import annotations

from typing import Final

from gateway.conformance import (
    checks_batch,
    checks_caller,
    checks_report,
    checks_signed,
    checks_standing,
    checks_tier,
    checks_token,
    checks_use,
    checks_wire,
)
from gateway.conformance.check import Check

CHECKS: Final[tuple[Check, ...]] = (
    *checks_caller.CHECKS,
    *checks_signed.CHECKS,
    *checks_tier.CHECKS,
    *checks_standing.CHECKS,
    *checks_token.CHECKS,
    *checks_use.CHECKS,
    *checks_batch.CHECKS,
    *checks_report.CHECKS,
    *checks_wire.CHECKS,
)
