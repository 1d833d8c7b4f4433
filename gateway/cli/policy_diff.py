"""``tiergate policy diff``: what a set of policies changes against another, in words: who gains or loses, from when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gateway.cli.messages import terms_document, time_of_s
from gateway.cli.options import Json
from gateway.cli.output import EXIT_OK, EXIT_REFUSED, show, table
from gateway.cli.policy_matrix import STATES
from gateway.cli.policy_source import RootFile, day_of, read_source
from gateway.domain.bundle import Bundle
from gateway.domain.compare import UNMEASURED, changes
from gateway.domain.effects import Access, Effect, Given, ScoreBand, difference
from gateway.domain.matrix import homes_of
from gateway.domain.stated import stated_otherwise
from gateway.policy.documents import Policies

_VERDICTS: Mapping[str, str] = {
    "better": "Gain",
    "worse": "Lose",
    "mixed": "Gain in one thing and lose in another",
    "same": "Get the same in other words",
}
_SORTS: Mapping[str, str] = {
    "cut": "Points moved",
    "label": "Names and labels",
    "words": "Texts",
    "source": "Sources and marks",
    "date": "Dates",
    "rule": "Everything else",
}
_ALL = "all home cities"


def diff(
    old: Annotated[Path, Parameter(help="What holds now: folder of policy files, or a bundle.")],
    new: Annotated[Path, Parameter(help="What is to come: folder of policy files, or a bundle.")],
    *,
    on: Annotated[
        str | None,
        Parameter(
            name="--on",
            help="Compare from this day (UTC) on. Default: today, or the day on which NEW takes effect, if later.",
        ),
    ] = None,
    fail_on_loss: Annotated[
        bool, Parameter(name="--fail-on-loss", negative="", help="Exit code 1 if anybody loses anything; for a review.")
    ] = False,
    root: RootFile = None,
    json: Json = False,
) -> int:
    """Say what NEW changes against OLD: who gains and who loses what, where, from when; what opens and closes.

    Both are evaluated as a check is, for every home city, band of scores, scenario and day to come; then every value
    that they state differently is listed. Exit code 0 whether or not they differ, but for --fail-on-loss.
    """
    (before, old_origin), (after, new_origin) = read_source(old, root), read_source(new, root)
    start = day_of(on, after)
    found = difference(before, after, start)
    tiers = {tier.level: str(tier.id) for tier in after.scale.tiers}
    document: dict[str, Any] = {
        "old": old_origin,
        "new": new_origin,
        "from": start.isoformat(),
        "effects": _grouped(found.effects, tiers),
        "access": _opened(found.access),
        "places": _places(before, after),
        "bundle": _of_bundle(before, after),
        "cautions": list(_cautions(before, after)),
        "stated": [item._asdict() for item in stated_otherwise(before, after, after.scale)],
    }
    homes = {str(home) for home in (*homes_of(before), *homes_of(after))}
    show(document, lambda: _words(document, homes), as_json=json)
    lost = [at for at in document["places"]["operators_at"] if at["closed"]]
    lost += [item for item in document["effects"] if item["verdict"] in {"worse", "mixed"}]
    return EXIT_REFUSED if fail_on_loss and lost else EXIT_OK


def _grouped(effects: Iterable[Effect], tiers: Mapping[int, str]) -> list[dict[str, Any]]:
    """Effects of the same people at several scenarios as one, and of several people at one scenario as one."""
    people: dict[tuple[Any, ...], list[ScoreBand]] = {}
    for item in effects:
        key = (item.verdict, item.since, item.until, item.scenario, item.before, item.after)
        people.setdefault(key, []).append(item.band)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for (verdict, since, until, scenario, before, after), bands in people.items():
        terms = changes(*(side.terms.items if side.terms else () for side in (before, after)))
        at = {
            "scenario": scenario,
            "before": _given(before),
            "after": _given(after),
            "terms": [{"term": str(item.benefit), "before": item.before, "after": item.after} for item in terms],
        }
        groups.setdefault((verdict, since, until, tuple(bands)), []).append(at)
    order = list(_VERDICTS)
    return [
        {
            "verdict": verdict,
            "since": since.isoformat(),
            "until": None if until is None else until.isoformat(),
            "who": [_band(band, tiers) for band in bands],
            "where": where,
        }
        for (verdict, since, until, bands), where in sorted(
            groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1], len(item[0][3]))
        )
    ]


def _given(given: Given) -> dict[str, Any]:
    terms = None if given.terms is None else terms_document(given.terms)
    return {"state": given.state, "outcome": given.outcome.value, "rung": given.rung, "terms": terms}


def _band(band: ScoreBand, tiers: Mapping[int, str]) -> dict[str, Any]:
    return {
        "home": band.home,
        "tier_before": None if band.before is None else tiers[band.before],
        "tier_after": None if band.after is None else tiers[band.after],
        "points": None if band.low is None else [band.low, band.high],
    }


def _opened(access: Iterable[Access]) -> list[dict[str, Any]]:
    homes: dict[tuple[Any, ...], list[str]] = {}
    for item in access:
        key = (item.since, item.until, item.before, item.after, item.scenario)
        homes.setdefault(key, []).append(item.home)
    scenarios: dict[tuple[Any, ...], list[str]] = {}
    for (*how, scenario), found in homes.items():
        scenarios.setdefault((*how, tuple(found)), []).append(scenario)
    return [
        {
            "since": since.isoformat(),
            "until": None if until is None else until.isoformat(),
            "before": before,
            "after": after,
            "homes": list(found),
            "scenarios": names,
        }
        for (since, until, before, after, found), names in sorted(scenarios.items(), key=lambda item: item[0][0])
    ]


def _places(old: Policies | Bundle, new: Policies | Bundle) -> dict[str, Any]:
    """Host cities, scenarios and operators that come and go, and who may ask at scenarios that stay."""
    sides = (old, new)
    hosts = [{item.host_city for item in rules.scenarios.values()} for rules in sides]
    common = sorted(old.scenarios.keys() & new.scenarios.keys())
    asking = [
        {"scenario": name, **_moved(*(set(rules.scenarios[name].operators) for rules in sides))} for name in common
    ]
    return {
        "hosts": _moved(*hosts),
        "scenarios": _moved(*(set(rules.scenarios) for rules in sides)),
        "operators": _moved(*(set(rules.operators) for rules in sides)),
        "operators_at": [at for at in asking if at["opened"] or at["closed"]],
    }


def _moved(before: AbstractSet[str], after: AbstractSet[str]) -> dict[str, list[str]]:
    return {"opened": sorted(after - before), "closed": sorted(before - after)}


def _of_bundle(old: Policies | Bundle, new: Policies | Bundle) -> dict[str, Any] | None:
    """What two bundles say of themselves, where it differs."""
    if not isinstance(old, Bundle) or not isinstance(new, Bundle):
        return None
    sides = [
        {
            "digest": side.digest,
            "version": side.version,
            "effective": time_of_s(side.effective) if side.effective else "at once",
            "expires": side.expires.isoformat(),
            "grace_hours": side.grace_s / 3600,
            "directory_from": side.directory_from,
        }
        for side in (old, new)
    ]
    return {key: [sides[0][key], sides[1][key]] for key in sides[0] if sides[0][key] != sides[1][key]}


def _cautions(old: Policies | Bundle, new: Policies | Bundle) -> Iterator[str]:
    """Where points before and after may not mean the same, so that who has them cannot be compared."""
    for city in sorted(old.concordances.keys() & new.concordances.keys()):
        scales = [
            (item.score_name_zh, item.score_name_en, item.score_min, item.score_max)
            for item in (old.concordances[city], new.concordances[city])
        ]
        if scales[0] != scales[1]:
            yield f"{city}: the score's name or range changes; the same points may stand for other people than before"


def _words(document: Mapping[str, Any], homes: set[str]) -> Iterator[Any]:
    yield f"old: {document['old']}"
    yield f"new: {document['new']}"
    yield f"compared from {document['from']} on"
    for name, (before, after) in (document["bundle"] or {}).items():
        yield f"  {name}: {before} -> {after}"
    yield from (f"caution: {line}" for line in document["cautions"])
    for effect in document["effects"]:
        yield from _effect(effect, homes)
    if document["access"]:
        yield table(
            "Opens and closes",
            ("from", "until", "for residents of", "before", "after", "scenarios"),
            (
                (
                    item["since"],
                    item["until"] or "",
                    _cities(item["homes"], homes),
                    STATES[item["before"]],
                    STATES[item["after"]],
                    ", ".join(item["scenarios"]),
                )
                for item in document["access"]
            ),
        )
    places = document["places"]
    for what, words in (("hosts", "host cities"), ("scenarios", "scenarios"), ("operators", "operators")):
        yield from (f"{words} {how}: {', '.join(names)}" for how, names in places[what].items() if names)
    for at in places["operators_at"]:
        yield from (f"{at['scenario']} {how} to {', '.join(at[how])}" for how in ("opened", "closed") if at[how])
    for sort, title in _SORTS.items():
        rows = [item for item in document["stated"] if item["sort"] == sort]
        if rows:
            columns = ("part", "of", "key", "before", "after")
            yield table(title, columns, ((i["part"], i["name"], i["key"], i["before"], i["after"]) for i in rows))
    yield _summary(document)


def _effect(effect: Mapping[str, Any], homes: set[str]) -> Iterator[Any]:
    until = f" until {effect['until']}" if effect["until"] else ""
    title = f"{_VERDICTS[effect['verdict']]}, from {effect['since']}{until}: {'; '.join(_who(effect['who'], homes))}"
    alike: dict[tuple[str, str, str], list[str]] = {}
    for at in effect["where"]:
        terms = (_terms(at["before"]), _terms(at["after"]), _change(at["terms"]))
        alike.setdefault(terms, []).append(at["scenario"])
    yield table(
        title,
        ("scenario", "before", "after", "change"),
        ((", ".join(names), *terms) for terms, names in alike.items()),
    )


def _who(bands: Sequence[Mapping[str, Any]], homes: set[str]) -> Iterator[str]:
    """The people, those of one tier in several cities together; where a tier changes, by their points."""
    alike: dict[str, list[str]] = {}
    for band in bands:
        alike.setdefault(_label(band), []).append(band["home"])
    tiers: dict[tuple[str, ...], list[str]] = {}
    for label, cities in alike.items():
        tiers.setdefault(tuple(cities), []).append(label)
    for names, labels in tiers.items():
        yield f"residents of {_cities(names, homes)}, {', '.join(labels)}"


def _label(band: Mapping[str, Any]) -> str:
    before, after = (band[key] or "no tier" for key in ("tier_before", "tier_after"))
    if band["points"] is None:
        return "without a score"
    low, high = band["points"]
    return f"tier {after}" if before == after else f"{low}-{high} points ({before}, then {after})"


def _cities(names: Sequence[str], homes: set[str]) -> str:
    return _ALL if len(homes) > 1 and set(names) == homes else ", ".join(names)


def _terms(given: Mapping[str, Any]) -> str:
    terms = given["terms"]
    return "no such offer" if terms is None else f"{terms['text_zh']} / {terms['text_en']}"


def _change(terms: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{item['term']}: {_amount(item, 'before')} -> {_amount(item, 'after')}" for item in terms)


def _amount(change: Mapping[str, Any], side: str) -> str:
    amount = change[side] or "none"
    return "given" if amount == 1 and change["term"].partition(" ")[0] in UNMEASURED else str(amount)


def _summary(document: Mapping[str, Any]) -> str:
    counts = dict.fromkeys(_VERDICTS, 0)
    for effect in document["effects"]:
        counts[effect["verdict"]] += len(effect["who"]) * len(effect["where"])
    if not document["effects"] and not document["stated"] and not document["access"]:
        return "no difference"
    told = (
        f"{counts['better']} better, {counts['worse']} worse, {counts['mixed']} mixed, {counts['same']} in other words"
    )
    return f"of home city, tier and scenario: {told}; {len(document['stated'])} values stated differently"
