"""``tiergate policy explain``: why residents of a city get which terms somewhere, by the policies alone.

No score is taken: every tier is told with the points that reach it, so that nobody's has to be typed anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gateway.cli.messages import terms_document, time_of_s
from gateway.cli.options import Json
from gateway.cli.output import facts, require_known, show
from gateway.cli.policy_matrix import STATES
from gateway.cli.policy_source import MARK, RootFile, Source, day_of, read_source
from gateway.domain.acceptance import NO_RULES, Acceptance, AcceptanceRule, AcceptanceRules
from gateway.domain.bundle import Bundle
from gateway.domain.effects import bands_of, given
from gateway.domain.ids import CityId, ScenarioId
from gateway.domain.matrix import Cell, cell_of, homes_of
from gateway.domain.scenario import Scenario
from gateway.domain.tier import Concordance, Cut, Tier
from gateway.domain.tier import Source as Published
from gateway.policy.documents import Policies


def explain(
    source: Source = Path("policies"),
    *,
    home: Annotated[str, Parameter(name="--home", help="The residents' city.")],
    scenario: Annotated[str, Parameter(name="--scenario", help="The scenario, such as xiamen-library.")],
    tier: Annotated[str | None, Parameter(name="--tier", help="Only this tier. Default: all.")] = None,
    on: Annotated[
        str | None, Parameter(name="--on", help="On this day (UTC), such as 2026-12-31. Default: now.")
    ] = None,
    root: RootFile = None,
    json: Json = False,
) -> None:
    """Explain which terms residents of a city get at a scenario, tier by tier, and what each step rests on.

    Told are the points that reach a tier with source, date and confidence of the cut, the rung, the terms, what both
    cities have decided, and what is illustrative. It takes no score. What was decided about one person is for her
    city alone to explain (`resident explain`).
    """
    rules, origin = read_source(source, root)
    day = day_of(on)
    require_known("--home", home, homes_of(rules))
    require_known("--scenario", scenario, sorted(rules.scenarios))
    require_known("--tier", tier, [item.id for item in rules.scale.tiers])
    city, found = CityId(home), rules.scenarios[ScenarioId(scenario)]
    cell = cell_of(rules, city, found, day)
    concordance = rules.concordances.get(city)
    document = {
        "source": origin,
        "day": day.isoformat(),
        "bundle": _bundle(rules),
        "home_city": None if concordance is None else _home(concordance),
        "scenario": _scenario(found, rules),
        "acceptance": _acceptance(cell, rules),
        "tiers": [_tier(item, cell, rules, day) for item in rules.scale.tiers if tier in {None, item.id}],
        "illustrative": cell.illustrative,
    }
    show(document, lambda: _words(document), as_json=json)


def _bundle(rules: Policies | Bundle) -> dict[str, Any] | None:
    if not isinstance(rules, Bundle):
        return None
    return {
        "digest": rules.digest,
        "version": rules.version,
        "effective": time_of_s(rules.effective) if rules.effective else "at once",
        "expires": rules.expires.isoformat(),
    }


def _home(item: Concordance) -> dict[str, Any]:
    return {
        "city": item.city,
        "name_zh": item.name_zh,
        "name_en": item.name_en,
        "score_name_zh": item.score_name_zh,
        "score_name_en": item.score_name_en,
        "points": [item.score_min, item.score_max],
        "concordance_version": item.version,
        "design": item.design,
        "max_age_days": item.max_age_days,
        **_dates(item),
        "illustrative": item.illustrative,
        "source": _source(item.source),
        "range_source": _source(item.range_source),
    }


def _scenario(item: Scenario, rules: Policies | Bundle) -> dict[str, Any]:
    operators = (rules.operators[name] for name in item.operators)
    return {
        "id": item.id,
        "version": item.version,
        "host_city": item.host_city,
        "name_zh": item.name_zh,
        "name_en": item.name_en,
        "operators": [{"id": op.id, "name_zh": op.name_zh, "name_en": op.name_en} for op in operators],
        "rungs": len(item.rungs),
        "local_threshold": item.local_threshold,
        **_dates(item),
        "illustrative": item.illustrative,
        "source": _source(item.source),
    }


def _dates(item: Concordance | Scenario | AcceptanceRule) -> dict[str, str | None]:
    return {"effective_from": item.effective_from.isoformat(), "effective_until": _text(item.effective_until)}


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _source(source: Published | None) -> dict[str, str] | None:
    if source is None:
        return None
    return {
        "url": source.url,
        "published": source.published,
        "confidence": source.confidence,
        "note": source.note,
    }


def _acceptance(cell: Cell, rules: Policies | Bundle) -> dict[str, Any]:
    host, home = (rules.acceptance.get(city) for city in (cell.scenario.host_city, cell.home))
    return {
        "state": cell.state,
        "since": _text(cell.since),
        "until": _text(cell.until),
        "opens": _text(cell.opens),
        "host": _decided(host, host.honours if host else NO_RULES, cell.home, cell),
        "home": _decided(home, home.vouches if home else NO_RULES, cell.scenario.host_city, cell),
    }


def _decided(decided: Acceptance | None, rules: AcceptanceRules, about: CityId, cell: Cell) -> dict[str, Any] | None:
    """What one of the two cities has decided about the other, for this scenario; None: nothing, which is a refusal."""
    if decided is None:
        return None
    return {
        "city": decided.city,
        "version": decided.version,
        "illustrative": decided.illustrative,
        "source": _source(decided.source),
        "rules": [_dates(rule) for rule in rules.about(about, cell.scenario.id)],
    }


def _tier(tier: Tier, cell: Cell, rules: Policies | Bundle, day: date) -> dict[str, Any]:
    """A tier: its points and cut in the home city, and what it gets here."""
    concordance = rules.concordances.get(cell.home)
    cut = next((item for item in concordance.cuts if item.level == tier.level), None) if concordance else None
    bands = (band for band in bands_of(rules, rules, cell.home) if band.after == tier.level)
    points = next(([band.low, band.high] for band in bands), None)
    got = given(rules, cell.home, cell.scenario.id, tier.level, day)
    return {
        "tier": tier.id,
        "name_zh": tier.name_zh,
        "name_en": tier.name_en,
        "points": points,
        "cut": None if cut is None else _cut(cut),
        "rung": got.rung,
        "outcome": got.outcome.value,
        "terms": None if got.terms is None else terms_document(got.terms),
    }


def _cut(cut: Cut) -> dict[str, Any]:
    measured = cut.measured
    return {
        "minimum": cut.minimum,
        "label_zh": cut.label_zh,
        "source": _source(cut.source),
        "measured": None
        if measured is None
        else {
            "standard_error": measured.standard_error,
            "sample": measured.sample,
            "as_of": measured.as_of,
            "source": _source(measured.source),
        },
    }


def _words(document: Mapping[str, Any]) -> Iterator[Any]:
    scenario, home = document["scenario"], document["home_city"]
    yield facts(f"{scenario['id']}, {document['day']}", dict(_offer(scenario)))
    if home is not None:
        yield facts(f"Home city {home['city']}", dict(_city(home)))
    yield facts("What the two cities have decided", dict(_standing(document["acceptance"])))
    for tier in document["tiers"]:
        yield facts(f"Tier {tier['tier']} ({tier['name_zh']})", dict(_steps(tier, document)))
    if document["illustrative"]:
        yield f"{MARK}: the tiers or the terms rest on figures that no city has published."
    yield document["source"]


def _offer(scenario: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "offer", f"{scenario['name_zh']} / {scenario['name_en']}, version {scenario['version']}"
    yield "in force", _span(scenario)
    yield "asked by", ", ".join(f"{item['name_zh']} / {item['name_en']}" for item in scenario["operators"])
    if scenario["local_threshold"] is not None:
        yield "the host's own residents need", f"{scenario['local_threshold']} points of the host's score"
    yield "source of the terms", _said(scenario["source"], illustrative=scenario["illustrative"])


def _city(home: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    low, high = home["points"]
    yield "score", f"{home['score_name_zh']} / {home['score_name_en']}, {low}-{high}"
    if home["range_source"] != home["source"]:
        yield "source of its range", _said(home["range_source"], illustrative=False)
    yield "concordance", f"version {home['concordance_version']}, design {home['design']}, in force {_span(home)}"
    yield "a score may be", f"{home['max_age_days']} days old; an older one reaches no tier"
    yield "source of its tiers", _said(home["source"], illustrative=home["illustrative"])


def _standing(acceptance: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    span = f", since {acceptance['since']}" if acceptance["since"] else ""
    span += f", until {acceptance['until']}" if acceptance["until"] else ""
    span += f"; opens {acceptance['opens']}" if acceptance["opens"] else ""
    yield "state", STATES[acceptance["state"]] + span
    for side, verb in (("host", "honours"), ("home", "vouches")):
        decided = acceptance[side]
        if decided is None:
            yield f"the {side} city", "has decided nothing, which is a refusal"
            continue
        rules = "; ".join(_span(rule) for rule in decided["rules"])
        said = _said(decided["source"], illustrative=decided["illustrative"])
        verdict = f"{verb}, {rules}" if rules else f"no rule of it {verb} here"
        yield f"{decided['city']}, the {side} city", f"{verdict}; acceptance version {decided['version']}; {said}"


def _steps(tier: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    cut, terms, rungs = tier["cut"], tier["terms"], document["scenario"]["rungs"]
    if tier["points"] is None:
        yield "points", "no score of this city is of this tier"
    else:
        low, high = tier["points"]
        yield "points", f"{low}-{high}"
    if cut is not None:
        marked = document["home_city"]["illustrative"]
        yield "cut", f"{cut['minimum']}, {cut['label_zh']}; {_said(cut['source'], illustrative=marked)}"
        if cut["measured"] is not None:
            measured = cut["measured"]
            yield "measured", f"standard error {measured['standard_error']} points, {measured['sample']} people"
    if document["acceptance"]["state"] != "open":
        yield "rung", f"none: {STATES[document['acceptance']['state']]}"
    else:
        yield "rung", f"{tier['rung']} of {rungs}" + ("" if tier["rung"] else ", the base offer")
    yield "outcome", tier["outcome"]
    if terms is None:
        yield "terms", "no such offer on that day"
    else:
        yield "terms (zh)", terms["text_zh"]
        yield "terms (en)", terms["text_en"]


def _span(item: Mapping[str, Any]) -> str:
    return f"from {item['effective_from']}" + (f" until {item['effective_until']}" if item["effective_until"] else "")


def _said(source: Mapping[str, str] | None, *, illustrative: bool) -> str:
    """Source, its date, how far it can be relied on, and the mark."""
    words = "no source is stated"
    if source is not None:
        words = f"{source['url'] or source['note']}, published {source['published']}, confidence {source['confidence']}"
    return f"{words}; {MARK}" if illustrative else words
