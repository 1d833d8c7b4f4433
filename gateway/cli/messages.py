"""Wire messages as the JSON documents and lines that commands print. Times are UTC, in ISO 8601 with their zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.api.operator.v1 import operator_pb2 as pb
from gateway.domain.scenario import (
    DepositWaiver,
    ExtraQuota,
    FreePeriod,
    Included,
    PapersLater,
    PayLater,
    PercentageOff,
    Priority,
    Term,
    Terms,
)

ILLUSTRATIVE = "illustrative: rests on figures that no city has published"


def time_of(stamp: Timestamp) -> str:
    """A timestamp as text, milliseconds; empty when it is not set."""
    if not stamp.seconds and not stamp.nanos:
        return ""
    return time_of_ms(stamp.seconds * 1000 + stamp.nanos // 1_000_000)


def time_of_ms(milliseconds: int) -> str:
    """Unix milliseconds as text; a peer's may lie beyond the years that have a text."""
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError):
        return f"{milliseconds} ms after 1970"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_of_s(seconds: int) -> str:
    """Unix seconds as text."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def term_document(term: Term) -> dict[str, Any]:
    """One term: its kind, in the words of the policy files, and its values."""
    match term:
        case DepositWaiver():
            return {"kind": "deposit_waiver"}
        case PercentageOff(percent):
            return {"kind": "percentage_off", "percent": percent}
        case PayLater(days):
            return {"kind": "pay_later", "days": days}
        case ExtraQuota(unit, count):
            return {"kind": "extra_quota", "unit": unit, "count": count}
        case Priority():
            return {"kind": "priority"}
        case FreePeriod(minutes):
            return {"kind": "free_period", "minutes": minutes}
        case PapersLater():
            return {"kind": "papers_later"}
        case Included(service):
            return {"kind": "included", "service": service}


def terms_document(terms: Terms) -> dict[str, Any]:
    """Terms of a policy."""
    return {
        "items": [term_document(item) for item in terms.items],
        "text_zh": terms.text_zh,
        "text_en": terms.text_en,
    }


def received_terms(terms: pb.Terms) -> dict[str, Any]:
    """Terms of an answer, in the same form."""
    items = []
    for item in terms.items:
        kind = item.WhichOneof("kind")
        if kind is not None:
            value = getattr(item, kind)
            items.append({"kind": kind} | {field.name: getattr(value, field.name) for field in value.DESCRIPTOR.fields})
    return {"items": items, "text_zh": terms.text_zh, "text_en": terms.text_en}


def decision_document(decision: pb.Decision) -> dict[str, Any]:
    """A decision; the receipt is left to the caller."""
    known = decision.outcome in pb.Outcome.values()  # a newer gateway's, or a broken one's, may not be
    return {
        "decision_id": decision.decision_id,
        "outcome": pb.Outcome.Name(decision.outcome).removeprefix("OUTCOME_").lower() if known else "unknown",
        "terms": received_terms(decision.terms),
        "bundle_digest": decision.bundle_digest,
        "decided_at": time_of(decision.decided_at),
        "valid_until": time_of(decision.valid_until),
        "log_index": decision.log_index,
        "illustrative": decision.illustrative,
    }


def terms_lines(terms: Mapping[str, Any], *, illustrative: bool) -> dict[str, object]:
    """Terms for people, in both languages, marked where figures are not published."""
    lines: dict[str, object] = {"terms (zh)": terms["text_zh"], "terms (en)": terms["text_en"]}
    if illustrative:
        lines["note"] = f"示意数据 / {ILLUSTRATIVE}"
    return lines
