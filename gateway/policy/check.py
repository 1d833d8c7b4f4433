"""The rules that need more than one value or file. Each yields problems; none stops at the first.

I2 is held here for every scenario at once: each rung is at least the base offer and at least the rung below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from gateway.domain.acceptance import ANY
from gateway.domain.compare import measure
from gateway.domain.tier import MAX_LEVEL
from gateway.errors import Problem
from gateway.policy import schema
from gateway.policy.documents import Documents, Located, to_term

ORDINARY = "ordinary"


@dataclass(frozen=True, slots=True)
class Findings:
    """What the rules found: errors refuse the policies, warnings are shown."""

    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def check(documents: Documents) -> Findings:
    """Run every rule over every document."""
    levels = _levels(documents.scale)
    errors: list[Problem] = []
    warnings: list[Problem] = []
    if documents.scale is not None:
        errors += _scale(documents.scale)
    errors += _doubles(documents.cities)
    errors += _doubles(documents.scenarios)
    errors += _doubles(documents.operators)
    for city in documents.cities:
        errors += _city(city, levels)
    errors += _doubles(documents.acceptance)
    hosts = {item.doc.id: item.doc.host_city for item in documents.scenarios}
    for acceptance in documents.acceptance:
        errors += _acceptance(acceptance, documents, hosts)
    for operator in documents.operators:
        errors += _reference(operator, "host_city", operator.doc.host_city, "city", documents.known("cities"))
    by_city = {item.doc.id: item.doc for item in documents.cities}
    by_operator = {item.doc.id: item.doc for item in documents.operators}
    for scenario in documents.scenarios:
        errors += _references(scenario, documents, by_operator)
        errors += _dates(scenario, scenario.doc.effective_from, scenario.doc.effective_until)
        errors += _grain(scenario)
        errors += _rungs(scenario, levels)
        host = by_city.get(scenario.doc.host_city)
        if host is not None:
            doubtful = host.illustrative or scenario.doc.illustrative
            (warnings if doubtful else errors).extend(_local_threshold(scenario, host, levels))
    return Findings(tuple(errors), tuple(warnings))


def _levels(scale: Located[schema.ScaleFile] | None) -> Mapping[str, int] | None:
    """Level by tier id; None when the scale could not be read and tiers cannot be judged."""
    return None if scale is None else {tier.id: level for level, tier in enumerate(scale.doc.tiers)}


def _scale(scale: Located[schema.ScaleFile]) -> Iterator[Problem]:
    tiers = scale.doc.tiers
    if tiers[0].id != ORDINARY:
        yield scale.problem("tiers.0.id", f'the lowest tier must be "{ORDINARY}"')
    seen: set[str] = set()
    for place, tier in enumerate(tiers):
        if tier.id in seen:
            yield scale.problem(f"tiers.{place}.id", "tier id is used twice")
        seen.add(tier.id)


def _doubles(items: Sequence[Located[schema.Named]]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for item in items:
        if item.doc.id in first:
            yield item.problem("id", f"id is used twice (first in {first[item.doc.id]})")
        first.setdefault(item.doc.id, item.file)


def _dates(item: Located[object], start: date, end: date | None) -> Iterator[Problem]:
    if end is not None and end < start:
        yield item.problem("effective_until", "is before effective_from")


def _city(city: Located[schema.CityFile], levels: Mapping[str, int] | None) -> Iterator[Problem]:
    doc = city.doc
    yield from _dates(city, doc.effective_from, doc.effective_until)
    if doc.score_max <= doc.score_min:
        yield city.problem("score_max", "is not above score_min")
    for place, cut in enumerate(doc.cuts):
        if not doc.score_min < cut.minimum <= doc.score_max:
            yield city.problem(
                f"cuts.{place}.minimum", "lies outside the score's range", "a cut is above score_min, up to score_max"
            )
        yield from _positive_tier(city, f"cuts.{place}.tier", cut.tier, levels)
    for place, (lower, upper) in enumerate(pairwise(doc.cuts), start=1):
        if upper.minimum <= lower.minimum:
            yield city.problem(f"cuts.{place}.minimum", "overlaps the cut before it; cuts must rise")
        if levels is not None and levels.get(upper.tier, MAX_LEVEL + 1) <= levels.get(lower.tier, -1):
            yield city.problem(f"cuts.{place}.tier", "is not above the tier of the cut before it")


def _positive_tier(item: Located[object], path: str, tier: str, levels: Mapping[str, int] | None) -> Iterator[Problem]:
    if levels is None:
        return
    if tier not in levels:
        yield item.problem(path, f'unknown tier "{tier}"', "tiers are in tier-scale.toml")
    elif levels[tier] == 0:
        yield item.problem(path, f'"{tier}" is what everybody has; name a positive tier')


def _reference(item: Located[object], path: str, name: str, what: str, known: frozenset[str]) -> Iterator[Problem]:
    if name not in known:
        yield item.problem(path, f'unknown {what} "{name}"')


def _references(
    scenario: Located[schema.ScenarioFile], documents: Documents, operators: Mapping[str, schema.OperatorFile]
) -> Iterator[Problem]:
    doc = scenario.doc
    yield from _reference(scenario, "host_city", doc.host_city, "city", documents.known("cities"))
    for place, name in enumerate(doc.operators):
        path = f"operators.{place}"
        yield from _reference(scenario, path, name, "operator", documents.known("operators"))
        if name in doc.operators[:place]:
            yield scenario.problem(path, f'operator "{name}" is named twice')
        if name in operators and operators[name].host_city != doc.host_city:
            yield scenario.problem(path, f'operator "{name}" is of another city than the scenario')


def _acceptance(
    item: Located[schema.AcceptanceFile], documents: Documents, hosts: Mapping[str, str]
) -> Iterator[Problem]:
    """Whoever is named exists, and each rule names scenarios of the hosts that it is about."""
    doc = item.doc
    cities = documents.known("cities")
    yield from _reference(item, "id", doc.id, "city", cities)
    for place, honour in enumerate(doc.honours):
        yield from _accepts(item, f"honours.{place}", honour, {doc.id}, hosts, documents)
        yield from _cities(item, f"honours.{place}.homes", honour.homes, cities)
    for place, vouch in enumerate(doc.vouches):
        yield from _accepts(item, f"vouches.{place}", vouch, set(vouch.hosts), hosts, documents)
        yield from _cities(item, f"vouches.{place}.hosts", vouch.hosts, cities)


def _cities(item: Located[object], path: str, names: Sequence[str], cities: frozenset[str]) -> Iterator[Problem]:
    for number, name in enumerate(names):
        if name != ANY:
            yield from _reference(item, f"{path}.{number}", name, "city", cities)


def _accepts(
    item: Located[object],
    path: str,
    rule: schema.AcceptanceDoc,
    about: set[str],
    hosts: Mapping[str, str],
    documents: Documents,
) -> Iterator[Problem]:
    if rule.effective_until is not None and rule.effective_until < rule.effective_from:
        yield item.problem(f"{path}.effective_until", "is before effective_from")
    for number, name in enumerate(rule.scenarios):
        where = f"{path}.scenarios.{number}"
        if name == ANY:
            continue
        yield from _reference(item, where, name, "scenario", documents.known("scenarios"))
        if name in hosts and ANY not in about and hosts[name] not in about:
            yield item.problem(where, f'"{name}" is a scenario of {hosts[name]}, which this rule is not about')


def _grain(scenario: Located[schema.ScenarioFile]) -> Iterator[Problem]:
    if scenario.doc.sector in schema.MOVEMENT_SECTORS and scenario.doc.time_grain != "day":
        yield scenario.problem(
            "time_grain", f'must be "day" in sector {scenario.doc.sector}', "finer times would be a movement profile"
        )


def _rungs(scenario: Located[schema.ScenarioFile], levels: Mapping[str, int] | None) -> Iterator[Problem]:
    steps: list[tuple[str, schema.TermsDoc]] = [("base", scenario.doc.base)]
    steps += [(f"rungs.{place}", rung) for place, rung in enumerate(scenario.doc.rungs)]
    for path, step in steps:
        keys = [measure(to_term(item))[0] for item in step.items]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                yield scenario.problem(f"{path}.items.{place}", "this kind of term is given twice")
    for (lower_path, lower), (path, upper) in pairwise(steps):
        yield from _not_worse(scenario, lower_path, lower, path, upper)
    for place, rung in enumerate(scenario.doc.rungs):
        yield from _positive_tier(scenario, f"rungs.{place}.tier", rung.tier, levels)
    if levels is not None:
        for place, (below, above) in enumerate(pairwise(scenario.doc.rungs), start=1):
            if levels.get(above.tier, MAX_LEVEL + 1) <= levels.get(below.tier, -1):
                yield scenario.problem(f"rungs.{place}.tier", "is not above the tier of the rung before it")


def _not_worse(
    scenario: Located[schema.ScenarioFile], lower_path: str, lower: schema.TermsDoc, path: str, upper: schema.TermsDoc
) -> Iterator[Problem]:
    before = dict(measure(to_term(item)) for item in lower.items)
    after = dict(measure(to_term(item)) for item in upper.items)
    for item in lower.items:
        key, value = measure(to_term(item))
        if after.get(key, 0) < value:
            yield scenario.problem(
                f"{path}.items", f"{item.kind} is worse than in {lower_path}", "a rung may only add or improve"
            )
    if before == after:
        yield scenario.problem(
            f"{path}.items", f"gives nothing beyond {lower_path}", "a rung that changes nothing only reveals a tier"
        )


def _local_threshold(
    scenario: Located[schema.ScenarioFile], host: schema.CityFile, levels: Mapping[str, int] | None
) -> Iterator[Problem]:
    """A visitor is not better off than a local: a rung's cut, in the host's points, is not below its threshold."""
    threshold = scenario.doc.local_threshold
    if threshold is None or levels is None:
        return
    if not host.score_min <= threshold <= host.score_max:
        yield scenario.problem("local_threshold", f"lies outside the range of the score of {host.id}")
        return
    minimum = {cut.tier: cut.minimum for cut in host.cuts}
    for place, rung in enumerate(scenario.doc.rungs):
        if rung.tier not in levels or levels[rung.tier] == 0:
            continue
        path = f"rungs.{place}.tier"
        if rung.tier not in minimum:
            yield scenario.problem(path, f'"{rung.tier}" has no cut in the concordance of {host.id}')
        elif minimum[rung.tier] < threshold:
            yield scenario.problem(
                path,
                f'"{rung.tier}" begins at {minimum[rung.tier]} in {host.id}, below the local threshold {threshold}',
                "name a higher tier: a visitor must not be better off than a local",
            )
