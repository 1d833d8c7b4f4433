"""A resident's uses for programs and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cli.output import table

if TYPE_CHECKING:
    from gateway.api.consent.v1.resident_pb2 import UnreportedAnswer, UseRecord


def use_row(item: dict[str, Any], columns: tuple[str, ...]) -> list[Any]:
    """A use in a table's columns, its terms with their mark."""
    mark = " ~" if item["illustrative"] else ""
    return [f"{item[name]}{mark}" if name == "terms_zh" else item[name] for name in columns]


def unreported_lines(found: list[dict[str, Any]]) -> list[Any]:
    """What was answered and not reported, for people; nothing if there is none."""
    if not found:
        return []
    title = "Answered by the city, and no decision reported: lost on the way, or not reported"
    columns = ("answered_at", "operator", "scenario", "consent_id")
    return [table(title, columns, ([item[name] for name in columns] for item in found))]


def unreported_document(item: UnreportedAnswer) -> dict[str, Any]:
    """An answer without a report as JSON."""
    from gateway.cli.messages import time_of

    return {
        "answered_at": time_of(item.answered_at),
        "operator": item.operator,
        "scenario": item.scenario,
        "consent_id": item.consent_id,
    }


def use_document(item: UseRecord) -> dict[str, Any]:
    """A use as JSON."""
    from gateway.cli.messages import time_of

    return {
        "log_index": item.log_index,
        "decided_at": time_of(item.decided_at),
        "operator": item.operator,
        "scenario": item.scenario,
        "purpose": item.purpose,
        "outcome": "entitled" if item.entitled else "ordinary",
        "terms_zh": item.terms_zh,
        "terms_en": item.terms_en,
        "illustrative": item.illustrative,
        "consent_id": item.consent_id,
        "entry": item.entry.decode("ascii"),
        "proof": item.proof,
    }
