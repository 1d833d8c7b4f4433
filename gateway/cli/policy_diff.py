"""``tiergate policy diff``: what a set of policies changes against another, in words: who gains or loses, from when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gateway.cli.messages import terms_document, time_of_s
from gateway.cli.options import Json
from gateway.cli.output import EXIT_OK, EXIT_REFUSED, show
from gateway.cli.policy_diff_shown import VERDICTS, diff_words, is_marked
from gateway.cli.policy_source import RootFile, day_of, read_source
from gateway.domain.bundle import Bundle
from gateway.domain.compare import Change, changes
from gateway.domain.effects import Access, Effect, Given, ScoreBand, difference
from gateway.domain.matrix import homes_of
from gateway.domain.scenario import Scenario
from gateway.domain.stated import stated_otherwise
from gateway.domain.tier import Concordance
from gateway.policy.documents import Policies

Sides = tuple[Policies | Bundle, Policies | Bundle]


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

    Both are evaluated as a check is, for every home city, band of scores, scenario and day to come: the terms, and
    what a consent for them may be, how old a score, how finely times are kept. Then every value that they state
    differently is listed. Exit code 0 whether or not they differ, but for --fail-on-loss.
    """
    (before, old_origin), (after, new_origin) = read_source(old, root), read_source(new, root)
    start = day_of(on, after)
    found = difference(before, after, start)
    tiers = {tier.level: str(tier.id) for tier in after.scale.tiers}
    effects = _grouped(found.effects, tiers, (before, after))
    stated = [item._asdict() for item in stated_otherwise(before, after, after.scale)]
    document: dict[str, Any] = {
        "old": old_origin,
        "new": new_origin,
        "from": start.isoformat(),
        "effects": effects,
        "access": _opened(found.access),
        "places": _places(before, after),
        "bundle": _of_bundle(before, after),
        "cautions": list(_cautions(before, after)),
        "stated": stated,
        "illustrative": any(map(is_marked, (*stated, *(one for item in effects for one in _people_and_offers(item))))),
    }
    homes = {str(home) for home in (*homes_of(before), *homes_of(after))}
    show(document, lambda: diff_words(document, homes), as_json=json)
    lost = [at for at in document["places"]["operators_at"] if at["closed"]]
    lost += [item for item in document["effects"] if item["verdict"] in {"worse", "mixed"}]
    return EXIT_REFUSED if fail_on_loss and lost else EXIT_OK


def _people_and_offers(effect: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from (*effect["who"], *effect["where"])


def _grouped(effects: Iterable[Effect], tiers: Mapping[int, str], sides: Sides) -> list[dict[str, Any]]:
    """Effects of the same people at several scenarios as one, and of several people at one scenario as one.

    What is given is None before and after where it stays, and the conditions alone change.
    """
    people: dict[tuple[Any, ...], list[ScoreBand]] = {}
    for item in effects:
        given = (None, None) if item.before == item.after else (item.before, item.after)  # it is as it was
        key = (item.verdict, item.since, item.until, item.scenario, *given, item.conditions)
        people.setdefault(key, []).append(item.band)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for (verdict, since, until, scenario, before, after, conditions), bands in people.items():
        terms = changes(*(side.terms.items if side and side.terms else () for side in (before, after)))
        at = {
            "scenario": scenario,
            "before": before and _given(before),
            "after": after and _given(after),
            "terms": _changed("term", terms),
            "conditions": _changed("condition", conditions),
            **_marks(*(side.scenarios.get(scenario) for side in sides)),
        }
        groups.setdefault((verdict, since, until, tuple(bands)), []).append(at)
    order = list(VERDICTS)
    return [
        {
            "verdict": verdict,
            "since": since.isoformat(),
            "until": None if until is None else until.isoformat(),
            "who": [_band(band, tiers, sides) for band in bands],
            "where": where,
        }
        for (verdict, since, until, bands), where in sorted(
            groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1], len(item[0][3]))
        )
    ]


def _changed(what: str, found: Iterable[Change]) -> list[dict[str, Any]]:
    return [{what: str(item.benefit), "before": item.before, "after": item.after} for item in found]


def _marks(before: Concordance | Scenario | None, after: Concordance | Scenario | None) -> dict[str, bool]:
    """Whether what a tier, or terms, follow from is nobody's publication, on either side."""
    return {
        "illustrative_before": before is not None and before.illustrative,
        "illustrative_after": after is not None and after.illustrative,
    }


def _given(given: Given) -> dict[str, Any]:
    terms = None if given.terms is None else terms_document(given.terms)
    return {"state": given.state, "outcome": given.outcome.value, "rung": given.rung, "terms": terms}


def _band(band: ScoreBand, tiers: Mapping[int, str], sides: Sides) -> dict[str, Any]:
    return {
        "home": band.home,
        "tier_before": None if band.before is None else tiers[band.before],
        "tier_after": None if band.after is None else tiers[band.after],
        "points": None if band.low is None else [band.low, band.high],
        **_marks(*(side.concordances.get(band.home) for side in sides)),
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
