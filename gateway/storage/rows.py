"""How keys, commitments and decisions stand in the database's rows."""

from __future__ import annotations

import hmac

from gateway.consentlog.entry import decode
from gateway.domain.decision import Decision
from gateway.domain.ids import BundleDigest, CityId, OperatorId, ScenarioId


def short(key: bytes) -> str:
    """A stored key: the first 128 bits in hex."""
    return key[:16].hex()


def commitment(key: bytes, digest: bytes) -> str:
    """A keyed commitment: HMAC-SHA256 in hex. Once its key is erased nobody can link it to the digest."""
    return hmac.digest(key, digest, "sha256").hex()


def stands_after(stored: Decision, corrected: int) -> bool:
    """Whether a stored decision may be given again after its home city's newest correction, at a place in the log."""
    return stored.rung == 0 or stored.log_index > corrected


def stored_decision(leaf: str, index: int, at_ms: int, until_ms: int) -> Decision:
    """A decision as its log entry tells it, with the exact times of its request's row."""
    entry = decode(leaf.encode("ascii"))
    return Decision(
        id=entry.text("id"),
        operator=OperatorId(entry.text("operator")),
        home_city=CityId(entry.text("city")),
        scenario=ScenarioId(entry.text("scenario")),
        bundle=BundleDigest(entry.text("bundle")),
        rung=entry.number("rung"),
        decided_at_ms=at_ms,
        valid_until_ms=until_ms,
        log_index=index,
    )
