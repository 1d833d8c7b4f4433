"""All checks, in the order in which they are made."""

from __future__ import annotations

from typing import Final

from gateway.conformance import checks_report, checks_signed, checks_tier, checks_token, checks_use, checks_wire
from gateway.conformance.check import Check

CHECKS: Final[tuple[Check, ...]] = (
    *checks_wire.CHECKS[:-5],
    *checks_signed.CHECKS,
    *checks_tier.CHECKS,
    *checks_token.CHECKS,
    *checks_use.CHECKS,
    *checks_report.CHECKS,
    *checks_wire.CHECKS[-5:],
)
