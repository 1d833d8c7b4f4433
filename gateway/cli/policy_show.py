"""``tiergate policy show``: policies as tables, with every figure that nobody has published marked as such."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.cli.messages import terms_document
from gateway.cli.options import Json
from gateway.cli.output import show, table
from gateway.cli.policy_source import MARK, RootFile, Source, read_source
from gateway.domain.scenario import Scenario, SupersededOffer
from gateway.domain.tier import Band, Concordance, TierScale
from gateway.domain.tier import Source as Published


def show_policies(source: Source = Path("policies"), *, root: RootFile = None, json: Json = False) -> None:
    """Show the tiers, how each city's score maps to them, what it publishes, and the scenarios with their terms."""
    rules, origin = read_source(source, root)
    document = _document(rules.scale, rules.concordances, rules.scenarios) | {"source": origin}
    show(document, lambda: _tables(document), as_json=json)


def _document(
    scale: TierScale, concordances: Mapping[Any, Concordance], scenarios: Mapping[Any, Scenario]
) -> dict[str, Any]:
    names = {tier.level: tier.id for tier in scale.tiers}
    return {
        "tiers": [
            {"id": tier.id, "level": tier.level, "name_zh": tier.name_zh, "name_en": tier.name_en}
            for tier in scale.tiers
        ],
        "concordances": [
            {
                "city": city,
                "version": item.version,
                "score_name_zh": item.score_name_zh,
                "score_name_en": item.score_name_en,
                "score_min": item.score_min,
                "score_max": item.score_max,
                "design": item.design,
                "cuts": {names[cut.level]: cut.minimum for cut in item.cuts},
                "illustrative": item.illustrative,
                **_dates(item),
                **_published(item.source),
                "range_source": _published(item.range_source),
                "bands": [_band(band) for band in item.bands],
                "history": [
                    {
                        "since": old.since,
                        "until": old.until,
                        **_published(old.source),
                        "bands": [_band(band) for band in old.bands],
                    }
                    for old in item.history
                ],
            }
            for city, item in sorted(concordances.items())
        ],
        "scenarios": [
            {
                "id": name,
                "version": item.version,
                "host_city": item.host_city,
                "name_zh": item.name_zh,
                "name_en": item.name_en,
                "operators": list(item.operators),
                "base": terms_document(item.base),
                "rungs": [{"tier": names[rung.level]} | terms_document(rung.terms) for rung in item.rungs],
                "illustrative": item.illustrative,
                "local_threshold": item.local_threshold,
                **_dates(item),
                **_published(item.source),
                "history": [_offer(old) for old in item.history],
            }
            for name, item in sorted(scenarios.items())
        ],
    }


def _dates(item: Concordance | Scenario) -> dict[str, str | None]:
    until = item.effective_until
    return {
        "effective_from": item.effective_from.isoformat(),
        "effective_until": None if until is None else until.isoformat(),
    }


def _published(source: Published) -> dict[str, str]:
    return {
        "source": source.url,
        "published": source.published,
        "confidence": source.confidence,
        "source_note": source.note,
    }


def _band(band: Band) -> dict[str, Any]:
    names = {"label_zh": band.label_zh, "minimum": band.minimum, "maximum": band.maximum}
    return names | _published(band.source)


def _offer(old: SupersededOffer) -> dict[str, Any]:
    words = {"local_threshold": old.local_threshold, "text_zh": old.text_zh, "text_en": old.text_en}
    return words | {"since": old.since, "until": old.until} | _published(old.source)


def _tables(document: Mapping[str, Any]) -> Iterator[Any]:
    tiers = document["tiers"]
    yield table(
        "Tiers", ("level", "id", "name"), ((t["level"], t["id"], f"{t['name_zh']} / {t['name_en']}") for t in tiers)
    )
    positive = [tier["id"] for tier in tiers if tier["level"]]
    yield table(
        "Concordances (from how many points a score reaches a tier)",
        ("city", "score", "range", *positive, "", "source"),
        (
            (
                item["city"],
                f"{item['score_name_zh']} / {item['score_name_en']}",
                f"{item['score_min']}-{item['score_max']}",
                *(item["cuts"].get(tier, "-") for tier in positive),
                MARK if item["illustrative"] else "",
                _said(item),
            )
            for item in document["concordances"]
        ),
    )
    yield table("Levels as published", ("city", "level", "points", "since", "until", "source"), _bands(document))
    yield table("Scenarios", ("id", "for", "terms", ""), _scenario_rows(document["scenarios"]))
    earlier = list(_earlier(document["scenarios"]))
    if earlier:
        yield table(
            "Conditions that held before, for residents of the host city",
            ("scenario", "from", "terms", "since", "until", "source"),
            earlier,
        )
    yield document["source"]


def _scenario_rows(scenarios: list[dict[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    for item in scenarios:
        mark = MARK if item["illustrative"] else ""
        yield item["id"], "everybody", f"{item['base']['text_zh']} / {item['base']['text_en']}", mark
        for rung in item["rungs"]:
            yield "", rung["tier"], f"{rung['text_zh']} / {rung['text_en']}", ""


def _said(item: Mapping[str, Any]) -> str:
    """Source, its date, and how far it can be relied on."""
    return f"{item['source'] or item['source_note']} ({item['published']}, confidence {item['confidence']})"


def _bands(document: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Levels in force, and the tables that they replaced."""
    for city in document["concordances"]:
        yield (
            city["city"],
            "range",
            f"{city['score_min']}-{city['score_max']}",
            "",
            "holds",
            _said(city["range_source"]),
        )
        now = {"since": None, "until": None, "bands": city["bands"]}
        for number, held in enumerate((now, *city["history"])):
            for band in held["bands"]:
                low, high = (("?" if band[end] is None else band[end]) for end in ("minimum", "maximum"))
                points = "not published" if low == high == "?" else f"{low}-{high}"
                times = ("", "holds") if number == 0 else (held["since"] or "?", held["until"] or "?")
                yield (city["city"], band["label_zh"], points, *times, _said(band))


def _earlier(scenarios: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for item in scenarios:
        for old in item["history"]:
            least = "?" if old["local_threshold"] is None else str(old["local_threshold"])
            words = f"{old['text_zh']} / {old['text_en']}"
            yield item["id"], least, words, old["since"] or "?", old["until"] or "?", _said(old)
