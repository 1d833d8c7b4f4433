"""``tiergate policy matrix``: whose residents get what where, home city × host city × scenario, and from when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gateway.cli.options import Json
from gateway.cli.output import require_known, show, table
from gateway.cli.policy_source import MARK, RootFile, Source, day_of, read_source
from gateway.domain.ids import CityId
from gateway.domain.matrix import LEVELS, Cell, Rules, homes_of, matrix
from gateway.domain.scenario import Scenario

STATES: Mapping[str, str] = {
    "open": "open",
    "not-honoured": "the host city does not accept this home city's tiers",
    "not-vouched": "the home city does not vouch there",
    "closed": "neither city has opened it",
    "no-concordance": "the home city gives no tier",
    "not-in-force": "the offer is not in force",
}
_SHORT = {
    "not-honoured": "no: host",
    "not-vouched": "no: home",
    "closed": "no: both",
    "no-concordance": "no tier",
    "not-in-force": "no offer",
}
TILDE = "~"


def show_matrix(
    source: Source = Path("policies"),
    *,
    home: Annotated[str | None, Parameter(name="--home", help="Only residents of this city.")] = None,
    host: Annotated[str | None, Parameter(name="--host", help="Only offers of this city.")] = None,
    scenario: Annotated[
        str | None, Parameter(name="--scenario", help="Only this scenario: library (everywhere), or xiamen-library.")
    ] = None,
    on: Annotated[
        str | None, Parameter(name="--on", help="On this day (UTC), such as 2026-12-31. Default: now.")
    ] = None,
    root: RootFile = None,
    json: Json = False,
) -> None:
    """Show who is accepted by whom for what, since when, and which rung each tier reaches there.

    A pair of cities is open for a scenario when the host honours the home city and the home city vouches there;
    whatever nobody has stated is closed. This is what `tiergate demo --all` runs end to end.
    """
    rules, origin = read_source(source, root)
    day = day_of(on)
    cells = _chosen(rules, day, home, host, scenario)
    tiers = {tier.level: tier.id for tier in rules.scale.tiers}
    document = {
        "source": origin,
        "day": day.isoformat(),
        "cells": [_cell_document(cell, tiers) for cell in cells],
        "open": sum(cell.state == "open" for cell in cells),
    }
    alone = home is not None or len({cell.home for cell in cells}) == 1
    show(document, lambda: [*(_details if alone else _grid)(document, tiers), origin], as_json=json)


def _chosen(rules: Rules, day: date, home: str | None, host: str | None, scenario: str | None) -> list[Cell]:
    hosts = sorted({item.host_city for item in rules.scenarios.values()})
    require_known("--home", home, homes_of(rules))
    require_known("--host", host, hosts)

    def named(item: Scenario) -> bool:
        return scenario in {None, item.id, item.id.removeprefix(f"{item.host_city}-")}

    def keep(city: CityId, item: Scenario) -> bool:
        return home in {None, city} and host in {None, item.host_city} and named(item)

    if not any(named(item) for item in rules.scenarios.values()):
        kinds = {item.id.removeprefix(f"{item.host_city}-") for item in rules.scenarios.values()}
        require_known("--scenario", scenario, sorted(kinds))
    return list(matrix(rules, day, keep))


def _cell_document(cell: Cell, tiers: Mapping[int, str]) -> dict[str, Any]:
    return {
        "home": cell.home,
        "host": cell.scenario.host_city,
        "scenario": cell.scenario.id,
        "state": cell.state,
        "since": _text(cell.since),
        "until": _text(cell.until),
        "opens": _text(cell.opens),
        "rungs": {tiers[level]: rung for level, rung in cell.rungs.items()},
        "illustrative": cell.illustrative,
        "decided_illustratively": cell.decided_illustratively,
    }


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _grid(document: Mapping[str, Any], tiers: Mapping[int, str]) -> Iterator[Any]:
    cells = document["cells"]
    homes = sorted({cell["home"] for cell in cells})
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for cell in cells:
        rows.setdefault((cell["host"], cell["scenario"]), {})[cell["home"]] = _short(cell, tiers)
    yield table(
        f"Residents of (columns) at offers of (rows), {document['day']}",
        ("host", "scenario", *homes),
        ((host, scenario, *(row[home] for home in homes)) for (host, scenario), row in rows.items()),
    )
    names = ", ".join(tiers[level] for level in LEVELS)
    yield f"{document['open']} of {len(cells)} open. Numbers: the rung that {names} reach; 0 is the base offer."
    yield f"{TILDE} {MARK}: the tier or the terms rest on figures that no city has published."
    yield from _decisions(cells)
    for state, short in _SHORT.items():
        if any(cell["state"] == state for cell in cells):
            yield f"{short}: {STATES[state]}; a day: it opens then."


def _short(cell: Mapping[str, Any], tiers: Mapping[int, str]) -> str:
    if cell["state"] == "open":
        rungs = "/".join(str(cell["rungs"].get(tiers[level], 0)) for level in LEVELS)
        return rungs + (TILDE if cell["illustrative"] else "")
    return cell["opens"] or _SHORT[cell["state"]]


def _details(document: Mapping[str, Any], tiers: Mapping[int, str]) -> Iterator[Any]:
    cells = document["cells"]
    names = [tiers[level] for level in LEVELS]
    yield table(
        f"Where residents stand, {document['day']}",
        ("home", "host", "scenario", "state", "since", "until", *(f"rung of {name}" for name in names), ""),
        (
            (
                cell["home"],
                cell["host"],
                cell["scenario"],
                STATES[cell["state"]] + (f"; opens {cell['opens']}" if cell["opens"] else ""),
                cell["since"] or "",
                cell["until"] or "",
                *(cell["rungs"].get(name, "-") for name in names),
                MARK if cell["illustrative"] else "",
            )
            for cell in cells
        ),
    )
    yield f"{document['open']} of {len(cells)} open."
    yield from _decisions(cells)


def _decisions(cells: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if any(cell["decided_illustratively"] for cell in cells):
        yield f"Who accepts whom is itself an example ({MARK}) where the cities have published no such decision."
