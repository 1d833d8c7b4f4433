"""The matrix of outcomes that ``./dev demo --all`` prints."""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

from gateway.cli.localnet.everywhere import Everywhere, Tried
from gateway.cli.output import facts, show, table
from gateway.cli.policy_source import MARK

SHOWN = 30


def show_everywhere(found: Everywhere, seconds: float, *, as_json: bool) -> None:
    """Everything that was tried: as a matrix for people, as one document for programs."""
    log = found.verified
    document = {
        "residents": "synthetic",
        "checks": [item.document() for item in found.tried],
        "differences": len(found.differences),
        "log": {"size": log.size, "root": base64.b64encode(log.root).decode(), "verified": True},
        "seconds": round(seconds, 1),
    }
    show(document, lambda: _lines(found, seconds), as_json=as_json)


def _lines(found: Everywhere, seconds: float) -> list[Any]:
    cities = list(found.levels)
    by_pair: dict[tuple[str, str], list[Tried]] = {}
    for item in found.tried:
        cell = item.trial.cell
        by_pair.setdefault((cell.home, cell.scenario.host_city), []).append(item)
    rows = [
        (home, found.levels[home], *(_outcomes(by_pair.get((home, host), [])) for host in cities)) for home in cities
    ]
    lines: list[Any] = [
        table("A synthetic resident of (rows) at (columns)", ("home city", "tier level", *cities), rows),
        "E entitled, O ordinary, - refused as the pair is closed, ! not as the policies say; with how many answers.",
        f"~ {MARK}: an answer there rests on figures that no city has published.",
    ]
    if found.differences:
        lines.append(
            table(
                "Not as the policies say",
                ("home city", "scenario", "answered by", "expected", "came out"),
                (_difference(item) for item in found.differences[:SHOWN]),
            )
        )
    outcomes = Counter(item.actual.outcome for item in found.tried)
    log = found.verified
    lines.append(
        facts(
            "All of it",
            {
                "cells of the matrix": _cells(found),
                "answers": ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items())),
                "differences from the policies": len(found.differences),
                "log": f"{log.size} entries verified offline, {log.entries.get('decision', 0)} decisions",
                "time": f"{seconds:.0f} s",
            },
        )
    )
    return lines


def _cells(found: Everywhere) -> str:
    states = {(cell.home, cell.scenario.id): cell.state for cell in (item.trial.cell for item in found.tried)}
    still_open = sum(state == "open" for state in states.values())
    return f"{len(states)}, each of a home city and an offer: {still_open} open, {len(states) - still_open} closed"


def _outcomes(items: list[Tried]) -> str:
    """How many answers of each sign, in the order of the legend."""
    counts = Counter(
        "!" if item.differs else {"ENTITLED": "E", "ORDINARY": "O"}.get(item.actual.outcome, "-") for item in items
    )
    told = " ".join(f"{sign}{counts[sign]}" for sign in "EO-!" if counts[sign])
    return told + ("~" if any(item.actual.illustrative for item in items) else "")


def _difference(item: Tried) -> tuple[str, ...]:
    def words(answer: Any) -> str:
        marked = " (illustrative)" if answer.illustrative else ""
        return f"{answer.outcome} {answer.text_en}{marked}".strip()

    cell = item.trial.cell
    return cell.home, cell.scenario.id, item.at, words(item.trial.expected), words(item.actual)
